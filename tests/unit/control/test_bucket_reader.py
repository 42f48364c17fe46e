"""How long a download from S3 may take, against servers that are slow over a real socket."""

import http.server
import io
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from lambent.control.bucket_reader import DEADLINE_S, BucketReader
from lambent.core.errors import ServiceException
from lambent.core.function import S3Object
from lambent.endpoint import Endpoint
from lambent.service_clients import SILENCE_S
from lambent.testing.clock import ManualClock

MANY = 500_000


class SlowS3(http.server.BaseHTTPRequestHandler):
    """Time passes as it sends."""

    clock: ClassVar[ManualClock]
    sent: ClassVar[int]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(MANY))
        self.end_headers()
        if "silent" in self.path:
            self.clock.advance_ms(DEADLINE_S * 1000 - 100)
            self.wfile.write(b"x")
            self.connection.recv(1)
            return
        try:
            for _ in range(MANY):
                self.clock.advance_ms(2000)
                self.wfile.write(b"x")
                type(self).sent += 1
        except OSError:
            pass  # the reader has gone

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def s3() -> Iterator[Endpoint]:
    SlowS3.clock, SlowS3.sent = ManualClock(), 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowS3)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Endpoint(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    thread.join()
    server.server_close()


def download(s3: Endpoint, key: str) -> None:
    BucketReader(SlowS3.clock).download(s3, "us-east-1", S3Object("bucket", key), io.BytesIO())


def test_an_object_that_comes_byte_by_byte_is_given_up_at_the_deadline(s3: Endpoint) -> None:
    with pytest.raises(ServiceException, match=f"did not arrive within {DEADLINE_S} seconds"):
        download(s3, "dribbling")
    assert SlowS3.sent < MANY / 2


def test_an_endpoint_that_no_client_can_be_made_for_is_told_as_one_that_does_not_answer() -> None:
    with pytest.raises(ServiceException, match="S3 did not answer as it should, at http://my_s3:9000"):
        BucketReader(ManualClock()).download(
            Endpoint("http://my_s3:9000"), "us-east-1", S3Object("bucket", "key"), io.BytesIO()
        )


def test_what_is_left_until_the_deadline_bounds_a_silence(s3: Endpoint) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceException, match="S3 did not answer as it should"):
        download(s3, "silent")
    assert time.monotonic() - began < SILENCE_S / 2

"""A real S3 server in a process of its own, for code that is read from buckets (`tests/prerequisites` installs it)."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

PROGRAM = Path(__file__).parents[3] / ".s3-server" / "bin" / "moto_server"


@dataclass(frozen=True)
class S3Server:
    url: str

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="owner",
            aws_secret_access_key="secret",
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )


@contextlib.contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    """The server, empty. Skips the test where its program is not installed."""
    if not PROGRAM.exists():
        pytest.skip("the S3 server is not installed: tests/prerequisites says why")
    port = free_port()
    with open(directory / "s3.log", "wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            _wait_for(port, process)
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    # Another program's readiness can be asked for only.
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert process.poll() is None, "the S3 server has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the S3 server does not listen")

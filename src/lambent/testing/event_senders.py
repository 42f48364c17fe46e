"""Callers of asynchronous invocations that go on while their server is killed, and know which events it has accepted.

The function that they call, `RECORDING`, writes the request's id to the end of a file of the machine's own, so that
what has run is known whatever becomes of the server: it needs the driver without isolation.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

RECORDING = """
import os

def handler(event, context):
    file = os.open(event["record"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, context.aws_request_id.encode() + b"\\n")
    os.close(file)
"""

_PAUSE_S = 0.02


class Senders:
    """`clients` threads that send until `count` events have been accepted in all. `address` tells where the server is
    now, be it there or not; `account` is the caller's."""

    def __init__(
        self,
        address: Callable[[], tuple[str, int]],
        account: str,
        function: str,
        body: bytes,
        *,
        count: int,
        clients: int,
    ) -> None:
        self._address = address
        self._path = f"/2015-03-31/functions/{function}/invocations"
        self._headers = {
            "X-Amz-Invocation-Type": "Event",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={account}/20260101/us-east-1/lambda/aws4_request, "
            f"SignedHeaders=host, Signature={'0' * 64}",
        }
        self._body = body
        self._count = count
        self.accepted: list[str] = []
        """Request ids that were answered with 202."""
        self.refused: Counter[int] = Counter()
        """Other answers, by status."""
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def wait_for(self, accepted: int) -> None:
        """Until so many have been accepted."""
        while len(self.accepted) < accepted:
            time.sleep(_PAUSE_S / 10)

    def _send(self) -> None:
        while len(self.accepted) < self._count:
            connection = http.client.HTTPConnection(*self._address(), timeout=30)
            try:
                while len(self.accepted) < self._count:
                    connection.request("POST", self._path, self._body, self._headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 202:
                        self.accepted.append(answer.headers["x-amzn-RequestId"])
                    else:
                        self.refused[answer.status] += 1
            except (OSError, http.client.HTTPException):
                time.sleep(_PAUSE_S)  # it was killed
            finally:
                connection.close()


def recorded(file: Path) -> Counter[str]:
    """How often each event has run."""
    return Counter(file.read_text().split()) if file.exists() else Counter()


def await_recorded(file: Path, accepted: list[str], within_s: float) -> Counter[str]:
    """When all that was accepted has run, or the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        ran = recorded(file)
        if ran.keys() >= set(accepted) or time.monotonic() > deadline:
            return ran
        time.sleep(0.2)

"""What is measured, running: a Lambent server with the echo function, and uvicorn with the same handler.

Each is a process of its own, and is ended with the context that started it.
"""

import contextlib
import io
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

REGION = "us-east-1"
RUNTIME = "python3.11"
PAYLOAD = b'{"data": "' + b"x" * 1012 + b'"}'
READY_WITHIN_S = 30
ANSWER_WITHIN_S = 60
ACTIVE_WITHIN_S = 240
"""The first function of a runtime on a machine waits for the runtime client and SDK to be installed."""
POLL_S = 0.002
NONE_BOOTED = ("--preboot-minimum=0", "--preboot-memory-mib=0")
"""Flags of a server that has no sandbox ready for a cold start."""

_SIGNATURE = (
    f"AWS4-HMAC-SHA256 Credential=000000000000/20260101/{REGION}/lambda/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature=" + "0" * 64
)


class NotReady(Exception):
    """What was to be measured did not start, or the function did not become active."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Lambent server that accepts requests."""

    process: int
    address: tuple[str, int]
    started_in_s: float

    def client(self) -> Any:
        return boto3.client(
            "lambda",
            endpoint_url="http://{}:{}".format(*self.address),
            region_name=REGION,
            aws_access_key_id="000000000000",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}),
        )


@contextmanager
def data_directory() -> Iterator[Path]:
    """On disk: a tmpfs would flatter whatever is written."""
    path = tempfile.mkdtemp(prefix="lambent-bench-", dir="/var/tmp")
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lambent(data: Path, *settings: str, log: Path | None = None, module: str = "lambent") -> Iterator[Server]:
    """`lambent serve`, as a user starts it, with further flags. What it logs goes to the file `log`, if there is one.
    Raises NotReady."""
    command = (sys.executable, "-m", module, "serve", "--port=0", f"--data-dir={data}", "--log-level=error")
    began = time.perf_counter()
    with _running((*command, *settings), log) as (process, address):
        yield Server(process, address, time.perf_counter() - began)


@contextmanager
def uvicorn() -> Iterator[tuple[str, int]]:
    """The reference: one worker, uvloop, httptools, no access log. Raises NotReady."""
    with _running((sys.executable, "-m", "benchmarks.echo_app")) as (_, address):
        yield address


@contextmanager
def _running(command: Sequence[str], log: Path | None = None) -> Iterator[tuple[int, tuple[str, int]]]:
    """A server that says its address in the first line of its output."""
    with (
        contextlib.nullcontext() if log is None else open(log, "ab") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
            line = process.stdout.readline() if said else ""
            url = next((urlsplit(word) for word in line.split() if word.startswith("http://")), None)
            if url is None or url.hostname is None or url.port is None:
                raise NotReady(f"{' '.join(command)} did not become ready: {line!r}")
            yield process.pid, (url.hostname, url.port)
        finally:
            process.terminate()
            process.wait()


def package() -> bytes:
    """The functions, zipped."""
    names = ("echo.py", "waiting.py", "remembering.py")
    return zipped({name: Path(__file__).with_name(name).read_text() for name in names})


def zipped(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100644 << 16
            file.writestr(entry, text)
    return archive.getvalue()


def create(client: Any, name: str, code: bytes, module: str = "echo", memory_mib: int = 512, **variables: str) -> None:
    """Create one of the functions under a name, and wait until it can be invoked. Raises NotReady."""
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role="arn:aws:iam::000000000000:role/bench",
        Handler=f"{module}.handler",
        Environment={"Variables": variables},
        Code={"ZipFile": code},
        MemorySize=memory_mib,
        Timeout=30,
    )
    await_settled(client, name)


def await_settled(client: Any, name: str) -> None:
    """Poll, faster than the SDK's waiters do, until what was created or updated is in place. Raises NotReady."""
    deadline = time.monotonic() + ACTIVE_WITHIN_S
    while time.monotonic() < deadline:
        now = client.get_function_configuration(FunctionName=name)
        status = {now.get("State"), now.get("LastUpdateStatus")}
        if "Failed" in status:
            raise NotReady(f"{name}: {now.get('StateReason') or now.get('LastUpdateStatusReason')}")
        if status == {"Active", "Successful"}:
            return
        time.sleep(POLL_S)
    raise NotReady(f"{name} is not active after {ACTIVE_WITHIN_S} s")


def invoke(server: Server, name: str, payload: bytes = PAYLOAD) -> bytes:
    """Invoke a function by a connection of its own; the answer's body, which is short. Raises NotReady."""
    with socket.create_connection(server.address, timeout=ANSWER_WITHIN_S) as connection:
        connection.sendall(invoke_request(name, payload))
        head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or b"x-amz-function-error" in head.lower():
        raise NotReady(f"{name} answered {head[:300]!r} {body[:300]!r}")
    return body


def invoke_at_once(server: Server, name: str, count: int, took_s: float) -> tuple[set[bytes], int, float]:
    """Invoke the function `waiting` so many times at one time, for so long each. Returns the environments that
    answered, the number of calls without an answer, and the seconds until the last of the answers."""
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as callers:
        calls = [callers.submit(invoke, server, name, f"{took_s}".encode()) for _ in range(count)]
    took = time.perf_counter() - began
    answered = [call.result() for call in calls if call.exception() is None]
    return set(answered), count - len(answered), took


def invoke_request(name: str, payload: bytes = PAYLOAD) -> bytes:
    """An Invoke as boto3 sends it, signature and all. No access key is checked yet, but its place is read."""
    return _signed_head("POST", f"/2015-03-31/functions/{name}/invocations", len(payload)) + payload


def event_request(name: str, payload: bytes = PAYLOAD) -> bytes:
    """The same as an asynchronous invocation."""
    head, _, body = invoke_request(name, payload).partition(b"\r\n\r\n")
    return head + b"\r\nX-Amz-Invocation-Type: Event\r\n\r\n" + body


def get_request(target: str) -> bytes:
    """A request that reads, of a path with its query, as boto3 sends it."""
    return _signed_head("GET", target, None)


def _signed_head(method: str, target: str, length: int | None) -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\n"
        "Host: 127.0.0.1:4566\r\n"
        "Accept-Encoding: identity\r\n"
        "User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11.2 "
        "md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.44.5\r\n"
        "X-Amz-Date: 20260101T000000Z\r\n"
        "X-Amz-Content-SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n"
        f"Authorization: {_SIGNATURE}\r\n"
        "amz-sdk-invocation-id: 1b7b9e3f-8f3e-4d53-9f8a-1f7a4f2d5d11\r\n"
        "amz-sdk-request: attempt=1\r\n"
    )
    if length is not None:
        head += f"Content-Length: {length}\r\n"
    return f"{head}\r\n".encode()


def plain_request(payload: bytes = PAYLOAD) -> bytes:
    """The same event for the reference."""
    head = (
        "POST / HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload

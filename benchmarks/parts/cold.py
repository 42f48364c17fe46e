"""Cold starts: an invocation that finds no environment, and the first answer of a function that was just created.

The reference is what the same program takes with nothing around it: a process that starts the same Python, imports
the official runtime client from the same place, and gives its first answer to a Runtime API that does nothing else.
"""

import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks import subjects
from benchmarks.load import percentile
from benchmarks.table import Row
from lambent.settings import Settings
from lambent.worker.runtimes.interpreters import Interpreters
from lambent.worker.runtimes.python import PythonRuntimes

TIMES = 20
CREATED_TIMES = 10
ANSWER_WITHIN_S = 30

REFERENCE = "a plain process: starts the same Python, imports the official client, answers its first event"


def run() -> list[Row]:
    with subjects.data_directory() as data, subjects.lambent(data) as server:
        client = server.client()
        code = subjects.package()
        subjects.create(client, "echo", code)  # installs the runtime's kit, if this machine does not have it yet
        interpreter, kit = plain_runtime()
        cold_ms: list[float] = []
        plain_ms: list[float] = []
        for number in range(TIMES):
            _forget_environments(client, number)
            cold_ms.append(_timed(lambda: _invoke(server, "echo")))
            plain_ms.append(_timed(lambda: plain_first_answer(interpreter, kit)))
        created_ms = [_create_and_invoke(server, client, f"new-{number}", code) for number in range(CREATED_TIMES)]
    return [
        _row("cold: invoke without an environment, p50", cold_ms, plain_ms, statistics.median),
        _row("cold: invoke without an environment, p95", cold_ms, plain_ms, _p95),
        Row("cold: create to first answer, p50", "ms", statistics.median(created_ms)),
    ]


def _row(name: str, ours: list[float], plain: list[float], figure: Callable[[list[float]], float]) -> Row:
    measured, reference = figure(ours), figure(plain)
    return Row(name, "ms", measured, reference, REFERENCE, measured / reference)


def _p95(values: list[float]) -> float:
    return percentile(sorted(values), 0.95)


def _timed(action: Callable[[], object]) -> float:
    """In milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def _forget_environments(client: Any, number: int) -> None:
    """A changed configuration retires the environments of the one before it."""
    client.update_function_configuration(FunctionName="echo", Environment={"Variables": {"NUMBER": str(number)}})
    subjects.await_settled(client, "echo")


def _create_and_invoke(server: subjects.Server, client: Any, name: str, code: bytes) -> float:
    def both() -> None:
        subjects.create(client, name, code)
        _invoke(server, name)

    return _timed(both)


def _invoke(server: subjects.Server, name: str) -> None:
    with socket.create_connection(server.address, timeout=ANSWER_WITHIN_S) as connection:
        connection.sendall(subjects.invoke_request(name))
        head = connection.recv(65_536)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise subjects.NotReady(f"{name} answered {head[:300]!r}")


# The reference ----------------------------------------------------------------------------------------------------


def plain_runtime() -> tuple[Path, Path]:
    """The interpreter and the kit that the server gives the measured function."""
    interpreters = Interpreters("", os.environ, Path.home())
    interpreter = interpreters.find(int(subjects.RUNTIME.removeprefix("python3.")))
    assert interpreter is not None, "the server has found one"
    launch = PythonRuntimes(Settings().runtimes_dir, interpreters).prepare(subjects.RUNTIME)
    kit = next(mount.source for mount in launch.template.mounts if mount.target == "/var/runtime")
    return interpreter.executable, kit


def plain_first_answer(interpreter: Path, kit: Path) -> bytes:
    """Start the process, and give it one event. Returns what it answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(ANSWER_WITHIN_S)
        variables = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "PYTHONPATH": str(kit),
            "PATH": os.defpath,
        }
        command = (str(interpreter), "-S", "-B", "-m", "awslambdaric", "echo.handler")
        function = Path(subjects.__file__).parent
        process = subprocess.Popen(command, env=variables, cwd=function, stdin=subprocess.DEVNULL)
        try:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as requests:
                connection.settimeout(ANSWER_WITHIN_S)
                _read_request(requests)
                connection.sendall(_EVENT)
                return _read_request(requests)
        finally:
            process.kill()
            process.wait()


_EVENT = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Lambda-Runtime-Aws-Request-Id: 8f507cfc-aaaa-4697-b07a-ac58fc914c95\r\n"
    "Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
    "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:echo\r\n"
    f"Content-Length: {len(subjects.PAYLOAD)}\r\n\r\n"
).encode() + subjects.PAYLOAD


def _read_request(requests: BinaryIO) -> bytes:
    """The body of the next request on the connection."""
    length = 0
    while (line := requests.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return requests.read(length)

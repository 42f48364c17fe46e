"""Cold starts: an invocation that finds no environment, a hundred of them at once, and the first answer of a function
that was just created.

The reference is what the same program takes with nothing around it: a process that starts the same Python, imports
the official runtime client from the same place, and gives its first answer to a Runtime API that does nothing else.
"""

import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks import subjects
from benchmarks.load import percentile
from benchmarks.table import Row
from lambent.settings import Settings
from lambent.worker.runtimes.interpreters import Interpreters
from lambent.worker.runtimes.python import PythonRuntimes

TIMES = 100
CREATED_TIMES = 10
AT_ONCE = 100
PLAIN_AT_ONCE = 8
"""As many as the server starts at one time by default."""
WAIT_S = 3.0
"""How long each of those called at once keeps its environment: longer than it takes to start all of them, so that none
is used twice."""
REFILLED_S = 0.4
"""After a cold start, until the next sandbox is booted ahead."""
IN_A_ROW, ROWS, ROW_REFILLED_S = 10, 5, 0.6
"""Beside that, cold starts that follow each other at once, of so many functions: nothing has rested then, which is slow
on some machines (see `machine.py`). Before a row as many sandboxes are booted ahead as were taken the last time."""
ANSWER_WITHIN_S = 30
P50_RATIO_AT_MOST, P99_RATIO_AT_MOST, UNBOOTED_P50_RATIO_AT_MOST = 0.2, 0.35, 0.45

REFERENCE = "a plain process: starts the same Python, imports the official client, answers its first event"


def run(share: float) -> list[Row]:
    times = max(3, round(TIMES * share))
    with subjects.data_directory() as data, subjects.lambent(data) as server:
        client = server.client()
        code = subjects.package()
        subjects.create(client, "echo", code)  # installs the runtime's kit, if this machine does not have it yet
        interpreter, kit = plain_runtime()
        booted = _rounds(server, client, times, lambda: plain_first_answer(interpreter, kit), REFILLED_S)
        in_a_row = _in_a_row(
            server, client, code, max(1, round(ROWS * share)), lambda: plain_first_answer(interpreter, kit)
        )
        created_ms = [
            _create_and_invoke(server, client, f"new-{number}", code)
            for number in range(max(1, round(CREATED_TIMES * share)))
        ]
        at_once = _at_once(server, client, code, max(3, round(AT_ONCE * share)))
        plain_s = _plain_starts_per_second(interpreter, kit, max(PLAIN_AT_ONCE, round(AT_ONCE * share)))
    with subjects.data_directory() as data, subjects.lambent(data, *subjects.NONE_BOOTED) as server:
        client = server.client()
        subjects.create(client, "echo", code)
        unbooted = _rounds(server, client, times, lambda: plain_first_answer(interpreter, kit), 0)
    return [
        _row("cold: invoke, sandbox booted ahead, p50", booted, 0.5, P50_RATIO_AT_MOST),
        _row("cold: invoke, sandbox booted ahead, p99", booted, 0.99, P99_RATIO_AT_MOST),
        _row(f"cold: invoke, {IN_A_ROW} in a row, sandboxes booted ahead, p50", in_a_row, 0.5, None),
        _row("cold: invoke, none booted ahead, p50", unbooted, 0.5, UNBOOTED_P50_RATIO_AT_MOST),
        _row("cold: invoke, none booted ahead, p99", unbooted, 0.99, None),
        Row("cold: create to first answer, p50", "ms", statistics.median(created_ms)),
        Row(f"cold: lost of {at_once.calls} at once", "", at_once.lost, promised_at_most=0, anywhere=True),
        Row(
            f"cold: environments, {at_once.calls} at once", "/s", at_once.per_second, plain_s, REFERENCE,
            at_once.per_second / plain_s,
        ),
    ]  # fmt: skip


Times = tuple[list[float], list[float]]
"""Milliseconds: ours, and the reference's."""


def _row(name: str, times: Times, part: float, ratio_at_most: float | None) -> Row:
    measured, reference = (percentile(sorted(side), part) for side in times)
    return Row(name, "ms", measured, reference, REFERENCE, measured / reference, ratio_at_most)


def _rounds(server: subjects.Server, client: Any, times: int, plain: Callable[[], object], pause_s: float) -> Times:
    """Alternating, so that what disturbs the machine for a while disturbs both. The first of ours is not counted: it
    has the zygote started."""
    ours: list[float] = []
    theirs: list[float] = []
    subjects.invoke(server, "echo")
    for number in range(times):
        _forget_environments(client, "echo", number)
        time.sleep(pause_s)
        ours.append(_timed(lambda: subjects.invoke(server, "echo")))
        theirs.append(_timed(plain))
    return ours, theirs


def _timed(action: Callable[[], object]) -> float:
    """In milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def _in_a_row(server: subjects.Server, client: Any, code: bytes, rows: int, plain: Callable[[], object]) -> Times:
    """The first row is not counted: the pool learns by it how many are wanted."""
    ours: list[float] = []
    theirs: list[float] = []
    names = [f"echo-{number}" for number in range(IN_A_ROW)]
    for name in names:
        subjects.create(client, name, code)
        subjects.invoke(server, name)
    for number in range(rows):
        for name in names:
            _forget_environments(client, name, number)
        time.sleep(ROW_REFILLED_S)
        ours += [_timed(partial(subjects.invoke, server, name)) for name in names]
        theirs += [_timed(plain) for _ in names]
    return ours, theirs


def _forget_environments(client: Any, name: str, number: int) -> None:
    """A changed configuration retires the environments of the one before it."""
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"NUMBER": str(number)}})
    subjects.await_settled(client, name)


def _create_and_invoke(server: subjects.Server, client: Any, name: str, code: bytes) -> float:
    def both() -> None:
        subjects.create(client, name, code)
        subjects.invoke(server, name)

    return _timed(both)


@dataclass(frozen=True, slots=True)
class AtOnce:
    calls: int
    lost: int
    per_second: float


def _at_once(server: subjects.Server, client: Any, code: bytes, calls: int) -> AtOnce:
    """So many calls of a function that has no environment. Raises NotReady where two shared one."""
    subjects.create(client, "waiting", code, "waiting", memory_mib=128)
    environments, lost, took_s = subjects.invoke_at_once(server, "waiting", calls, WAIT_S)
    if len(environments) != calls - lost:
        raise subjects.NotReady(f"{calls} calls at once ran in {len(environments)} environments: {WAIT_S} s are few")
    return AtOnce(calls, lost, len(environments) / (took_s - WAIT_S))


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
                answer = _read_request(requests)
                process.kill()  # before the connection ends, of which it would complain
                return answer
        finally:
            process.kill()
            process.wait()


def _plain_starts_per_second(interpreter: Path, kit: Path, starts: int) -> float:
    """Some at a time, for the processors' sake: as the server does it."""
    with ThreadPoolExecutor(PLAIN_AT_ONCE) as starters:
        took_ms = _timed(lambda: list(starters.map(lambda _: plain_first_answer(interpreter, kit), range(starts))))
    return starts * 1000 / took_ms


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

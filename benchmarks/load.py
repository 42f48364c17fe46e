"""The load generator: a program of its own that sends one prepared request over and over, and times the answers.

A closed loop: each of N callers has a connection and sends its next request when it has the answer to its last one, or
some time after that.
Both sides of a comparison are called by this program, with requests that differ only in their heads. `run` starts it
and gives what it measured.
"""

import argparse
import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import uvloop

DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of the generator has measured. Latencies are in microseconds; the first of the timed calls was sent at
    `began_s` by `time.perf_counter`, which is the machine's monotonic clock and so the same in every process."""

    p50_us: float
    p99_us: float
    per_second: float
    began_s: float


def percentile(ordered: Sequence[float], part: float) -> float:
    """By the nearest rank: a latency that a call had."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def run(
    address: tuple[str, int], request: bytes, *, callers: int, calls: int, warm_up: int, pause_s: float = 0
) -> Load:
    """Start the generator. `calls` are those timed, of all callers together; the warm-up comes before them. Each caller
    pauses between an answer and its next request."""
    program = (sys.executable, "-m", "benchmarks.load", address[0], str(address[1]))
    counts = (f"--callers={callers}", f"--calls={calls}", f"--warm-up={warm_up}", f"--pause={pause_s}")
    done = subprocess.run((*program, *counts), input=request, stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True)
    return Load(**json.loads(done.stdout))


class UnexpectedAnswer(Exception):
    """The other side answered with something else than 200 or 202, or hung up: a figure of it is worth nothing."""


class Plan:
    """How many calls are still to be made, which all callers take from, and the latencies so far."""

    def __init__(self, request: bytes, calls: int, pause_s: float) -> None:
        self.request = request
        self.pause_s = pause_s
        self.unsent = calls
        self.unanswered = calls
        self.latencies_ns: list[int] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswer(reason))


class Caller(asyncio.Protocol):
    """One connection. Raw bytes both ways: what it costs is the same for every side, and small."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._plan: Plan | None = None
        self._sent_ns = 0
        self._received = b""
        self._expected = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # those of uvloop are no subclasses of it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._plan is not None:
            self._plan.fail(f"the connection was lost: {exc}")

    def follow(self, plan: Plan) -> None:
        self._plan = plan
        self._call()

    def _call(self) -> None:
        plan = self._plan
        assert plan is not None
        if plan.unsent == 0:
            self._plan = None
            return
        plan.unsent -= 1
        self._received = b""
        self._expected = 0
        self._sent_ns = time.perf_counter_ns()
        self.transport.write(plan.request)

    def data_received(self, data: bytes) -> None:
        plan = self._plan
        if plan is None:
            return
        self._received = received = self._received + data if self._received else data
        if not self._expected:
            self._expected = whole_length(received)
        if not self._expected or len(received) < self._expected:
            return
        plan.latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
        if received[9:12] not in (b"200", b"202"):  # an asynchronous invocation is accepted
            plan.fail(repr(received[:300]))
            return
        plan.unanswered -= 1
        if plan.unanswered == 0 and not plan.done.done():
            plan.done.set_result(None)
        if plan.pause_s and plan.unsent:
            asyncio.get_running_loop().call_later(plan.pause_s, self._call)
        else:
            self._call()


def whole_length(received: bytes) -> int:
    """The length of the response that begins with these bytes, head and body; 0 while the head is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = received[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    body = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return end + 4 + body


async def measure(
    address: tuple[str, int], request: bytes, callers: int, calls: int, warm_up: int, pause_s: float
) -> Load:
    """Raises UnexpectedAnswer."""
    loop = asyncio.get_running_loop()
    open_callers = [(await loop.create_connection(Caller, *address))[1] for _ in range(callers)]
    try:
        if warm_up:
            await _carry_out(Plan(request, warm_up, pause_s), open_callers)
        plan = Plan(request, calls, pause_s)
        began_ns = time.perf_counter_ns()
        await _carry_out(plan, open_callers)
        took_ns = time.perf_counter_ns() - began_ns
    finally:
        for caller in open_callers:
            caller.transport.close()
    ordered = sorted(plan.latencies_ns)
    return Load(
        p50_us=percentile(ordered, 0.5) / 1000,
        p99_us=percentile(ordered, 0.99) / 1000,
        per_second=calls * 1e9 / took_ns,
        began_s=began_ns / 1e9,
    )


async def _carry_out(plan: Plan, callers: Sequence[Caller]) -> None:
    for caller in callers:
        caller.follow(plan)
    await plan.done


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends the request on standard input over and over.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for count in ("--callers", "--calls", "--warm-up"):
        parser.add_argument(count, type=int, required=True)
    parser.add_argument("--pause", type=float, required=True)
    given = parser.parse_args()
    request = sys.stdin.buffer.read()
    counts = given.callers, given.calls, given.warm_up
    load = uvloop.run(measure((given.host, given.port), request, *counts, given.pause))
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()

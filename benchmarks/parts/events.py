"""Asynchronous invocations: how fast they are accepted and run, what a long queue takes, and that none is lost.

Accepting is measured with a function that has a concurrency of one and takes its time, so that next to nothing is run
meanwhile. The reference accepts by the same server with a commit for each event, on the same disk, in alternating
rounds.
"""

import asyncio
import re
import sqlite3
import statistics
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from benchmarks import load, processes, subjects
from benchmarks.parts import events_crash
from benchmarks.table import Row
from lambent.core.event_invoke import QueuedEvent, Trials
from lambent.core.function import FunctionName
from lambent.store.event_queue import EventQueue

ROUNDS = 3
ACCEPTED = 4000
ACCEPT_CALLERS = 32
RUN = 4000
RUN_CALLERS = 8
WARM_UP = 800
QUEUED = 1_000_000
FEW_QUEUED = 1_000
ACCEPT_RATIO_AT_LEAST = 3.5
SYNCS_PER_EVENT_AT_MOST = 1 / 8
THROUGHPUT_RATIO_AT_LEAST = 0.5
GROWTH_MB_AT_MOST = 4.0
BUSY_S = b"5"
"""For how long the function of which the queue is keeps its environment."""
RUN_WITHIN_S = 120
FILL_AT_ONCE = 500


def run(share: float) -> Iterable[Row]:
    return [*_accepting(), _running_to_the_end(), *_long_queue(max(1, round(QUEUED * share))), *events_crash.run(share)]


def _accepting() -> list[Row]:
    rates: list[tuple[float, float]] = []
    syncs: list[float] = []
    for _ in range(ROUNDS):
        shared, per_event = _accept("lambent")
        alone, _ = _accept("benchmarks.one_commit_each")
        rates.append((shared, alone))
        syncs.append(per_event)
    return [
        Row(
            f"events: accepted over HTTP, {ACCEPT_CALLERS} callers",
            "/s",
            measured=statistics.median(ours for ours, _ in rates),
            reference=statistics.median(other for _, other in rates),
            reference_name="the same server with one synced commit for each event, on the same disk",
            ratio=statistics.median(ours / other for ours, other in rates),
            ratio_at_least=ACCEPT_RATIO_AT_LEAST,
        ),
        Row(
            f"events: synced commits for each event, {ACCEPT_CALLERS} callers",
            "",
            measured=statistics.median(syncs),
            promised_at_most=SYNCS_PER_EVENT_AT_MOST,
            anywhere=True,
        ),
    ]


def _accept(module: str) -> tuple[float, float]:
    """Events accepted in a second, and commits for each."""
    with subjects.data_directory() as data:
        log = data / "log"
        settings = ("--log-level=info", "--shutdown-grace-s=1")
        with subjects.lambent(data / "data", *settings, log=log, module=module) as server:
            _create_busy(server)
            request = subjects.event_request("busy", BUSY_S)
            measured = load.run(server.address, request, callers=ACCEPT_CALLERS, calls=ACCEPTED, warm_up=ACCEPTED // 10)
        told = re.search(r"event queue closed accepted=(\d+) commits=(\d+)", log.read_text())
    assert told is not None
    return measured.per_second, int(told[2]) / int(told[1])


def _create_busy(server: subjects.Server) -> None:
    client = server.client()
    subjects.create(client, "busy", subjects.package(), module="waiting")
    client.put_function_concurrency(FunctionName="busy", ReservedConcurrentExecutions=1)


def _running_to_the_end() -> Row:
    """Accepted and run, beside the same function called synchronously, in alternating rounds."""
    rounds: list[tuple[float, float]] = []
    with subjects.data_directory() as data, subjects.lambent(data) as server:
        subjects.create(server.client(), "echo", subjects.package())
        for _ in range(ROUNDS):
            _run_events(server, data, WARM_UP)
            ran = _run_events(server, data, RUN)
            called = load.run(
                server.address, subjects.invoke_request("echo"), callers=RUN_CALLERS, calls=RUN, warm_up=WARM_UP
            )
            rounds.append((ran, called.per_second))
    return Row(
        f"events: accepted and run to the end, {RUN_CALLERS} callers",
        "/s",
        measured=statistics.median(ours for ours, _ in rounds),
        reference=statistics.median(other for _, other in rounds),
        reference_name="the same function, called synchronously by as many callers",
        ratio=statistics.median(ours / other for ours, other in rounds),
        ratio_at_least=THROUGHPUT_RATIO_AT_LEAST,
    )


def _run_events(server: subjects.Server, data: Path, count: int) -> float:
    """How many a second, from sending the first to the end of the last."""
    request = subjects.event_request("echo")
    began = load.run(server.address, request, callers=RUN_CALLERS, calls=count, warm_up=0).began_s
    deadline = began + RUN_WITHIN_S
    with closing(sqlite3.connect(f"file:{data}/events.sqlite?mode=ro", uri=True)) as queue:
        while queue.execute("SELECT 1 FROM event LIMIT 1").fetchone():
            if time.perf_counter() > deadline:
                raise subjects.NotReady(f"{count} events were not run within {RUN_WITHIN_S} s")
            time.sleep(0.01)
    return count / (time.perf_counter() - began)


def _long_queue(count: int) -> list[Row]:
    few, _ = _with_queued(min(FEW_QUEUED, count))
    many, started_in_s = _with_queued(count)
    return [
        Row(
            f"events: memory that {count:,} queued ones take more than {FEW_QUEUED:,}",
            "MB",
            measured=many - few,
            promised_at_most=GROWTH_MB_AT_MOST,
            anywhere=True,
        ),
        Row(f"events: start with {count:,} queued", "s", measured=started_in_s),
    ]


def _with_queued(count: int) -> tuple[float, float]:
    """The server's own memory in MB while it works on so many, and how long it took to start."""
    with subjects.data_directory() as data:
        with subjects.lambent(data) as server:
            _create_busy(server)
        asyncio.run(_fill(data / "events.sqlite", count))
        with subjects.lambent(data, "--shutdown-grace-s=1") as server:
            load.run(server.address, subjects.event_request("busy", BUSY_S), callers=8, calls=500, warm_up=0)
            return processes.resident_mb(server.process), server.started_in_s


async def _fill(path: Path, count: int) -> None:
    """By the store's own code: over the API it would take an hour."""
    queue = EventQueue(path)
    await queue.open()
    function = FunctionName("000000000000", subjects.REGION, "busy")
    now_ms = time.time_ns() // 1_000_000
    loop = asyncio.get_running_loop()
    for first in range(0, count, FILL_AT_ONCE):
        some = range(first, min(first + FILL_AT_ONCE, count))
        told = [loop.create_future() for _ in some]
        for number, future in zip(some, told, strict=True):
            event = QueuedEvent(f"queued-{number}", function, None, "Root=1", Trials(now_ms), BUSY_S)
            queue.put(event, now_ms, future.set_result)
        assert not any(await asyncio.gather(*told))
    await queue.close()

"""Environments wait for memory, as the worker tells of it, and so do calls; what comes from a queue does not."""

from pathlib import Path

import pytest
from dispatcher_bench import SERVING, VERSION, Bench, on_bench

from lambent.core.errors import TooManyRequestsException
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.invoke.configuration import Serving
from lambent.worker.messages import Answered, Available, Finished, Gone, MemoryMeasured, Retire, Start

OTHER = Serving(VERSION, "other pool", "other arn")
PLACES = 4
MEASURED = MemoryMeasured(256 + 128, 10_000)
"""Less the reserve, and given away four times."""


def call(bench: Bench, request: str, serving: Serving = SERVING, *, queued: bool = False) -> None:
    bench.dispatcher.invoke(serving, Invocation(request, "arn", b"{}"), lambda result: None, queued=queued)


def sent(bench: Bench, kind: type) -> list[str]:
    found = [command.environment_id for command in bench.sent if isinstance(command, kind)]
    bench.sent.clear()
    return found


def filled(bench: Bench) -> list[str]:
    bench.dispatcher.on_event(MEASURED)
    for number in range(PLACES):
        call(bench, f"r{number}")
    environments = sent(bench, Start)
    assert len(environments) == PLACES
    for environment in environments:
        bench.dispatcher.on_event(Available(environment))
    bench.sent.clear()
    return environments


def test_a_call_waits_for_memory_and_an_event_from_a_queue_is_refused(data_dir: Path):
    async def test(bench: Bench) -> None:
        environments = filled(bench)
        with pytest.raises(TooManyRequestsException) as refused:
            call(bench, "event", OTHER, queued=True)
        assert refused.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
        call(bench, "waits", OTHER)
        assert not bench.sent
        bench.dispatcher.on_event(Gone(environments[0], took="r0"))
        assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test)


def test_an_event_from_a_queue_waits_for_an_idle_environment_that_makes_room(data_dir: Path):
    async def test(bench: Bench) -> None:
        environments = filled(bench)
        bench.dispatcher.on_event(Answered(environments[0], "r0", Answer(b"1")))
        bench.dispatcher.on_event(Available(environments[0]))
        bench.dispatcher.on_event(Finished(environments[0], "r0", Report(Outcome.SUCCESS, 1, 1)))
        call(bench, "event", OTHER, queued=True)
        assert sent(bench, Retire) == [environments[0]]
        bench.dispatcher.on_event(Gone(environments[0]))
        assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test)


def test_what_waits_for_memory_is_not_started_when_its_call_is_served_otherwise(data_dir: Path):
    async def test(bench: Bench) -> None:
        environments = filled(bench)
        call(bench, "waits")
        bench.dispatcher.on_event(Answered(environments[0], "r0", Answer(b"1")))
        bench.dispatcher.on_event(Available(environments[0]))
        bench.sent.clear()
        bench.dispatcher.on_event(Gone(environments[1], took="r1"))
        assert sent(bench, Start) == []

    on_bench(data_dir, test)

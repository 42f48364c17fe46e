"""Environments wait for memory, as the worker tells of it, and so do calls, and one event of each function's queue."""

import asyncio
from pathlib import Path

import pytest
from dispatcher_bench import SERVING, VERSION, Bench, on_bench
from msgspec.structs import replace

from lambent.core.errors import ModelledError, TooManyRequestsException
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.placement import EVENT_WAIT_US, HOLD_US, PATIENCE_US, Policy
from lambent.invoke.configuration import Serving
from lambent.invoke.dispatcher import Completed
from lambent.testing.simulation.timeline import Timeline
from lambent.worker.messages import Answered, Available, Finished, Gone, MemoryMeasured, Retire, Start

OTHER = Serving(replace(VERSION, function=replace(VERSION.function, name="g")), "other pool", "other arn")
PLACES = 4
MEASURED = MemoryMeasured(256 + 128, 10_000)
"""Less the reserve, and given away four times."""


def call(
    bench: Bench, request: str, serving: Serving = SERVING, *, queued: bool = False
) -> list[Completed | ModelledError]:
    """Returns what will be told."""
    told: list[Completed | ModelledError] = []
    bench.dispatcher.invoke(serving, Invocation(request, "arn", b"{}"), told.append, queued=queued)
    return told


def pass_time(timeline: Timeline, passed_us: int) -> None:
    until_us = timeline.now_us + passed_us
    over: list[bool] = []
    timeline.call_at(until_us, over.append, True)
    while not over:
        timeline.advance()


def ends(bench: Bench, environment: str, request: str) -> None:
    bench.dispatcher.on_event(Answered(environment, request, Answer(b"1")))
    bench.dispatcher.on_event(Available(environment))
    bench.dispatcher.on_event(Finished(environment, request, Report(Outcome.SUCCESS, 1, 1)))


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


def test_calls_wait_for_memory_and_one_event_of_a_function(data_dir: Path):
    def test(bench: Bench) -> None:
        environments = filled(bench)
        call(bench, "event", OTHER, queued=True)
        with pytest.raises(TooManyRequestsException) as refused:
            call(bench, "another event", OTHER, queued=True)
        assert refused.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
        call(bench, "waits", OTHER)
        assert not bench.sent
        for number in range(2):
            bench.dispatcher.on_event(Gone(environments[number], took=f"r{number}"))
            assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test)


def events_at_work(bench: Bench) -> list[str]:
    """In all the environments that there is memory for: these."""
    bench.dispatcher.on_event(MEASURED)
    for number in range(PLACES):
        call(bench, f"r{number}", queued=True)
    environments = sent(bench, Start)
    for environment in environments:
        bench.dispatcher.on_event(Available(environment))
    return environments


def test_a_function_with_an_event_at_work_waits_for_no_more_memory_and_gives_way(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        environments = events_at_work(bench)
        with pytest.raises(TooManyRequestsException):
            call(bench, "one more", queued=True)
        call(bench, "event", OTHER, queued=True)
        bench.sent.clear()
        pass_time(timeline, PATIENCE_US)
        ends(bench, environments[0], "r0")
        assert sent(bench, Retire) == [environments[0]]
        bench.dispatcher.on_event(Gone(environments[0]))
        assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test, timeline)


def test_an_event_that_a_draining_environment_has_left_waits_only_if_it_is_alone(data_dir: Path):
    """It has waited for the environment, which gave way."""
    timeline = Timeline()

    def test(bench: Bench) -> None:
        environments = events_at_work(bench)
        call(bench, "other", OTHER)
        pass_time(timeline, PATIENCE_US)
        bench.dispatcher.on_event(Answered(environments[0], "r0", Answer(b"1")))
        told = call(bench, "next", queued=True)
        bench.dispatcher.on_event(Available(environments[0]))
        bench.dispatcher.on_event(Finished(environments[0], "r0", Report(Outcome.SUCCESS, 1, 1)))
        assert told == []
        pass_time(timeline, PATIENCE_US)
        assert [type(result) for result in told] == [TooManyRequestsException]

    on_bench(data_dir, test, timeline)


def test_a_caller_waits_for_its_time_and_an_event_that_came_before_it_for_longer(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        filled(bench)
        event = call(bench, "event", OTHER, queued=True)
        caller = call(bench, "caller", OTHER)
        pass_time(timeline, Policy().wait_us)
        assert event == []
        assert [type(result) for result in caller] == [TooManyRequestsException]
        pass_time(timeline, EVENT_WAIT_US - Policy().wait_us)
        assert [type(result) for result in event] == [TooManyRequestsException]

    on_bench(data_dir, test, timeline)


@pytest.mark.parametrize("queued", [False, True])
def test_a_caller_that_another_one_leaves_its_place_waits_for_its_own_time(data_dir: Path, queued: bool):
    """Be that another caller, who came before, or an event, which would wait for longer."""
    timeline = Timeline()

    def test(bench: Bench) -> None:
        environments = filled(bench)
        first = call(bench, "first", queued=queued)
        pass_time(timeline, Policy().wait_us - 50_000)
        bench.dispatcher.on_event(Answered(environments[0], "r0", Answer(b"1")))
        told = call(bench, "second")
        bench.dispatcher.on_event(Available(environments[0]))
        bench.dispatcher.on_event(Finished(environments[0], "r0", Report(Outcome.SUCCESS, 1, 1)))
        pass_time(timeline, Policy().wait_us - 1)
        assert first == told == []
        pass_time(timeline, 1)
        assert first == []
        assert [type(result) for result in told] == [TooManyRequestsException]

    on_bench(data_dir, test, timeline)


def of_size(name: str, memory_mib: int) -> Serving:
    version = replace(
        VERSION,
        function=replace(VERSION.function, name=name),
        configuration=replace(VERSION.configuration, memory_mib=memory_mib),
    )
    return Serving(version, f"pool of {name}", f"arn of {name}")


def test_what_has_no_room_for_long_keeps_others_back_for_a_while_and_ends_nothing_in_vain(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        environments = filled(bench)
        ends(bench, environments[0], "r0")
        bench.sent.clear()
        call(bench, "large", of_size("large", 3 * 128), queued=True)
        assert sent(bench, Retire) == [], "with that gone there would still be no room"
        call(bench, "small", OTHER)
        pass_time(timeline, HOLD_US - 1)
        assert bench.sent == []
        pass_time(timeline, 1)
        assert sent(bench, Retire) == [environments[0]]
        bench.dispatcher.on_event(Gone(environments[0]))
        assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test, timeline)


def test_a_function_that_is_called_without_end_has_no_turn_for_what_its_environments_serve(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        environments = filled(bench)
        for number in range(2):
            call(bench, f"greedy {number}")
        call(bench, "other", OTHER)
        pass_time(timeline, PATIENCE_US)
        ends(bench, environments[0], "r0")
        assert sent(bench, Retire) == []
        ends(bench, environments[1], "r1")
        assert sent(bench, Retire) == [environments[1]]

    on_bench(data_dir, test, timeline)


def test_an_environment_that_never_was_started_does_not_count_as_started(data_dir: Path):
    def test(bench: Bench) -> None:
        environments = filled(bench)
        for number in range(PLACES):
            told = call(bench, f"event {number}", OTHER, queued=True)
            bench.dispatcher.look_again(OTHER.version.function)
            assert [type(result) for result in told] == [TooManyRequestsException]
        bench.dispatcher.on_event(Gone(environments[0], took="r0"))
        assert call(bench, "caller", OTHER) == []
        assert len(sent(bench, Start)) == 1

    on_bench(data_dir, test, scale_out_per_10_s=PLACES)


def test_an_event_does_not_wait_for_memory_until_it_is_too_old_to_run(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        filled(bench)
        told: list[Completed | ModelledError] = []
        invocation = Invocation("event", "arn", b"{}")
        bench.dispatcher.invoke(OTHER, invocation, told.append, queued=True, within_us=1_000_000)
        pass_time(timeline, 999_999)
        assert told == []
        pass_time(timeline, 1)
        assert [type(result) for result in told] == [TooManyRequestsException]

    on_bench(data_dir, test, timeline)


def test_an_event_that_waits_for_memory_looks_again_when_something_else_is_said_of_it(data_dir: Path):
    def test(bench: Bench) -> None:
        filled(bench)
        event, caller = call(bench, "event", OTHER, queued=True), call(bench, "caller", OTHER)
        bench.dispatcher.look_again(VERSION.function)
        assert event == []
        bench.dispatcher.reserve(OTHER.version.function, 0)
        assert [type(result) for result in event] == [TooManyRequestsException]
        assert caller == []

    on_bench(data_dir, test)


def test_an_event_that_waits_for_memory_is_refused_when_its_version_is_superseded(data_dir: Path):
    """It looks anew what it is to run; a caller has what was there when it called."""

    def test(bench: Bench) -> None:
        filled(bench)
        tenant = OTHER.for_tenant("blue")
        event, caller = call(bench, "event", tenant, queued=True), call(bench, "caller", tenant)
        bench.dispatcher.supersede(OTHER.pool_id)
        assert [type(result) for result in event] == [TooManyRequestsException]
        assert caller == []

    on_bench(data_dir, test)


def test_what_waits_for_memory_does_not_keep_a_server_that_leaves(data_dir: Path):
    async def test(bench: Bench) -> None:
        environments = filled(bench)
        event = call(bench, "event", OTHER, queued=True)
        closing = asyncio.ensure_future(bench.dispatcher.close(grace_s=60))
        await asyncio.sleep(0)
        assert [type(result) for result in event] == [TooManyRequestsException]
        for number, environment in enumerate(environments):
            ends(bench, environment, f"r{number}")
        async with asyncio.timeout(10):
            await closing

    on_bench(data_dir, test)


def test_an_event_from_a_queue_waits_for_an_idle_environment_that_makes_room(data_dir: Path):
    async def test(bench: Bench) -> None:
        environments = filled(bench)
        ends(bench, environments[0], "r0")
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

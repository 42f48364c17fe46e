"""The dispatcher has templates made, restores environments from them, and tells callers what has come of that."""

import asyncio
from pathlib import Path

import pytest
from dispatcher_bench import SERVING, Bench, on_bench

from lambent.core.errors import ModelledError, ServiceException
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.snap_start import NotKept, Snapshot
from lambent.worker.messages import (
    ON_DEMAND,
    SNAP_START,
    Answered,
    Available,
    Finished,
    Gone,
    MakeTemplate,
    Retire,
    Run,
    Start,
    TemplateFailed,
    TemplateMade,
    TemplateRefused,
)


def arrive(bench: Bench, *requests: str) -> list[object]:
    """What the callers of these invocations are told."""
    told: list[object] = []
    for request in requests:
        bench.dispatcher.invoke(SERVING, Invocation(request, "arn", b"{}"), told.append)
    return told


def made(bench: Bench) -> str:
    """The template that was asked for since the last look, as it is made."""
    (command,) = bench.sent
    assert isinstance(command, MakeTemplate)
    assert command.spec.initialization_type == SNAP_START
    bench.sent.clear()
    bench.dispatcher.on_event(TemplateMade(command.environment_id, 30_000_000))
    return command.environment_id


def awaited(bench: Bench) -> MakeTemplate:
    """A template that was just asked for, and that one caller waits for."""
    bench.dispatcher.start()
    bench.dispatcher.restore(SERVING)
    arrive(bench, "r1")
    (command,) = bench.sent
    assert isinstance(command, MakeTemplate)
    bench.sent.clear()
    return command


async def wished(bench: Bench) -> tuple[asyncio.Task[Snapshot], MakeTemplate]:
    """The wish for a template, and what it has had sent."""
    bench.dispatcher.start()
    wish = asyncio.create_task(bench.dispatcher.snapshot(SERVING))
    await asyncio.sleep(0)
    (command,) = bench.sent
    assert isinstance(command, MakeTemplate)
    return wish, command


def test_after_a_restart_the_template_is_made_before_anybody_asks(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.restore(SERVING)
        assert bench.sent == [], "there is no worker yet"
        bench.dispatcher.start()
        template = made(bench)
        arrive(bench, "r1")
        (start,) = bench.sent
        assert isinstance(start, Start)
        assert (start.spec.template_id, start.spec.initialization_type) == (template, SNAP_START)

    on_bench(data_dir, test)


def test_who_comes_before_the_template_waits_for_it(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        arrive(bench, "r1", "r2")
        template = made(bench)
        starts = [command for command in bench.sent if isinstance(command, Start)]
        assert [start.spec.template_id for start in starts] == [template, template]
        assert len({start.spec.credentials.authorization for start in starts} - {""}) == 2
        bench.dispatcher.on_event(Available(starts[0].environment_id))
        assert isinstance(bench.sent[-1], Run)

    on_bench(data_dir, test)


def test_a_template_that_can_not_be_made_again_is_told_to_who_waited(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        told = arrive(bench, "r1")
        (command,) = bench.sent
        bench.dispatcher.on_event(TemplateFailed(command.environment_id))
        bench.dispatcher.on_event(Gone(command.environment_id))
        assert [error.code for error in told] == ["SnapStartRegenerationFailureException"]
        bench.sent.clear()
        arrive(bench, "r2")
        made(bench)
        assert isinstance(bench.sent[-1], Start)

    on_bench(data_dir, test)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (Outcome.TIMEOUT, "SnapStartTimeoutException"),
        (Outcome.FUNCTION_ERROR, "SnapStartException"),
        (Outcome.CRASH, "SnapStartException"),
        (None, "ServiceException"),
    ],
)
def test_a_restoration_that_failed_is_told_to_who_waited_for_it(data_dir: Path, how: Outcome | None, code: str) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        made(bench)
        told = arrive(bench, "r1")
        (start,) = bench.sent
        bench.dispatcher.on_event(Gone(start.environment_id, "", how))
        (error,) = told
        assert isinstance(error, ModelledError)
        assert error.code == code

    on_bench(data_dir, test)


def test_nobody_waits_for_a_restored_environment_whose_program_has_ended(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        made(bench)
        arrive(bench, "r1")
        (start,) = bench.sent
        bench.dispatcher.on_event(Available(start.environment_id))
        bench.dispatcher.on_event(Answered(start.environment_id, "r1", Answer(b"{}", error_type="Runtime.ExitError")))
        bench.dispatcher.on_event(Finished(start.environment_id, "r1", Report(Outcome.CRASH, 1, 1)))
        bench.sent.clear()
        arrive(bench, "r2")
        (another,) = bench.sent
        assert isinstance(another, Start)
        bench.dispatcher.on_event(Gone(start.environment_id))
        bench.dispatcher.on_event(Available(another.environment_id))
        assert bench.sent[-1] == Run(another.environment_id, Invocation("r2", "arn", b"{}"))

    on_bench(data_dir, test)


def test_a_worker_without_templates_initialises_as_ever(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        command = awaited(bench)
        bench.dispatcher.on_event(TemplateRefused(command.environment_id))
        arrive(bench, "r2")
        assert [start.spec.initialization_type for start in bench.sent] == [ON_DEMAND, ON_DEMAND]
        assert all(start.spec.template_id is None for start in bench.sent)
        assert all(start.spec.credentials.authorization == "" for start in bench.sent)

    on_bench(data_dir, test)


def test_a_template_that_ends_by_itself_is_made_again_at_the_next_look(data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        first = made(bench)
        bench.dispatcher.on_event(Gone(first, "the template has ended"))
        await bench.looks_again()
        assert made(bench) != first

    on_bench(data_dir, test)


def test_who_is_held_for_a_template_that_is_lost_is_held_for_the_next_one_and_no_other(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.restore(SERVING)
        told = arrive(bench, "r1", "r2")
        (first,) = bench.sent
        bench.dispatcher.on_event(Gone(first.environment_id, "the sandbox launcher has ended"))
        assert told == []
        second = bench.sent[-1]
        assert [type(command) for command in bench.sent] == [MakeTemplate, MakeTemplate]
        bench.dispatcher.on_event(Gone(second.environment_id, "the sandbox launcher has ended"))
        assert [type(error) for error in told] == [ServiceException] * 2

    on_bench(data_dir, test)


def test_a_version_that_goes_takes_its_template_along_and_serves_who_waited(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        command = awaited(bench)
        bench.dispatcher.supersede(SERVING.pool_id)
        retire, start = bench.sent
        assert retire == Retire(command.environment_id)
        assert (start.spec.initialization_type, start.spec.template_id) == (ON_DEMAND, None)
        # What is told of it afterwards is about nothing.
        bench.dispatcher.on_event(TemplateMade(command.environment_id, 1))
        bench.dispatcher.on_event(Gone(command.environment_id))
        assert bench.sent == [retire, start]

    on_bench(data_dir, test)


def test_a_wish_for_a_template_is_answered_by_what_comes_of_it(data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        wish, command = await wished(bench)
        # What the machine fails at is tried again.
        bench.dispatcher.on_event(Gone(command.environment_id, "no more processes"))
        await bench.looks_again()
        bench.sent.remove(command)
        made(bench)
        assert await wish is Snapshot.MADE

    on_bench(data_dir, test)


def test_a_template_that_the_platform_could_not_keep_is_not_tried_again_and_the_reason_told(data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        wish, command = await wished(bench)
        bench.dispatcher.on_event(TemplateFailed(command.environment_id, "the disk is full"))
        bench.dispatcher.on_event(Gone(command.environment_id))
        with pytest.raises(NotKept, match="the disk is full"):
            await wish
        assert not bench.dispatcher.census().pools
        call = arrive(bench, "r1")
        assert [type(sent) for sent in bench.sent[1:]] == [Start]
        assert call == []

    on_bench(data_dir, test)


def test_who_gives_up_a_wish_has_no_template(data_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        wish, command = await wished(bench)
        wish.cancel()
        await asyncio.wait((wish,))
        assert bench.sent == [command, Retire(command.environment_id)]

    on_bench(data_dir, test)

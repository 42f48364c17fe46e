"""The dispatcher starts what is provisioned ahead of need, and what it tells of it follows the environments."""

from pathlib import Path

from dispatcher_bench import SERVING, VERSION, Bench, on_bench
from msgspec.structs import replace

from lambent.core.function import UnreadableVariables
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.provisioned_concurrency import FIRST_RETRY_US, FUNCTION_FAILED, Progress
from lambent.invoke.configuration import Serving
from lambent.testing.simulation.timeline import Timeline
from lambent.worker.messages import Answered, Available, Finished, Gone, Initialised, Retire, Run


def test_nothing_is_started_before_the_worker_is_there(data_dir: Path):
    def test(bench: Bench) -> None:
        bench.dispatcher.provision(SERVING, 2)
        assert bench.started() == []
        bench.dispatcher.start()
        assert bench.started() == ["e1", "e2"]
        assert bench.progress() == Progress(2, 0)
        bench.initialised("e1")
        assert bench.progress() == Progress(2, 1)

    on_bench(data_dir, test)


def test_a_version_whose_variables_can_not_be_read_is_not_run_without_them(data_dir: Path):
    sealed = UnreadableVariables(b"", "the key is not there")
    unreadable = replace(VERSION, configuration=replace(VERSION.configuration, unreadable=sealed))

    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(Serving(unreadable, "pool", "arn"), 2)
        assert bench.started() == []
        assert bench.progress() == Progress(0, 0, FUNCTION_FAILED)

    on_bench(data_dir, test)


def test_fewer_are_wanted(data_dir: Path):
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 2)
        bench.initialised("e1", "e2")
        bench.sent.clear()
        bench.dispatcher.provision(SERVING, 0)
        assert set(bench.sent) == {Retire("e1"), Retire("e2")}
        assert bench.progress() == Progress()

    on_bench(data_dir, test)


def test_one_that_still_starts_is_retired_at_once_and_given_no_event(data_dir: Path):
    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 1)
        bench.sent.clear()
        bench.dispatcher.provision(SERVING, 0)
        assert bench.sent == [Retire("e1")]
        bench.dispatcher.invoke(SERVING, Invocation("r1", "arn", b"{}"), lambda result: None)
        bench.initialised("e1")
        assert not [command for command in bench.sent if isinstance(command, Run)]

    on_bench(data_dir, test)


def test_one_that_is_at_work_is_retired_after_its_invocation(data_dir: Path):
    async def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 1)
        bench.initialised("e1")
        told: list[object] = []
        bench.dispatcher.invoke(SERVING, Invocation("r1", "arn", b"{}"), told.append)
        assert isinstance(bench.sent[-1], Run)
        bench.sent.clear()
        bench.dispatcher.provision(SERVING, 0)
        assert bench.sent == []
        bench.dispatcher.on_event(Answered("e1", "r1", Answer(b"1")))
        bench.dispatcher.on_event(Available("e1"))
        bench.dispatcher.on_event(Finished("e1", "r1", Report(Outcome.SUCCESS, 1, 1)))
        await bench.looks_again()
        assert bench.sent == [Retire("e1")]

    on_bench(data_dir, test)


def test_a_failed_initialisation_ends_the_environment_and_another_is_tried_later(data_dir: Path):
    timeline = Timeline()

    def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 1)
        bench.sent.clear()
        bench.dispatcher.on_event(Initialised("e1", failed=True))
        bench.dispatcher.on_event(Available("e1"))
        assert bench.progress() == Progress(0, 0, FUNCTION_FAILED)
        assert bench.sent == [Retire("e1")]
        bench.dispatcher.on_event(Gone("e1"))
        assert bench.progress() == Progress(0, 0, FUNCTION_FAILED)
        bench.sent.clear()
        while not bench.sent:
            timeline.advance()
        assert timeline.now_us >= FIRST_RETRY_US
        assert bench.started() == ["e2"]
        bench.initialised("e2")
        assert bench.progress() == Progress(1, 1)

    on_bench(data_dir, test, timeline)


def test_an_environment_that_the_machine_could_not_give_is_tried_again_at_the_next_look(data_dir: Path):
    async def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 1)
        bench.sent.clear()
        bench.dispatcher.on_event(Gone("e1", "no more processes"))
        assert bench.progress() == Progress(0, 0, "no more processes")
        assert bench.sent == []
        await bench.looks_again()
        assert bench.started() == ["e2"]
        assert bench.progress() == Progress(1, 0, "no more processes")
        bench.initialised("e2")
        assert bench.progress() == Progress(1, 1)

    on_bench(data_dir, test)


def test_one_whose_program_has_crashed_counts_no_more_and_is_replaced(data_dir: Path):
    async def test(bench: Bench) -> None:
        bench.dispatcher.start()
        bench.dispatcher.provision(SERVING, 1)
        bench.initialised("e1")
        bench.dispatcher.invoke(SERVING, Invocation("r1", "arn", b"{}"), lambda result: None)
        bench.dispatcher.on_event(Answered("e1", "r1", Answer(b"{}", error_type="Runtime.ExitError")))
        bench.dispatcher.on_event(Available("e1"))
        bench.sent.clear()
        bench.dispatcher.on_event(Finished("e1", "r1", Report(Outcome.CRASH, 1, 1)))
        assert bench.sent == [Retire("e1")]
        assert bench.progress() == Progress()
        bench.sent.clear()
        await bench.looks_again()
        assert bench.started() == ["e2"]

    on_bench(data_dir, test)

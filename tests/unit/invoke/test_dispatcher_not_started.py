"""Environments that the platform could not start: whoever waits for one gets another, once."""

from pathlib import Path

from dispatcher_bench import SERVING, Bench, on_bench

from lambent.core.errors import ModelledError, ServiceException
from lambent.core.invocation import Answer, Invocation, Outcome
from lambent.invoke.dispatcher import Completed
from lambent.worker.messages import Answered, Available, Gone, Run, Start

Result = Completed | ModelledError


def call(bench: Bench, request_id: str) -> list[Result]:
    told: list[Result] = []
    bench.dispatcher.invoke(SERVING, Invocation(request_id, "arn", b"{}"), told.append)
    return told


def starts(bench: Bench) -> list[str]:
    return [command.environment_id for command in bench.sent if isinstance(command, Start)]


def test_who_waits_for_one_that_was_lost_gets_another(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        told = call(bench, "r")
        bench.dispatcher.on_event(Gone("e1", "the sandbox launcher has ended"))
        assert (told, starts(bench)) == ([], ["e1", "e2"])
        bench.dispatcher.on_event(Available("e2"))
        assert [command.environment_id for command in bench.sent if isinstance(command, Run)] == ["e2"]
        bench.dispatcher.on_event(Answered("e2", "r", Answer(b"1")))
        assert told == [Completed(Answer(b"1"))]

    on_bench(data_dir, test)


def test_the_second_time_it_is_told(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        told, other = call(bench, "r"), call(bench, "other")
        bench.dispatcher.on_event(Gone("e1", "no more processes"))
        bench.dispatcher.on_event(Gone("e3", "no more processes"))
        assert starts(bench) == ["e1", "e2", "e3"]
        assert [type(error) for error in told] == [ServiceException]
        assert "no more processes" in str(told[0])
        assert other == []

    on_bench(data_dir, test)


def test_what_is_not_the_platforms_fault_is_told_at_once(data_dir: Path) -> None:
    def test(bench: Bench) -> None:
        told = [call(bench, request_id) for request_id in ("r1", "r2")]
        bench.dispatcher.on_event(Gone("e1"))
        bench.dispatcher.on_event(Gone("e2", "", Outcome.TIMEOUT))
        assert starts(bench) == ["e1", "e2"]
        assert [len(each) for each in told] == [1, 1]

    on_bench(data_dir, test)

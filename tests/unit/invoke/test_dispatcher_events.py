"""An event of a queue is over when its environment may have the next one, which then goes there."""

from pathlib import Path

from dispatcher_bench import SERVING, Bench, on_bench

from lambent.core.errors import ModelledError
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.invoke.dispatcher import Completed
from lambent.worker.messages import Answered, Available, Finished, Gone, Run, Start

Result = Completed | ModelledError
ANSWER = Answer(b"1")


def environments_of(bench: Bench, number: int) -> list[str]:
    """So many, which are idle; the last one was used last."""
    for request in range(number):
        bench.dispatcher.invoke(SERVING, Invocation(f"r{request}", "arn", b"{}"), lambda _: None)
    environments = [command.environment_id for command in bench.sent if isinstance(command, Start)]
    for environment in environments:
        bench.dispatcher.on_event(Available(environment))
    for request, environment in enumerate(environments):
        bench.dispatcher.on_event(Answered(environment, f"r{request}", ANSWER))
        bench.dispatcher.on_event(Available(environment))
        bench.dispatcher.on_event(Finished(environment, f"r{request}", Report(Outcome.SUCCESS, 1, 1)))
    bench.sent.clear()
    return environments


def test_the_event_after_it_has_the_environment_of_the_one_that_is_over(data_dir: Path):
    def test(bench: Bench) -> None:
        _, used_last = environments_of(bench, 2)
        told: list[Result] = []

        def next_one(result: Result) -> None:
            told.append(result)
            bench.dispatcher.invoke(SERVING, Invocation("next", "arn", b"{}"), told.append, queued=True)

        bench.dispatcher.invoke(SERVING, Invocation("event", "arn", b"{}"), next_one, queued=True)
        bench.dispatcher.on_event(Answered(used_last, "event", ANSWER))
        assert told == []
        bench.dispatcher.on_event(Available(used_last))
        assert told == [Completed(ANSWER)]
        runs = [(run.environment_id, run.invocation.request_id) for run in bench.sent if isinstance(run, Run)]
        assert runs == [(used_last, "event"), (used_last, "next")]

    on_bench(data_dir, test)


def test_it_is_told_once_where_the_environment_ends_with_it(data_dir: Path):
    def test(bench: Bench) -> None:
        (environment,) = environments_of(bench, 1)
        told: list[Result] = []
        bench.dispatcher.invoke(SERVING, Invocation("event", "arn", b"{}"), told.append, queued=True)
        bench.dispatcher.on_event(Answered(environment, "event", ANSWER))
        bench.dispatcher.on_event(Finished(environment, "event", Report(Outcome.CRASH, 1, 1)))
        bench.dispatcher.on_event(Available(environment))
        bench.dispatcher.on_event(Gone(environment))
        assert [result.answer for result in told if isinstance(result, Completed)] == [ANSWER]

    on_bench(data_dir, test)

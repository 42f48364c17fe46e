"""Asynchronous invocations over a real queue on disk; the function and its destinations are played by the test."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from lambent.core import lineage
from lambent.core.delivery_queue import Place
from lambent.core.errors import (
    ModelledError,
    RecursiveInvocationException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lambent.core.event_invoke import EventInvokeConfig, QueuedEvent, Trials
from lambent.core.function import LATEST, Configuration, FunctionName, FunctionVersion, Logging, Package, Status
from lambent.core.invocation import Answer
from lambent.core.invocation_record import Condition, DeliveryFailed, Ended
from lambent.invoke import event_deliveries
from lambent.invoke.configuration import ServingConfiguration, serving_of
from lambent.invoke.dispatcher import Completed
from lambent.invoke.events import EventInvocations
from lambent.store.changes import EventInvokeChanged, ReservationChanged, VersionChanged
from lambent.store.event_queue import EventQueue
from lambent.testing.clock import ManualClock

F = FunctionName("111122223333", "us-east-1", "f")
VERSION = FunctionVersion(
    function=F,
    version=LATEST,
    configuration=Configuration(
        "role", "python3.13", "app.handler", logging=Logging("/g"), stored={"DeadLetterConfig": {"TargetArn": "dlq"}}
    ),
    package=Package("0" * 64, 1),
    architectures=("x86_64",),
    revision_id="r",
    config_revision="c",
    last_modified_ms=0,
    state=Status("Active"),
    last_update=None,
)
G = FunctionName("111122223333", "us-east-1", "g")
VERSION_OF_G = replace(VERSION, function=G)
WELL = Completed(Answer(b'{"well": 1}'))
BADLY = Completed(Answer(b'{"errorMessage": "it broke", "errorType": "E"}', error_type="E"))
Result = Completed | ModelledError


@pytest.fixture
def disk() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="lambent-test-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory)


class Bench:
    """Answers each attempt with the next of `results`, and each delivery as `failures` say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.configuration = ServingConfiguration()
        self.configuration.apply(VersionChanged(VERSION, VERSION))
        self.configure(on_success="good", on_failure="bad")
        self.results: list[Result] = []
        self.attempts: list[QueuedEvent] = []
        self.failures: list[DeliveryFailed] = []
        self.delivered: list[tuple[str, Ended]] = []
        self.places: dict[str, int] = {}
        """How many deliveries there may be at a time, by service: four where nothing is said."""
        self.under_way: list[Ended] = []
        self.goes_on = asyncio.Event()
        """Deliveries wait for it."""
        self.goes_on.set()
        self.events: EventInvocations

    def configure(self, **settings: Any) -> None:
        self.configuration.apply(EventInvokeChanged(EventInvokeConfig(F, LATEST, 0, **settings)))

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        """Until the end of the context, which is the process's death."""
        queue = EventQueue(self.path)
        await queue.open()
        self.events = EventInvocations(
            store=queue,
            configuration=self.configuration,
            deliveries=self,
            clock=self.clock,
            timers=asyncio.get_running_loop(),
            places=8,
            retry_delay_s=60,
        )
        self.events.attempt = self.attempt
        await self.events.open()
        task = asyncio.create_task(self.events.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await queue.close()

    def attempt(self, event: QueuedEvent, tell: Callable[..., None]) -> None:
        self.attempts.append(event)
        result = self.results.pop(0)
        if isinstance(result, TooManyRequestsException):
            raise result
        asyncio.get_running_loop().call_soon(tell, serving_of(VERSION), result)

    async def deliver(self, target_arn: str, ended: Ended) -> None:
        await self.dead_letter(target_arn, ended)

    def place(self, service: str, account: str) -> Place:
        return Place(service, self.places.get(service, 4))

    async def dead_letter(self, target_arn: str, ended: Ended) -> None:
        self.under_way.append(ended)
        await self.goes_on.wait()
        self.under_way.remove(ended)
        if self.failures:
            raise self.failures.pop(0)
        self.delivered.append((target_arn, ended))

    async def accept(self, name: str = "r", function: FunctionName = F, qualifier: str | None = None) -> None:
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        trials = Trials(self.clock.wall_ms())
        self.events.accept(QueuedEvent(name, function, qualifier, "Root=1", trials, b'{"a": 1}'), told.set_result)
        assert await told is None

    async def after(self, seconds: int) -> None:
        """When all that was at work waits again, so much later."""
        async with asyncio.timeout(10):
            while any(queue.at_work for queue in await self.events.queues()):
                pass
        self.clock.advance_ms(seconds * 1000)
        self.events.resume(F)

    async def until(self, is_so: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                await self.events.queues()  # a turn of the queue's threads

    async def is_empty(self) -> None:
        async with asyncio.timeout(10):
            while any(queue.queued for queue in await self.events.queues()):
                pass


def play(disk: Path, test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test(Bench(disk / "events.sqlite")))


def test_a_success_is_told_to_its_destination_with_what_the_function_answered(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [WELL]
        async with bench.running():
            await bench.accept()
            await bench.is_empty()
        ((target, ended),) = bench.delivered
        assert target == "good"
        assert ended == Ended(
            request_id="r",
            function=F,
            function_arn="arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST",
            condition=Condition.SUCCESS,
            invoke_count=1,
            payload=b'{"a": 1}',
            at_ms=bench.clock.wall_ms(),
            trace_id=lineage.handed_on("Root=1", F),
            role="role",
            executed_version=LATEST,
            status_code=200,
            response=b'{"well": 1}',
        )

    play(disk, test)


def test_a_failure_is_told_to_both_after_its_retries(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [BADLY, BADLY, BADLY]
        async with bench.running():
            await bench.accept()
            for retry, delay_s in enumerate((60, 120), start=1):
                await bench.until(lambda retry=retry: len(bench.attempts) == retry)
                assert await bench.events.queues()
                await bench.after(delay_s)
            await bench.is_empty()
        assert [target for target, _ in bench.delivered] == ["bad", "dlq"]
        ended = bench.delivered[0][1]
        assert (ended.condition, ended.invoke_count, ended.function_error, ended.error_message) == (
            Condition.RETRIES_EXHAUSTED, 3, "Unhandled", "it broke",
        )  # fmt: skip
        assert {event.request_id for event in bench.attempts} == {"r"}

    play(disk, test)


def test_what_was_throttled_or_lost_is_tried_again_and_counts_for_nothing(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [TooManyRequestsException("Rate Exceeded."), ServiceException("lost"), WELL]
        async with bench.running():
            await bench.accept()
            for tries, delay_s in enumerate((1, 2), start=1):
                await bench.until(lambda tries=tries: len(bench.attempts) == tries)
                await bench.after(delay_s)
            await bench.is_empty()
        assert [ended.invoke_count for _, ended in bench.delivered] == [1]

    play(disk, test)


def test_with_no_concurrency_there_is_no_attempt_and_with_too_much_age_there_is_none_more(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        async with bench.running():
            bench.configuration.apply(ReservationChanged(F, 0))
            await bench.accept()
            await bench.is_empty()
            bench.configuration.apply(ReservationChanged(F, None))
            bench.results = [BADLY]
            await bench.accept("old")
            await bench.until(lambda: bench.attempts)
            bench.configure(event_age_s=60, on_failure="bad")
            await bench.after(60)
            await bench.is_empty()
        told = [(target, ended.condition, ended.invoke_count) for target, ended in bench.delivered]
        assert told == [
            ("bad", Condition.ZERO_RESERVED, 0),
            ("dlq", Condition.ZERO_RESERVED, 0),
            ("bad", Condition.EVENT_AGE_EXCEEDED, 1),
            ("dlq", Condition.EVENT_AGE_EXCEEDED, 1),
        ]
        said = [(ended.status_code, ended.function_error, ended.response) for _, ended in bench.delivered]
        assert said == [(None, None, None)] * 2 + [(200, "Unhandled", BADLY.answer.payload)] * 2
        assert [ended.error_message for _, ended in bench.delivered] == ["", "", "it broke", "it broke"]

    play(disk, test)


def test_a_delivery_that_fails_for_a_while_outlives_the_process_and_the_other_is_not_repeated(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [BADLY]
        bench.configure(retry_attempts=0, on_failure="bad")
        bench.failures = [DeliveryFailed("away", is_transient=True)]
        async with bench.running():
            await bench.accept()
            await bench.until(lambda: bench.delivered)
            await bench.events.close(grace_s=10)
        assert [target for target, _ in bench.delivered] == ["dlq"]
        bench.clock.advance_ms(1000)
        async with bench.running():
            await bench.is_empty()
        assert [target for target, _ in bench.delivered] == ["dlq", "bad"]
        assert bench.delivered[0][1] == bench.delivered[1][1]
        assert len(bench.attempts) == 1

    play(disk, test)


def test_what_can_not_be_delivered_is_counted_and_given_up(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [WELL]
        bench.failures = [DeliveryFailed("no such queue", is_transient=False)]
        async with bench.running():
            await bench.accept()
            await bench.is_empty()
            (told,) = await bench.events.queues()
            assert (told.queued, told.dropped, told.undelivered, bench.delivered) == (0, 0, 1, [])

    play(disk, test)


def test_what_the_last_run_said_outlives_the_process_and_an_attempt_that_is_refused(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [BADLY]
        async with bench.running():
            await bench.accept()
            await bench.until(lambda: bench.attempts)
            await bench.events.close(grace_s=10)
        bench.clock.advance_ms(60_000)
        bench.results = [RecursiveInvocationException("a loop")]
        async with bench.running():
            await bench.is_empty()
        for _, ended in bench.delivered:
            assert (ended.condition, ended.invoke_count) == (Condition.RETRIES_EXHAUSTED, 1)
            assert (ended.response, ended.error_message) == (BADLY.answer.payload, "it broke")
        assert len(bench.delivered) == 2

    play(disk, test)


def test_a_destination_that_is_behind_takes_no_places_and_loses_nothing(disk: Path) -> None:
    """More wait for it than there are places, and than it is asked for at a time."""

    async def test(bench: Bench) -> None:
        bench.configure(on_success="arn:aws:sqs:r:1:slow")
        bench.configuration.apply(VersionChanged(VERSION_OF_G, VERSION_OF_G))
        bench.configuration.apply(
            EventInvokeChanged(EventInvokeConfig(G, LATEST, 0, on_success="arn:aws:sqs:r:1:slow"))
        )
        bench.places["sqs"] = 2
        bench.results = [WELL] * 31
        bench.goes_on.clear()
        async with bench.running():
            for number in range(30):
                await bench.accept(str(number))
            await bench.until(lambda: len(bench.attempts) == 30)
            await bench.accept("quiet", G)
            await bench.until(lambda: len(bench.attempts) == 31)
            await bench.after(3600)
            told = {queue.function: queue for queue in await bench.events.queues()}
            assert (told[F].queued, told[F].to_tell, told[F].at_work) == (30, 30, 0)
            assert len(bench.under_way) == 2
            bench.goes_on.set()
            await bench.is_empty()
            assert all(queue.undelivered == 0 for queue in await bench.events.queues())
        names = [ended.request_id for _, ended in bench.delivered]
        assert sorted(names) == sorted([*map(str, range(30)), "quiet"])
        assert names.index("quiet") < 6

    play(disk, test)


def test_what_is_under_way_is_bounded_in_bytes_and_the_rest_on_disk(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_deliveries, "DELIVERING_BYTES", 250_000)

    async def test(bench: Bench) -> None:
        bench.configure(on_success="arn:aws:sqs:r:1:slow")
        bench.results = [Completed(Answer(b'"%s"' % (b"x" * 100_000)))] * 8
        bench.goes_on.clear()
        async with bench.running():
            for number in range(8):
                await bench.accept(str(number))
            await bench.after(0)
            await bench.until(lambda: len(bench.under_way) == 2)
            assert sum(queue.to_tell for queue in await bench.events.queues()) == 8
            assert len(bench.under_way) == 2
            bench.goes_on.set()
            await bench.is_empty()
        assert [len(ended.response or b"") for _, ended in bench.delivered] == [100_002] * 8

    play(disk, test)


def test_what_a_target_can_never_take_is_given_up_at_once_and_not_kept(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.configure(on_success="arn:aws:sqs:r:1:q")
        bench.results = [Completed(Answer(b'"%s"' % (b"x" * 1_048_576)))]
        async with bench.running():
            await bench.accept()
            await bench.is_empty()
            (told,) = await bench.events.queues()
            assert (told.dropped, told.undelivered, bench.delivered) == (0, 1, [])
            assert sum(path.stat().st_size for path in bench.path.parent.glob("events.sqlite*")) < 500_000

    play(disk, test)


def test_what_was_at_work_when_the_process_died_is_run_again_and_nothing_else(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        class Never(Bench):
            def attempt(self, event: QueuedEvent, tell: Callable[..., None]) -> None:
                self.attempts.append(event)

        first = Never(bench.path)
        async with first.running():
            for name in "abc":
                await first.accept(name)
            await first.until(lambda: len(first.attempts) == 3)
            (queue,) = await first.events.queues()
            assert (queue.function, queue.queued, queue.at_work) == (F, 3, 3)
        bench.results = [WELL] * 3
        async with bench.running():
            await bench.is_empty()
        assert sorted(event.request_id for event in bench.attempts) == ["a", "b", "c"]
        assert len(bench.delivered) == 3

    play(disk, test)


def test_nothing_begins_after_the_end_and_what_is_accepted_then_is_there_at_the_next_start(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        async with bench.running():
            bench.events.stop()
            await bench.accept()
            await bench.events.close(grace_s=10)
            assert bench.attempts == []
        bench.results = [WELL]
        async with bench.running():
            await bench.is_empty()
        assert len(bench.attempts) == 1

    play(disk, test)


def test_of_an_event_for_an_alias_that_is_gone_the_functions_dead_letter_queue_is_told(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [ResourceNotFoundException("gone")]
        async with bench.running():
            await bench.accept(qualifier="live")
            await bench.is_empty()
            ((target, ended),) = bench.delivered
            assert (target, ended.function_arn) == ("dlq", "arn:aws:lambda:us-east-1:111122223333:function:f:live")

    play(disk, test)


def test_fewer_retries_are_heard_of_by_an_event_that_waits_for_one(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.results = [BADLY]
        async with bench.running():
            await bench.accept()
            await bench.until(lambda: bench.attempts)
            await bench.after(0)
            bench.configure(on_failure="bad", retry_attempts=0)
            await bench.after(60)
            await bench.is_empty()
            assert [(target, ended.condition, ended.invoke_count) for target, ended in bench.delivered] == [
                ("bad", Condition.RETRIES_EXHAUSTED, 1),
                ("dlq", Condition.RETRIES_EXHAUSTED, 1),
            ]
            assert {ended.error_message for _, ended in bench.delivered} == {"it broke"}

    play(disk, test)


def test_of_a_function_that_is_gone_nothing_is_told(disk: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.configuration = ServingConfiguration()
        bench.results = [ResourceNotFoundException("gone")]
        async with bench.running():
            await bench.accept()
            await bench.is_empty()
            (told,) = await bench.events.queues()
            assert (told.queued, told.dropped, told.undelivered, bench.delivered) == (0, 1, 0, [])

    play(disk, test)

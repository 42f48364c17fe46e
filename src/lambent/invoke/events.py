"""Asynchronous invocations: from the queue on disk to the front end, and back to the queue, until each is over.

An event is accepted when it is on disk. It begins at once where its function has a place free (`core.event_queue`),
and is fetched when its turn comes otherwise. What becomes of it after an attempt is decided by `core.event_invoke`, by
the configuration of that moment, and written down; nobody waits for that but the event itself. Concurrency is looked
at where every invocation's is: at the dispatcher. What is to be told of an event that has ended is told by
`event_deliveries`.

Owns what is at work. Nothing here outlives the process: what has not ended on disk begins again after a crash.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from lambent.clock import Clock, Timer, Timers
from lambent.core.errors import ModelledError, ServiceException
from lambent.core.event_invoke import (
    LONGEST_BACKOFF_MS,
    Delivery,
    EventInvokeConfig,
    GiveUp,
    QueuedEvent,
    Retry,
    after_function_error,
    after_refusal,
    before_attempt,
    deliveries_of,
    ended_as,
    is_too_large,
)
from lambent.core.event_queue import EventQueues, Fetch
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.core.invocation import Answer
from lambent.core.invocation_record import Condition, run_of
from lambent.core.limits import RETRY_ATTEMPTS
from lambent.core.record import Record
from lambent.invoke.configuration import Serving, ServingConfiguration
from lambent.invoke.dispatcher import Completed
from lambent.invoke.event_deliveries import (
    AGAIN_AFTER_S,
    SLEEP_S_MAX,
    Ask,
    Deliveries,
    EndedEvents,
    EventDeliveries,
    Spawn,
)
from lambent.store.event_queue import Due, Told, Total

_log = logging.getLogger(__name__)

PAYLOAD_BYTES = 64 * 1024**2
"""Of events that are ready or at work, and of the answers that the disk does not have yet; one fetch more at most, and
what those at work answer."""
UNSETTLED_MAX = 1024
"""With more of which the disk does not know what has become of them, no others begin."""

Tell = Callable[[Serving, Completed | ModelledError], None]


class EventStore(EndedEvents, Protocol):
    """`store.event_queue`."""

    def put(self, event: QueuedEvent, due_ms: int, told: Told) -> int: ...

    async def due(self, function: FunctionName, limit: int, besides: Collection[int], now_ms: int) -> Due: ...

    async def totals(self) -> list[Total]: ...


class QueueOfFunction(Record, frozen=True):
    """The asynchronous invocations of a function that are not over: all of them, those of them at work, and those that
    have ended and are to be told of (`to_tell`). Counted since the start are the events that were given up and went
    nowhere (`dropped`), and the records and dead letters that were (`undelivered`)."""

    function: FunctionName
    queued: int
    at_work: int
    to_tell: int
    oldest_age_ms: int
    dropped: int
    undelivered: int


class EventInvocations:
    """`accept` is called by the front end, which `attempt` leads to. `places` is how many events are ready or at work
    at one time; `unsettled_max` are over, or wait again, and the disk does not know it yet."""

    def __init__(
        self,
        *,
        store: EventStore,
        configuration: ServingConfiguration,
        deliveries: Deliveries,
        clock: Clock,
        timers: Timers,
        places: int,
        retry_delay_s: int,
        unsettled_max: int = UNSETTLED_MAX,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._clock = clock
        self._timers = timers
        self._retry_delay_ms = retry_delay_s * 1000
        longest_wait_ms = max(RETRY_ATTEMPTS * self._retry_delay_ms, LONGEST_BACKOFF_MS)
        self._queues = EventQueues(places=places, payload_bytes=PAYLOAD_BYTES, longest_wait_ms=longest_wait_ms)
        self._held: dict[FunctionName, set[int]] = {}
        """What is not to be fetched: it is at work, or the disk does not know yet that it is over or waits again."""
        self._held_count = 0
        self._held_max = places + unsettled_max
        self._ready: dict[FunctionName, deque[tuple[int, QueuedEvent]]] = {}
        """Those of them that begin when others of their function are over, or its window grows."""
        self._spawn: Spawn | None = None
        """While it runs."""
        self._is_woken = False
        self._alarm: Timer | None = None
        self._growing: dict[FunctionName, Timer] = {}
        self._settled: asyncio.Future[None] | None = None
        """While it closes: done when nothing is held any more."""
        self._unwritten: list[tuple[Ask, Told]] = []
        """What the disk has failed at, to be asked again."""
        self._dropped: Counter[FunctionName] = Counter()
        self._deliveries = EventDeliveries(
            store=store, deliveries=deliveries, clock=clock, timers=timers, write=self._write
        )
        self.attempt: Callable[[QueuedEvent, Tell], None] = _no_frontend

    async def open(self) -> None:
        """Learn what was left. Raises sqlite3.Error."""
        now = self._clock.wall_ms()
        for total in await self._store.totals():
            if total.service is not None:
                self._deliveries.waits(total.function, total.service, total.first_due_ms)
            else:
                self._queues.queued(total.function, total.count, total.first_due_ms, now)

    async def run(self) -> None:
        """Have events begin, until cancelled or closed."""
        async with asyncio.TaskGroup() as tasks:
            self.begin(tasks.create_task)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.stop()

    def begin(self, spawn: Spawn) -> None:
        """Have events begin. `spawn` runs what takes time."""
        self._spawn = spawn
        self._wake()
        self._deliveries.begin(spawn)

    def stop(self) -> None:
        """Have no more events begin, and no deliveries. What waits does so until the next start."""
        self._spawn = None
        self._deliveries.stop()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for timer in self._growing.values():
            timer.cancel()
        for ready in self._ready.values():
            for event_id, event in ready:
                self._let_go(event_id, event)
        self._ready.clear()

    async def close(self, grace_s: float) -> None:
        """Stop, and wait until what is at work is over and the disk knows, up to the grace."""
        self.stop()
        delivered = asyncio.ensure_future(self._deliveries.close(grace_s))
        if self._held_count:
            self._settled = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._settled,), timeout=grace_s)
        await delivered

    def accept(self, event: QueuedEvent, tell: Callable[[ModelledError | None], None]) -> None:
        """Keep an event, and tell when it is on disk; or why it is not kept."""

        def told(error: Exception | None) -> None:
            if error is None:
                tell(None)
                self._arrived(event_id, event)
            else:
                _log.error("event not stored", extra={"request_id": event.request_id, "why": str(error)})
                tell(ServiceException("The event could not be stored."))

        event_id = self._store.put(event, event.trials.accepted_ms, told)

    def resume(self, function: FunctionName) -> None:
        """The function's concurrency is another."""
        self._queues.resume(function, self._clock.wall_ms())
        self._wake()

    async def queues(self) -> list[QueueOfFunction]:
        """What an operator is shown. Raises sqlite3.Error."""
        totals: dict[FunctionName, list[Total]] = {}
        for one in await self._store.totals():
            totals.setdefault(one.function, []).append(one)
        now, at_work, undelivered = self._clock.wall_ms(), self._queues.at_work(), self._deliveries.undelivered

        def told(function: FunctionName) -> QueueOfFunction:
            of_function = totals.get(function, ())
            return QueueOfFunction(
                function,
                queued=sum(total.count for total in of_function),
                at_work=at_work.get(function, 0),
                to_tell=sum(total.count for total in of_function if total.service is not None),
                oldest_age_ms=max((now - total.oldest_accepted_ms for total in of_function), default=0),
                dropped=self._dropped[function],
                undelivered=undelivered[function],
            )

        return list(map(told, {*totals, *self._dropped, *undelivered}))

    # Which event begins -----------------------------------------------------------------------------------------

    def _arrived(self, event_id: int, event: QueuedEvent) -> None:
        now = self._clock.wall_ms()
        is_held = event_id in self._held.get(event.function, ())
        if (
            not is_held
            and self._spawn is not None
            and self._held_count < self._held_max
            and self._queues.offered(event.function, len(event.payload), now)
        ):
            self._hold(event_id, event)
            self._make_ready(event.function, ((event_id, event),))
        else:
            # Where it is held, a fetch was faster than the word that it is there, and has counted on it.
            self._queues.queued(event.function, 1, now, now)
            self._wake()

    def _wake(self) -> None:
        if not self._is_woken and self._spawn is not None:
            self._is_woken = True
            self._timers.call_soon(self._take_turns)

    def _take_turns(self) -> None:
        self._is_woken = False
        if self._spawn is None:
            return
        now = self._clock.wall_ms()
        while self._held_count < self._held_max and (fetch := self._queues.take(now)) is not None:
            self._spawn(self._fetch(fetch))
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._held_count >= self._held_max:
            return  # until the disk has caught up
        wake_ms = self._queues.wake_ms()
        if wake_ms is not None:
            delay_s = min(max(0, wake_ms - now) / 1000, SLEEP_S_MAX)
            self._alarm = self._timers.call_later(delay_s, self._wake)

    async def _fetch(self, fetch: Fetch) -> None:
        now = self._clock.wall_ms()
        try:
            due = await self._store.due(fetch.function, fetch.places, self._held.get(fetch.function, ()), fetch.by_ms)
        except sqlite3.Error as error:
            _log.error("events not fetched", extra={"function": fetch.function.name, "why": str(error)})
            self._queues.fetched(fetch, 0, 0, now + int(AGAIN_AFTER_S * 1000), now)
            self._wake()
            return
        if self._spawn is None:
            return
        payload_bytes = sum(len(event.payload) for _, event in due.events)
        self._queues.fetched(fetch, len(due.events), payload_bytes, due.next_due_ms, now)
        for event_id, event in due.events:
            self._hold(event_id, event)
        self._make_ready(fetch.function, due.events)
        if self._queues.pauses(fetch.function, now):
            self._give_back(fetch.function)
        self._wake()

    def _make_ready(self, function: FunctionName, events: Iterable[tuple[int, QueuedEvent]]) -> None:
        self._ready.setdefault(function, deque()).extend(events)
        self._begin_ready(function)

    def _begin_ready(self, function: FunctionName) -> None:
        """Have begin what may. What is over at once asks again by itself, in another turn of the loop."""
        ready = self._ready.get(function)
        while ready and self._queues.begin(function, self._clock.wall_ms()):
            self._begin(*ready.popleft())
        if not ready:
            self._ready.pop(function, None)
        elif function not in self._growing:
            delay_s = self._queues.growing_in_ms(function, self._clock.wall_ms()) / 1000
            self._growing[function] = self._timers.call_later(delay_s, self._grown, function)

    def _grown(self, function: FunctionName) -> None:
        del self._growing[function]
        self._begin_ready(function)

    def _give_back(self, function: FunctionName) -> None:
        """The function pauses: what of it is ready makes room for others."""
        ready = self._ready.pop(function, None)
        if ready is not None:
            for event_id, event in ready:
                self._let_go(event_id, event)
            payload_bytes = sum(len(event.payload) for _, event in ready)
            self._queues.given_back(function, len(ready), payload_bytes, self._clock.wall_ms())

    def _hold(self, event_id: int, event: QueuedEvent) -> None:
        self._held.setdefault(event.function, set()).add(event_id)
        self._held_count += 1

    def _let_go(self, event_id: int, event: QueuedEvent) -> None:
        held = self._held[event.function]
        held.remove(event_id)
        if not held:
            del self._held[event.function]
        self._held_count -= 1
        if self._held_count == self._held_max - 1:
            self._wake()
        if self._settled is not None and not self._held_count and not self._settled.done():
            self._settled.set_result(None)

    def _leave_place(self, event: QueuedEvent, answered: Answer | None = None, *, refused: bool = False) -> None:
        function = event.function
        held_bytes = len(event.payload) + _size(answered)
        if self._queues.over(function, held_bytes, self._clock.wall_ms(), refused=refused):
            self._give_back(function)
        elif function in self._ready:
            self._timers.call_soon(self._begin_ready, function)
        self._wake()

    # An attempt -------------------------------------------------------------------------------------------------

    def _begin(self, event_id: int, event: QueuedEvent) -> None:
        reserved = self._configuration.reserved(event.function)
        given_up = before_attempt(self._config_of(event), event.trials, reserved, self._clock.wall_ms())
        if given_up is not None:
            self._end(event_id, event, given_up, self._version_of(event))
            return
        try:
            self.attempt(event, partial(self._attempted, event_id, event))
        except ModelledError as error:
            self._refused(event_id, event, error)
        except Exception as error:  # noqa: BLE001 a bug of ours, that must not end the others
            _log.exception("attempt failed", extra={"request_id": event.request_id})
            self._refused(event_id, event, ServiceException(str(error)))

    def _attempted(
        self, event_id: int, event: QueuedEvent, serving: Serving, result: Completed | ModelledError
    ) -> None:
        if isinstance(result, ModelledError):
            self._refused(event_id, event, result)
            return
        answer = result.answer
        ran = replace(event, last_run=run_of(serving.version.version, answer))
        self._queues.holds(event.function, _size(answer))
        if answer.error_type is None:
            done = GiveUp(Condition.SUCCESS, event.trials.ran + 1)
            self._end(event_id, ran, done, serving.version, answer)
            return
        decision = after_function_error(
            self._config_of(event), event.trials, self._clock.wall_ms(), self._retry_delay_ms
        )
        if isinstance(decision, Retry):
            self._wait_again(event_id, replace(ran, trials=decision.trials), decision.due_ms, answer)
        else:
            self._end(event_id, ran, decision, serving.version, answer)

    def _refused(self, event_id: int, event: QueuedEvent, error: ModelledError) -> None:
        decision = after_refusal(self._config_of(event), event.trials, error, self._clock.wall_ms())
        if isinstance(decision, Retry):
            self._wait_again(event_id, replace(event, trials=decision.trials), decision.due_ms, refused=True)
        else:
            self._end(event_id, event, decision, self._version_of(event), refusal=error.message or "")

    def _config_of(self, event: QueuedEvent) -> EventInvokeConfig:
        return self._configuration.event_invoke(event.function, event.qualifier)

    def _version_of(self, event: QueuedEvent) -> FunctionVersion | None:
        """The version that the event would have run; `$LATEST` where that is gone, whose dead-letter queue is the
        function's. None where the function is gone."""
        qualifier = event.qualifier or LATEST
        alias = self._configuration.alias(event.function, qualifier)
        snapshot = self._configuration.find(event.function, qualifier if alias is None else alias.version)
        snapshot = snapshot or self._configuration.find(event.function, LATEST)
        return None if snapshot is None else snapshot.current

    # What becomes of an event -----------------------------------------------------------------------------------

    def _wait_again(
        self, event_id: int, event: QueuedEvent, due_ms: int, answer: Answer | None = None, *, refused: bool = False
    ) -> None:
        """The last answer is kept for as long as it can be told: another attempt need not come to the function."""

        def written() -> None:
            self._let_go(event_id, event)
            self._queues.queued(event.function, 1, due_ms, self._clock.wall_ms())
            self._leave_place(event, answer, refused=refused)

        response = None if answer is None else answer.payload
        self._write(partial(self._store.change, event_id, event, due_ms, response=response), written)

    def _end(
        self,
        event_id: int,
        event: QueuedEvent,
        end: GiveUp,
        version: FunctionVersion | None,
        answer: Answer | None = None,
        *,
        refusal: str = "",
    ) -> None:
        """It was answered now, if there is an answer."""
        targets: tuple[Delivery, ...] = ()
        if version is not None:
            targets = deliveries_of(self._config_of(event), version, end.condition)
        if not targets and end.condition is not Condition.SUCCESS:
            self._dropped[event.function] += 1
            _log.info("event dropped", extra={"request_id": event.request_id, "condition": end.condition.value})
        targets = tuple(one for one in targets if self._may_be_taken(event, end.condition, one))
        if version is None or not targets:
            self._remove(event_id, event, answer)
            return
        now = self._clock.wall_ms()
        after = replace(event, ended=ended_as(event, end, version, refusal, now), deliveries=targets)

        def written() -> None:
            self._let_go(event_id, event)
            self._deliveries.waits(event.function, targets[0].service, now)
            self._leave_place(event, answer)

        is_told = answer is not None and any(not one.is_dead_letter for one in targets)
        response = answer.payload if answer is not None and is_told else None
        self._write(partial(self._store.change, event_id, after, now, response=response), written)

    def _may_be_taken(self, event: QueuedEvent, condition: Condition, delivery: Delivery) -> bool:
        response_bytes = 0 if event.last_run is None else event.last_run.response_bytes
        if not is_too_large(delivery, condition, len(event.payload), response_bytes):
            return True
        self._deliveries.given_up(event, delivery, "it is too large")
        return False

    def _remove(self, event_id: int, event: QueuedEvent, answer: Answer | None) -> None:
        """The event is over, and its place free at once."""
        self._leave_place(event, answer)
        self._write(partial(self._store.remove, event_id), partial(self._let_go, event_id, event))

    def _write(self, ask: Ask, written: Callable[[], None]) -> None:
        """Have the store do something, again and again while the disk fails."""

        def told(error: Exception | None) -> None:
            if error is None:
                written()
                return
            if not self._unwritten:
                _log.error("event queue not written", extra={"why": str(error)})
                self._timers.call_later(AGAIN_AFTER_S, self._write_again)
            self._unwritten.append((ask, told))

        ask(told)

    def _write_again(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for ask, told in unwritten:
            ask(told)


def _size(answer: Answer | None) -> int:
    return 0 if answer is None else len(answer.payload)


def _no_frontend(_event: QueuedEvent, _tell: Tell) -> None:
    raise ServiceException("There is no front end yet.")

"""Records and dead letters of asynchronous invocations that have ended: from the queue on disk to who is to hear of it,
one at a time for each event, until all are told or given up.

Whose is next is decided by `core.delivery_queue`, what follows a failure by `core.event_invoke`. An event that waits
for its turn is on disk alone, and what the function answered with it; both are read when the delivery begins. A place
at an endpoint is kept until the disk knows what came of the delivery.

Owns what is under way. Nothing here outlives the process: after a crash, what the disk does not know to be delivered is
delivered again.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from lambent.clock import Clock, Timer, Timers
from lambent.core.delivery_queue import DeliveryQueue, Lane, Place, Turn
from lambent.core.event_invoke import Delivery, QueuedEvent, after_failed_delivery
from lambent.core.function import FunctionName
from lambent.core.invocation_record import DeliveryFailed, Ended
from lambent.store.event_queue import EndedEvent, Told

_log = logging.getLogger(__name__)

DELIVERING_BYTES = 32 * 1024**2
"""Of events and answers under way, beside one for each endpoint."""
AGAIN_AFTER_S = 1.0
"""When the disk has failed."""
SLEEP_S_MAX = 60.0
"""However far away the next delivery is: the wall clock may be set."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Ask = Callable[[Told], None]
"""Asks the store to do something."""
Write = Callable[[Ask, Callable[[], None]], None]
"""Has the store do something, however often the disk fails, and calls back when it is done."""


class EndedEvents(Protocol):
    """`store.event_queue`."""

    async def ended(self, function: FunctionName, service: str, besides: Collection[int], by_ms: int) -> EndedEvent: ...

    def change(
        self, event_id: int, event: QueuedEvent, due_ms: int, told: Told, response: bytes | None = None
    ) -> None: ...

    def remove(self, event_id: int, told: Told) -> None: ...


class Deliveries(Protocol):
    """Tells others what has become of an event. Both that do raise DeliveryFailed, after a time of their own at the
    latest."""

    def place(self, service: str, account: str) -> Place:
        """Where what goes to the service for the account waits for each other."""

    async def deliver(self, target_arn: str, ended: Ended) -> None:
        """The record of it, to a destination."""

    async def dead_letter(self, target_arn: str, ended: Ended) -> None:
        """The event itself, to a dead-letter queue."""


class EventDeliveries:
    """`write` is of `invoke.events`. `undelivered` counts the records and dead letters that were given up."""

    def __init__(
        self, *, store: EndedEvents, deliveries: Deliveries, clock: Clock, timers: Timers, write: Write
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._clock = clock
        self._timers = timers
        self._write = write
        self._queue = DeliveryQueue(DELIVERING_BYTES)
        self._under_way: dict[Lane, set[int]] = {}
        """What is not to be fetched."""
        self._is_fetching = False
        """One at a time, so that what it brings is counted before the next."""
        self._spawn: Spawn | None = None
        """While it runs."""
        self._alarm: Timer | None = None
        self._settled: asyncio.Future[None] | None = None
        """While it closes: done when nothing is under way any more."""
        self.undelivered: Counter[FunctionName] = Counter()

    def begin(self, spawn: Spawn) -> None:
        """Have deliveries begin. `spawn` runs what takes time."""
        self._spawn = spawn
        self._take_turns()

    def stop(self) -> None:
        """Have no more deliveries begin."""
        self._spawn = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def close(self, grace_s: float) -> None:
        """Stop, and wait until what is under way is over and the disk knows, up to the grace."""
        self.stop()
        if self._under_way:
            self._settled = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._settled,), timeout=grace_s)

    def waits(self, function: FunctionName, service: str, due_ms: int) -> None:
        """An event of the function has ended, is on disk, and waits for a delivery to the service."""
        place = self._deliveries.place(service, function.account)
        self._queue.waits(Lane(function, service), place, due_ms, self._clock.wall_ms())
        self._take_turns()

    def given_up(self, event: QueuedEvent, delivery: Delivery, why: str) -> None:
        """What was to be told is told to the operator alone."""
        self.undelivered[event.function] += 1
        what = "dead letter" if delivery.is_dead_letter else "record"
        about = {"request_id": event.request_id, "target": delivery.target_arn, "why": why}
        _log.error("%s not delivered", what, extra=about)

    def _take_turns(self) -> None:
        if self._spawn is None or self._is_fetching:
            return
        now = self._clock.wall_ms()
        turn = self._queue.take(now)
        if turn is not None:
            self._is_fetching = True
            self._spawn(self._deliver_next(turn))
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        wake_ms = self._queue.wake_ms()
        if wake_ms is not None:
            self._alarm = self._timers.call_later(min((wake_ms - now) / 1000, SLEEP_S_MAX), self._take_turns)

    async def _deliver_next(self, turn: Turn) -> None:
        lane = turn.lane
        found = await self._fetch(turn)
        if found is None or self._spawn is None:
            self._queue.over(lane, 0 if found is None else _size(found[1]))
            self._take_turns()
            return
        event_id, event = found
        size = _size(event)
        self._under_way.setdefault(lane, set()).add(event_id)
        self._take_turns()
        delivery, *others = event.deliveries
        again = await self._deliver(event_id, event, delivery)
        left = tuple(sorted((*others, *again), key=lambda one: one.due_ms))
        over = partial(self._over, lane, event_id, size)
        if not left:
            self._write(partial(self._store.remove, event_id), over)
            return
        after = replace(event, deliveries=left)

        def written() -> None:
            over()
            self.waits(event.function, left[0].service, left[0].due_ms)

        self._write(partial(self._store.change, event_id, after, left[0].due_ms), written)

    async def _fetch(self, turn: Turn) -> tuple[int, QueuedEvent] | None:
        lane, now = turn.lane, self._clock.wall_ms()
        try:
            found = await self._store.ended(lane.function, lane.service, self._under_way.get(lane, ()), turn.by_ms)
        except sqlite3.Error as error:
            _log.error("ended events not fetched", extra={"function": lane.function.name, "why": str(error)})
            found = EndedEvent(None, now + int(AGAIN_AFTER_S * 1000))
        self._is_fetching = False
        self._queue.fetched(lane, 0 if found.event is None else _size(found.event[1]), found.next_due_ms, now)
        return found.event

    async def _deliver(self, event_id: int, event: QueuedEvent, delivery: Delivery) -> tuple[Delivery, ...]:
        """Returns the delivery if it is to be made again."""
        assert event.ended is not None
        send = self._deliveries.dead_letter if delivery.is_dead_letter else self._deliveries.deliver
        try:
            await send(delivery.target_arn, event.ended)
        except DeliveryFailed as error:
            failed = error
        except Exception as error:  # noqa: BLE001 a bug of ours, that must not end the others
            _log.exception("delivery failed", extra={"request_id": event.request_id})
            failed = DeliveryFailed(str(error), is_transient=True)
        else:
            return ()
        now = self._clock.wall_ms()
        again = after_failed_delivery(delivery, event_id, is_transient=failed.is_transient, now_ms=now)
        if again is None:
            self.given_up(event, delivery, str(failed))
            return ()
        return (again,)

    def _over(self, lane: Lane, event_id: int, size: int) -> None:
        under_way = self._under_way[lane]
        under_way.remove(event_id)
        if not under_way:
            del self._under_way[lane]
        self._queue.over(lane, size)
        self._take_turns()
        if self._settled is not None and not self._under_way and not self._settled.done():
            self._settled.set_result(None)


def _size(event: QueuedEvent) -> int:
    assert event.ended is not None
    return len(event.payload) + len(event.ended.response or b"")

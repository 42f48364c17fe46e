"""A queue of asynchronous events that is in memory, and the neighbours that hear what became of them."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from msgspec.structs import replace

from lambent.core.delivery_queue import Place
from lambent.core.event_invoke import DELIVERY_TRIES, Delivery, QueuedEvent
from lambent.core.function import FunctionName
from lambent.core.invocation_record import Condition, DeliveryFailed, Ended
from lambent.core.limits import RETRY_ATTEMPTS
from lambent.store.event_queue import Due, EndedEvent, Told, Total
from lambent.testing.simulation.checks import hold
from lambent.testing.simulation.nature import Nature
from lambent.testing.simulation.timeline import Timeline

COMMIT_US, STALL_US = 2_000, 1_000_000
NEIGHBOURS_AT_A_TIME = 2


def run_at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing, as all are in simulated time."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


class MemoryQueue:
    """As `store.event_queue`: what it is asked to do is done a little later, or has failed."""

    def __init__(self, timeline: Timeline, nature: Nature, checks: "EventChecks") -> None:
        self._timeline = timeline
        self._nature = nature
        self._checks = checks
        self._events: dict[int, tuple[QueuedEvent, int]] = {}
        """By id, with the time when each is due."""
        self._responses: dict[int, bytes] = {}
        self._last_id = 0

    def put(self, event: QueuedEvent, due_ms: int, told: Told) -> int:
        self._last_id += 1
        self._commit(told, self._events.__setitem__, self._last_id, (event, due_ms))
        return self._last_id

    def change(self, event_id: int, event: QueuedEvent, due_ms: int, told: Told, response: bytes | None = None) -> None:
        self._commit(told, self._change, event_id, event, due_ms, response)

    def remove(self, event_id: int, told: Told) -> None:
        self._commit(told, self._delete, event_id)

    def _change(self, event_id: int, event: QueuedEvent, due_ms: int, response: bytes | None) -> None:
        before, _ = self._events[event_id]
        self._checks.changes(before, event)
        self._events[event_id] = (event, due_ms)
        if response is not None:
            self._responses[event_id] = response

    def _delete(self, event_id: int) -> None:
        event, _ = self._events.pop(event_id)
        self._responses.pop(event_id, None)
        self._checks.ends(event)

    def _commit(self, told: Told, change: Callable[..., None], *arguments: object) -> None:
        takes_us = STALL_US if self._nature.happens(self._nature.faults.disk_stalls) else COMMIT_US
        self._timeline.call_in(takes_us, self._committed, told, change, arguments)

    def _committed(self, told: Told, change: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self._nature.happens(self._nature.faults.disk_full):
            told(sqlite3.OperationalError("database or disk is full"))
        else:
            change(*arguments)
            told(None)

    async def due(self, function: FunctionName, limit: int, besides: Collection[int], now_ms: int) -> Due:
        if self._nature.happens(self._nature.faults.disk_full):
            raise sqlite3.OperationalError("disk I/O error")
        waiting = self._waiting(function, None, besides)
        events = tuple((event_id, event) for due_ms, event_id, event in waiting[:limit] if due_ms <= now_ms)
        left = waiting[len(events) :]
        return Due(events, left[0][0] if left else None)

    async def ended(self, function: FunctionName, service: str, besides: Collection[int], now_ms: int) -> EndedEvent:
        if self._nature.happens(self._nature.faults.disk_full):
            raise sqlite3.OperationalError("disk I/O error")
        waiting = self._waiting(function, service, besides)
        if not waiting or waiting[0][0] > now_ms:
            return EndedEvent(None, waiting[0][0] if waiting else None)
        _, event_id, event = waiting[0]
        assert event.ended is not None
        whole = replace(event, ended=replace(event.ended, response=self._responses.get(event_id)))
        return EndedEvent((event_id, whole), waiting[1][0] if len(waiting) > 1 else None)

    def _waiting(
        self, function: FunctionName, service: str | None, besides: Collection[int]
    ) -> list[tuple[int, int, QueuedEvent]]:
        """What waits to be run, or for the service, the first ones first."""
        return sorted(
            (due_ms, event_id, event)
            for event_id, (event, due_ms) in self._events.items()
            if event.function == function and _waits_for(event) == service and event_id not in besides
        )

    async def totals(self) -> list[Total]:
        counts = Counter((event.function, _waits_for(event)) for event, _ in self._events.values())
        return [Total(*lane, count, 0, 0) for lane, count in counts.items()]

    def __len__(self) -> int:
        return len(self._events)


def _waits_for(event: QueuedEvent) -> str | None:
    return event.deliveries[0].service if event.deliveries else None


class Neighbours:
    """They take what they are told, but for faults that another try may find gone."""

    def __init__(self, nature: Nature, checks: "EventChecks") -> None:
        self._nature = nature
        self._checks = checks

    def place(self, service: str, account: str) -> Place:
        return Place((service, account), NEIGHBOURS_AT_A_TIME)

    async def deliver(self, target_arn: str, ended: Ended) -> None:
        await self.dead_letter(target_arn, ended)
        self._checks.recorded(ended)

    async def dead_letter(self, target_arn: str, ended: Ended) -> None:
        if self._nature.happens(self._nature.faults.undeliverable):
            raise DeliveryFailed("it is not there", is_transient=True)
        self._checks.told(ended, target_arn)


class EventChecks:
    """Books of the events themselves: each that was accepted is over exactly once, by a run that went well, by a
    record or dead letter that was taken or is not to be had, or for nobody who would be told."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self._succeeded: set[str] = set()
        self._errors: Counter[str] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()
        self.over: Counter[str] = Counter()

    def begins(self, event: QueuedEvent) -> None:
        hold(event.request_id in self.accepted, f"{event.request_id} runs before it is accepted")
        hold(event.request_id not in self._succeeded, f"{event.request_id} runs again after it went well")
        hold(event.request_id not in self.over, f"{event.request_id} runs when it is over")

    def ran(self, event: QueuedEvent, *, well: bool) -> None:
        if well:
            self._succeeded.add(event.request_id)
        else:
            self._errors[event.request_id] += 1
            hold(self._errors[event.request_id] <= 1 + RETRY_ATTEMPTS, f"{event.request_id} is tried too often")

    def told(self, ended: Ended, target_arn: str) -> None:
        key = (ended.request_id, target_arn)
        self._told[key] += 1
        hold(self._told[key] == 1, f"{ended.request_id} is told twice to {target_arn}")
        went_well = ended.condition is Condition.SUCCESS
        hold(went_well == (ended.request_id in self._succeeded), f"{ended.request_id} is told wrongly")
        has_run = went_well or self._errors[ended.request_id] > 0
        hold(has_run == (ended.status_code is not None), f"{ended.request_id} is told without its run")

    def recorded(self, ended: Ended) -> None:
        has_run = ended.status_code is not None
        hold(has_run == (ended.response is not None), f"{ended.request_id} is told without its answer")

    def changes(self, before: QueuedEvent, after: QueuedEvent) -> None:
        left = {delivery.target_arn for delivery in after.deliveries}
        self._done_with(before, [one for one in before.deliveries if one.target_arn not in left])

    def ends(self, event: QueuedEvent) -> None:
        """It is in the queue no more."""
        self.over[event.request_id] += 1
        hold(self.over[event.request_id] == 1, f"{event.request_id} is over twice")
        self._done_with(event, event.deliveries)

    def _done_with(self, event: QueuedEvent, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            was_told = (event.request_id, delivery.target_arn) in self._told
            hold(was_told or delivery.failures + 1 == DELIVERY_TRIES, f"{event.request_id} was not told")

    def rest(self) -> None:
        left = self.accepted - self.over.keys()
        hold(not left, f"accepted, and never over: {sorted(left)[:5]}")

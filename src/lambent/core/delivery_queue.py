"""Which record or dead letter is delivered next: a *lane* for each function and service, and *lines* of lanes at what
they wait for together, an endpoint of the service, which is asked a few things at a time.

What waits is in the store, and may be far more than memory holds. Known of a lane here is from when on something of it
may be due. Lanes of one line take turns, so that a function with many records delays no other's; lines know nothing of
each other, so that an endpoint which is behind delays no other. Waiting for a turn is no try of a delivery. What is
under way is bounded in bytes: a line that has any of that has fewer of them than are free when it goes on.

Decides only: `invoke.event_deliveries` acts. Times are wall-clock milliseconds, as the store's; where the clock is set
back, nothing waits for longer than it could have had to.
"""

import heapq
from collections import deque
from collections.abc import Hashable

from lambent.core.event_invoke import DELIVERY_TRIES, backoff_ms
from lambent.core.event_queue import is_to_come
from lambent.core.function import FunctionName
from lambent.core.record import Record

_NEVER = 1 << 62
_LONGEST_WAIT_MS = backoff_ms(DELIVERY_TRIES - 1)


class Lane(Record, frozen=True, order=True):
    """What is to be told of a function's events to one service."""

    function: FunctionName
    service: str


class Place(Record, frozen=True):
    """What deliveries wait for together: whatever it is called by, so many may be under way there at a time."""

    name: Hashable
    at_a_time: int


class Turn(Record, frozen=True):
    """The first of the lane's is to be fetched, of those due by then, and delivered."""

    lane: Lane
    by_ms: int


class _Line:
    __slots__ = ("at_a_time", "bytes", "turns", "under_way")

    def __init__(self, at_a_time: int) -> None:
        self.at_a_time = at_a_time
        self.under_way = 0
        self.bytes = 0
        """Of these."""
        self.turns: deque[Lane] = deque()


class _Waiting:
    """A lane's state. It has a turn while something of it may be due and nothing of it is being fetched."""

    __slots__ = ("alarm_ms", "due_ms", "has_turn", "is_fetched", "line", "under_way")

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.due_ms = _NEVER
        self.has_turn = False
        self.is_fetched = False
        self.under_way = 0
        self.alarm_ms = _NEVER
        """The first of those that are set."""


class DeliveryQueue:
    """`content_bytes` bounds what is under way, but for one delivery to each endpoint."""

    def __init__(self, content_bytes: int) -> None:
        self._free_bytes = content_bytes
        self._lines: dict[Hashable, _Line] = {}
        """There are as many as there are endpoints. They take turns, too: the first one is the next."""
        self._lanes: dict[Lane, _Waiting] = {}
        self._alarms: list[tuple[int, Lane]] = []
        """When a lane is to be looked at again, a heap. What is not so any more does no harm."""

    def waits(self, lane: Lane, place: Place, due_ms: int, now_ms: int) -> None:
        """Something more of the lane waits in the store, and is due then."""
        waiting = self._lanes.get(lane)
        if waiting is None:
            line = self._lines.get(place.name)
            if line is None:
                line = self._lines[place.name] = _Line(place.at_a_time)
            waiting = self._lanes[lane] = _Waiting(line)
        waiting.due_ms = min(waiting.due_ms, due_ms)
        self._turn(lane, waiting, now_ms)

    def take(self, now_ms: int) -> Turn | None:
        """Who is next. Tell what came of the fetching by `fetched`, and of the delivery by `over`."""
        while self._alarms and not is_to_come(self._alarms[0][0], now_ms, _LONGEST_WAIT_MS):
            _, lane = heapq.heappop(self._alarms)
            waiting = self._lanes.get(lane)
            if waiting is not None:
                waiting.alarm_ms = _NEVER
                self._turn(lane, waiting, now_ms)
        for name, line in self._lines.items():
            if line.turns and self._may_go_on(line):
                lane = line.turns.popleft()
                line.under_way += 1
                waiting = self._lanes[lane]
                waiting.has_turn = False
                waiting.is_fetched = True
                by_ms, waiting.due_ms = max(now_ms, waiting.due_ms), _NEVER
                waiting.under_way += 1
                self._lines[name] = self._lines.pop(name)
                return Turn(lane, by_ms)
        return None

    def _may_go_on(self, line: _Line) -> bool:
        return not line.under_way or (line.under_way < line.at_a_time and line.bytes < self._free_bytes)

    def fetched(self, lane: Lane, content_bytes: int, next_due_ms: int | None, now_ms: int) -> None:
        """The first one was fetched, if there was one, and has so much content; the next one is due then, None where
        there is none."""
        waiting = self._lanes[lane]
        waiting.is_fetched = False
        waiting.line.bytes += content_bytes
        self._free_bytes -= content_bytes
        if next_due_ms is not None:
            waiting.due_ms = min(waiting.due_ms, next_due_ms)
        self._turn(lane, waiting, now_ms)

    def over(self, lane: Lane, content_bytes: int) -> None:
        """One that was taken is not under way any more, and another may have its place. It `waits` after that if it is
        to be tried again."""
        waiting = self._lanes[lane]
        assert waiting.under_way > 0, "a delivery that was over twice"
        waiting.under_way -= 1
        waiting.line.under_way -= 1
        waiting.line.bytes -= content_bytes
        self._free_bytes += content_bytes
        if not waiting.under_way and waiting.due_ms == _NEVER:
            del self._lanes[lane]

    def wake_ms(self) -> int | None:
        """When to `take` again, if nothing happens before that."""
        return self._alarms[0][0] if self._alarms else None

    def _turn(self, lane: Lane, waiting: _Waiting, now_ms: int) -> None:
        """Have the lane looked at when something of it can be due: now, or later."""
        if waiting.has_turn or waiting.is_fetched or waiting.due_ms == _NEVER:
            return
        if not is_to_come(waiting.due_ms, now_ms, _LONGEST_WAIT_MS):
            waiting.has_turn = True
            waiting.line.turns.append(lane)
        elif waiting.due_ms < waiting.alarm_ms:
            waiting.alarm_ms = waiting.due_ms
            heapq.heappush(self._alarms, (waiting.due_ms, lane))

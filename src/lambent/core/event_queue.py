"""Whose asynchronous event is next: a queue for each function, and a bounded share of the places for each.

The events themselves are in the store, and may be many more than memory holds. What is known of a function here is
how many of its events nobody has taken, from when on one of them may be due, and how many are at work. A *place* is
what an event needs to be at work, from before it is fetched until it is over.

- Functions take turns. A function is given a place only while it has fewer than are free. So none has all of them,
  however many events it has queued and however long they take; functions that want as many as they can get have equal
  shares, and one that comes late finds places free at once.
- A function begins with a small *window* of places, which doubles each second in which its places were not soon free
  again: a function that answers quickly needs no more environments to be done with its queue.
- A function that was refused (its concurrency is used up, its environments can not be had) has its window cut to what
  of it is at work. With nothing at work it pauses, from a second to five minutes, and is then given one place.
- Fetched payloads are bounded in bytes for all together.

Decides only: `invoke.events` acts. Times are wall-clock milliseconds, since queues outlive the process.
"""

import heapq
from collections import deque

from lambent.core.event_invoke import backoff_ms
from lambent.core.function import FunctionName
from lambent.core.record import Record

FETCH_MAX = 32
WINDOW_FIRST = 16
WINDOW_GROWS_MS = 1000
SOON_FREE_PER_S = 4
"""Of a place that was taken so often in a second, having more like it would make little difference."""

_NEVER = 1 << 62


class Fetch(Record, frozen=True):
    """So many places are given to the function, for events of it that are to be fetched."""

    function: FunctionName
    places: int


class _Lane:
    """A function's queue."""

    __slots__ = (
        "alarm_ms", "at_work", "due_ms", "ended", "fetching", "grows_ms", "in_turn", "pauses", "resumes_ms", "waiting",
        "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.waiting = 0
        """Events that nobody has taken."""
        self.due_ms = _NEVER
        """None of them is due before that."""
        self.at_work = 0
        self.fetching = False
        self.in_turn = False
        self.window = WINDOW_FIRST
        self.grows_ms = 0
        self.ended = 0
        """How many were over, since the window could last have grown."""
        self.pauses = 0
        """Without anything that went well in between."""
        self.resumes_ms = 0
        self.alarm_ms = _NEVER
        """The first of those that are set."""


class EventQueues:
    """The queues of all functions. `places` bounds what is at work, `payload_bytes` what payloads of that are held."""

    def __init__(self, *, places: int, payload_bytes: int) -> None:
        self._free = places
        self._free_bytes = payload_bytes
        self._lanes: dict[FunctionName, _Lane] = {}
        self._turns: deque[FunctionName] = deque()
        """Functions that have something due, as far as is known, and do not pause."""
        self._alarms: list[tuple[int, FunctionName]] = []
        """When a function is to be looked at again, a heap. What is not so any more does no harm."""
        self._grows_ms = _NEVER
        """When the first of the windows in the way of a turn may grow."""

    def queued(self, function: FunctionName, count: int, due_ms: int, now_ms: int) -> None:
        """So many more events of the function wait in the store, of which the first is due then."""
        lane = self._lane(function)
        lane.waiting += count
        lane.due_ms = min(lane.due_ms, due_ms)
        self._turn(function, lane, now_ms)

    def offered(self, function: FunctionName, payload_bytes: int, now_ms: int) -> bool:
        """An event that is due came in: whether it may begin at once. If not, it is `queued`."""
        lane = self._lane(function)
        if lane.due_ms <= now_ms or lane.fetching or not self._may_begin(lane, now_ms) or self._free_bytes <= 0:
            return False
        self._begin(lane, 1, now_ms)
        self._free_bytes -= payload_bytes
        return True

    def take(self, now_ms: int) -> Fetch | None:
        """The next function whose events are to be fetched: tell what came of it by `fetched`."""
        while self._alarms and self._alarms[0][0] <= now_ms:
            _, function = heapq.heappop(self._alarms)
            lane = self._lanes.get(function)
            if lane is not None:
                lane.alarm_ms = _NEVER
                self._turn(function, lane, now_ms)
        self._grows_ms = _NEVER
        for _ in range(len(self._turns)):
            if self._free <= 0 or self._free_bytes <= 0:
                return None
            function = self._turns.popleft()
            lane = self._lanes[function]
            lane.in_turn = False
            if lane.waiting <= 0 or lane.fetching or not self._is_ready(lane, now_ms):
                self._settle(function, lane, now_ms)
                continue
            if not self._may_begin(lane, now_ms):
                # Something of it is at work, so no more functions than there are places can be in the way.
                lane.in_turn = True
                self._turns.append(function)
                if lane.at_work >= lane.window:
                    self._grows_ms = min(self._grows_ms, lane.grows_ms)
                continue
            places = min(FETCH_MAX, lane.window - lane.at_work, (self._free - lane.at_work + 1) // 2, lane.waiting)
            self._begin(lane, places, now_ms)
            lane.fetching = True
            lane.due_ms = _NEVER
            return Fetch(function, places)
        return None

    def fetched(self, fetch: Fetch, count: int, payload_bytes: int, next_due_ms: int | None, now_ms: int) -> None:
        """Events came of it, so many; the next one that nobody has taken is due then, None where there is none."""
        lane = self._lanes[fetch.function]
        lane.fetching = False
        lane.waiting -= count
        self._free_bytes -= payload_bytes
        self._leave(lane, fetch.places - count)
        if next_due_ms is not None:
            lane.due_ms = min(lane.due_ms, next_due_ms)
        self._settle(fetch.function, lane, now_ms)

    def over(self, function: FunctionName, payload_bytes: int, now_ms: int, *, refused: bool = False) -> None:
        """An event is not at work any more. One that waits again has been `queued` before."""
        lane = self._lanes[function]
        self._free_bytes += payload_bytes
        self._leave(lane, 1)
        if not refused:
            lane.ended += 1
            lane.pauses = 0
        else:
            lane.window = max(1, lane.at_work)
            self._measure(lane, now_ms)
            if not lane.at_work and lane.resumes_ms <= now_ms:
                lane.pauses += 1
                lane.resumes_ms = now_ms + backoff_ms(lane.pauses)
        self._settle(function, lane, now_ms)

    def resume(self, function: FunctionName, now_ms: int) -> None:
        """What has refused the function may not do so any more."""
        lane = self._lanes.get(function)
        if lane is not None:
            lane.pauses = 0
            lane.resumes_ms = 0
            self._turn(function, lane, now_ms)

    def wake_ms(self) -> int | None:
        """When to `take` again, if nothing happens before that."""
        first = min(self._alarms[0][0], self._grows_ms) if self._alarms else self._grows_ms
        return None if first == _NEVER else first

    def at_work(self) -> dict[FunctionName, int]:
        return {function: lane.at_work for function, lane in self._lanes.items() if lane.at_work}

    def waiting(self) -> dict[FunctionName, int]:
        return {function: lane.waiting for function, lane in self._lanes.items() if lane.waiting}

    def _lane(self, function: FunctionName) -> _Lane:
        lane = self._lanes.get(function)
        if lane is None:
            lane = self._lanes[function] = _Lane()
        return lane

    def _is_ready(self, lane: _Lane, now_ms: int) -> bool:
        return lane.due_ms <= now_ms and lane.resumes_ms <= now_ms

    def _may_begin(self, lane: _Lane, now_ms: int) -> bool:
        if lane.resumes_ms > now_ms or lane.at_work >= self._free:
            return False
        if lane.at_work < lane.window:
            return True
        if now_ms < lane.grows_ms:
            return False
        if lane.window < WINDOW_FIRST or lane.ended < SOON_FREE_PER_S * lane.window:
            lane.window *= 2
        self._measure(lane, now_ms)
        return lane.at_work < lane.window

    def _begin(self, lane: _Lane, places: int, now_ms: int) -> None:
        if not lane.at_work:
            self._measure(lane, now_ms)
        lane.at_work += places
        self._free -= places

    def _measure(self, lane: _Lane, now_ms: int) -> None:
        lane.grows_ms = now_ms + WINDOW_GROWS_MS
        lane.ended = 0

    def _leave(self, lane: _Lane, places: int) -> None:
        assert lane.at_work >= places, "an event that was over twice"
        lane.at_work -= places
        self._free += places

    def _settle(self, function: FunctionName, lane: _Lane, now_ms: int) -> None:
        if lane.waiting or lane.at_work or lane.fetching:
            self._turn(function, lane, now_ms)
        elif not lane.in_turn:
            del self._lanes[function]

    def _turn(self, function: FunctionName, lane: _Lane, now_ms: int) -> None:
        """Have the function looked at when something of it can be due: now, or later."""
        if lane.in_turn or lane.fetching or lane.waiting <= 0:
            return
        if self._is_ready(lane, now_ms):
            lane.in_turn = True
            self._turns.append(function)
            return
        at_ms = max(lane.due_ms, lane.resumes_ms)
        if at_ms < lane.alarm_ms and at_ms != _NEVER:
            lane.alarm_ms = at_ms
            heapq.heappush(self._alarms, (at_ms, function))

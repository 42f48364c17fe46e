"""Whose asynchronous event is next: a queue for each function, and a bounded share of the places for each.

The events themselves are in the store, and may be many more than memory holds. What is known of a function here is
how many of its events are in the store alone, from when on one of them may be due, how many are *ready*, fetched to
begin as soon as others are over, and how many are at work. A *place* is what an event needs from before it is fetched
until it is over.

- Functions take turns. A function is given a place only while it has fewer than are free. So none has all of them,
  however many events it has queued and however long they take, and functions that want as many as they can get have
  equal shares. One that has none is given its first one at once, beyond the number of places if all are taken.
- So it is with the bytes of payloads and answers in memory, which all together have a bound: one fetch more, or the
  first event of each, is what goes beyond it.
- As many of a function may be at work as its *window* says. That is small at first, and doubles as long as its events
  take long, or more of them are over in the same time than with the window before. Where that is not so it is halved
  again, and tried again later: a function that keeps the processors busy is done with its queue sooner if few of its
  environments are at work than if many are frozen and thawed for each event.
- A function that was refused (its concurrency is used up, its environments can not be had) has its window cut to what
  of it is at work. With nothing at work it pauses, from a second to five minutes, and then one event begins.
- Events are fetched when there is room for as many as are ready: a fetch of few costs as much as one of many.

Decides only: `invoke.events` acts. Times are wall-clock milliseconds, since queues outlive the process. Where the clock
is set back, what was to wait until then does not wait for longer than it could have had to.
"""

import heapq
from collections import deque

from lambent.core.event_invoke import LONGEST_BACKOFF_MS, backoff_ms
from lambent.core.function import FunctionName
from lambent.core.record import Record

READY_MAX = 64
READY_PER_WINDOW = 16
WINDOW_FIRST = 4
WINDOW_GROWS_MS = 500
SOON_OVER = 2
"""With fewer events over in that time, for each of the window, they take long."""
GAIN = 1.2
"""By how much more must be over with twice the window."""
SPANS_MIN, SPANS_MAX = 4, 64
"""How many times a window is kept that was larger in vain. Doubles each time."""

_NEVER = 1 << 62


class Fetch(Record, frozen=True):
    """So many places are given to the function, for events of it that are to be fetched: those due by then."""

    function: FunctionName
    places: int
    by_ms: int


class _Lane:
    """A function's queue."""

    __slots__ = (
        "alarm_ms", "at_work", "bytes", "due_ms", "ended", "ended_before", "fetching", "grown", "grows_ms", "in_turn",
        "pauses", "ready", "resumes_ms", "spans", "spans_left", "waiting", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.waiting = 0
        """Events that are in the store alone."""
        self.due_ms = _NEVER
        """None of them is due before that."""
        self.ready = 0
        """Or are being fetched."""
        self.at_work = 0
        self.bytes = 0
        """Of payloads and answers of these."""
        self.fetching = False
        self.in_turn = False
        self.window = WINDOW_FIRST
        self.grows_ms = 0
        self.ended = 0
        """How many were over, since the window could last have grown."""
        self.ended_before = 0.0
        """And in the time before that."""
        self.grown = False
        """In between: what is over now tells whether it was of use."""
        self.spans = SPANS_MIN
        self.spans_left = 0
        self.pauses = 0
        """Without anything that went well in between."""
        self.resumes_ms = 0
        self.alarm_ms = _NEVER
        """The first of those that are set."""


class EventQueues:
    """The queues of all functions. `places` bounds what is ready or at work, `payload_bytes` the payloads of that; no
    event waits for longer than `longest_wait_ms` before it is due."""

    def __init__(self, *, places: int, payload_bytes: int, longest_wait_ms: int) -> None:
        self._longest_wait_ms = longest_wait_ms
        self._free = places
        self._free_bytes = payload_bytes
        self._lanes: dict[FunctionName, _Lane] = {}
        self._turns: deque[FunctionName] = deque()
        """Functions that have something due, as far as is known, and do not pause."""
        self._first_turns: deque[FunctionName] = deque()
        """Those of them that had no place when they came to be here, or have none any more."""
        self._alarms: list[tuple[int, FunctionName]] = []
        """When a function is to be looked at again, a heap. What is not so any more does no harm."""

    def queued(self, function: FunctionName, count: int, due_ms: int, now_ms: int) -> None:
        """So many more events of the function wait in the store, of which the first is due then."""
        lane = self._lane(function)
        lane.waiting += count
        lane.due_ms = min(lane.due_ms, due_ms)
        self._turn(function, lane, now_ms)

    def offered(self, function: FunctionName, payload_bytes: int, now_ms: int) -> bool:
        """An event that is due came in: whether it is to be held, ready. If not, it is `queued`."""
        lane = self._lane(function)
        if self._has_due(lane, now_ms) or lane.fetching or not self._room(lane, now_ms):
            return False
        lane.ready += 1
        self._free -= 1
        self._take_bytes(lane, payload_bytes)
        return True

    def take(self, now_ms: int) -> Fetch | None:
        """The next function whose events are to be fetched: tell what came of it by `fetched`."""
        farthest_ms = max(self._longest_wait_ms, LONGEST_BACKOFF_MS)
        while self._alarms and not is_to_come(self._alarms[0][0], now_ms, farthest_ms):
            _, function = heapq.heappop(self._alarms)
            lane = self._lanes.get(function)
            if lane is not None:
                lane.alarm_ms = _NEVER
                self._turn(function, lane, now_ms)
        for _ in range(len(self._first_turns) + len(self._turns)):
            if not (self._first_turns or (self._free > 0 and self._free_bytes > 0)):
                return None
            function = (self._first_turns or self._turns).popleft()
            lane = self._lanes.get(function)
            if lane is None or not lane.in_turn:
                continue  # it was in both
            lane.in_turn = False
            if lane.waiting <= 0 or lane.fetching or not self._is_due(lane, now_ms):
                self._settle(function, lane, now_ms)
                continue
            room = self._room(lane, now_ms)
            if room < max(1, lane.ready):
                # It has places, or events, so no more functions than there are places can be in the way.
                lane.in_turn = True
                self._turns.append(function)
                continue
            places = min(room, lane.waiting)
            lane.ready += places
            self._free -= places
            lane.fetching = True
            by_ms, lane.due_ms = max(now_ms, lane.due_ms), _NEVER
            return Fetch(function, places, by_ms)
        return None

    def pauses(self, function: FunctionName, now_ms: int) -> bool:
        lane = self._lanes.get(function)
        return lane is not None and self._pauses(lane, now_ms)

    def fetched(self, fetch: Fetch, count: int, payload_bytes: int, next_due_ms: int | None, now_ms: int) -> None:
        """Events came of it, so many; the next one that is in the store alone is due then, None where there is none."""
        lane = self._lanes[fetch.function]
        lane.fetching = False
        lane.waiting -= count
        self._take_bytes(lane, payload_bytes)
        lane.ready -= fetch.places - count
        self._free += fetch.places - count
        if next_due_ms is not None:
            lane.due_ms = min(lane.due_ms, next_due_ms)
        self._settle(fetch.function, lane, now_ms)

    def begin(self, function: FunctionName, now_ms: int) -> bool:
        """Whether one that is ready may begin now. Where not, `over` or `growing_in_ms` tells when to ask again."""
        lane = self._lanes[function]
        if self._pauses(lane, now_ms):
            return False
        if not lane.at_work and not is_to_come(lane.grows_ms + WINDOW_GROWS_MS, now_ms, 2 * WINDOW_GROWS_MS):
            self._measure(lane, now_ms)  # after some time in which there was nothing to measure
        elif lane.at_work >= lane.window and not self._grow(lane, now_ms):
            return False
        lane.ready -= 1
        lane.at_work += 1
        return True

    def holds(self, function: FunctionName, more_bytes: int) -> None:
        """So much comes to what an event at work had at first: it is to be told as its own by `over`."""
        self._take_bytes(self._lanes[function], more_bytes)

    def growing_in_ms(self, function: FunctionName, now_ms: int) -> int:
        """How long it is until the function's window may grow."""
        return min(max(0, self._lanes[function].grows_ms - now_ms), WINDOW_GROWS_MS)

    def over(self, function: FunctionName, payload_bytes: int, now_ms: int, *, refused: bool = False) -> bool:
        """An event is not at work any more. One that waits again has been `queued` before. Returns whether the function
        pauses: what of it is ready is `given_back`."""
        lane = self._lanes[function]
        assert lane.at_work > 0, "an event that was over twice"
        lane.at_work -= 1
        self._free += 1
        self._take_bytes(lane, -payload_bytes)
        if not refused:
            lane.ended += 1
            lane.pauses = 0
        else:
            lane.window = max(1, lane.at_work)
            self._measure(lane, now_ms)
            if not lane.at_work and not self._pauses(lane, now_ms):
                lane.pauses += 1
                lane.resumes_ms = now_ms + backoff_ms(lane.pauses)
        self._settle(function, lane, now_ms)
        return self._pauses(lane, now_ms)

    def given_back(self, function: FunctionName, count: int, payload_bytes: int, now_ms: int) -> None:
        """Events that were ready are in the store alone again."""
        lane = self._lanes[function]
        lane.ready -= count
        self._free += count
        self._take_bytes(lane, -payload_bytes)
        self.queued(function, count, now_ms, now_ms)

    def resume(self, function: FunctionName, now_ms: int) -> None:
        """What has refused the function may not do so any more."""
        lane = self._lanes.get(function)
        if lane is not None:
            lane.pauses = 0
            lane.resumes_ms = 0
            self._turn(function, lane, now_ms)

    def wake_ms(self) -> int | None:
        """When to `take` again, if nothing happens before that."""
        return self._alarms[0][0] if self._alarms else None

    def at_work(self) -> dict[FunctionName, int]:
        return {function: lane.at_work for function, lane in self._lanes.items() if lane.at_work}

    def waiting(self) -> dict[FunctionName, int]:
        return {function: lane.waiting for function, lane in self._lanes.items() if lane.waiting}

    def _lane(self, function: FunctionName) -> _Lane:
        lane = self._lanes.get(function)
        if lane is None:
            lane = self._lanes[function] = _Lane()
        return lane

    def _has_due(self, lane: _Lane, now_ms: int) -> bool:
        return lane.due_ms != _NEVER and not is_to_come(lane.due_ms, now_ms, self._longest_wait_ms)

    def _pauses(self, lane: _Lane, now_ms: int) -> bool:
        if not is_to_come(lane.resumes_ms, now_ms, LONGEST_BACKOFF_MS):
            lane.resumes_ms = 0  # it is over, whatever the clock says next
        return lane.resumes_ms > 0

    def _is_due(self, lane: _Lane, now_ms: int) -> bool:
        return self._has_due(lane, now_ms) and not self._pauses(lane, now_ms)

    def _room(self, lane: _Lane, now_ms: int) -> int:
        """How many more places the function may have. To be shared fairly, one has fewer than are free afterwards."""
        if self._pauses(lane, now_ms):
            return 0
        held = lane.ready + lane.at_work
        if not held and (self._free <= 1 or self._free_bytes <= 0):
            return 1
        if lane.bytes >= self._free_bytes:
            return 0
        wanted = lane.window + min(READY_MAX, READY_PER_WINDOW * lane.window) - held
        return max(0, min(wanted, (self._free - held + 1) // 2))

    def _take_bytes(self, lane: _Lane, payload_bytes: int) -> None:
        lane.bytes += payload_bytes
        self._free_bytes -= payload_bytes

    def _grow(self, lane: _Lane, now_ms: int) -> bool:
        if is_to_come(lane.grows_ms, now_ms, WINDOW_GROWS_MS):
            return False
        before = lane.window
        # As many as were over in the time that a window is measured for: it may have been more.
        ended = lane.ended * WINDOW_GROWS_MS / max(WINDOW_GROWS_MS, now_ms - lane.grows_ms + WINDOW_GROWS_MS)
        takes_long = ended < SOON_OVER * before
        if lane.grown and not takes_long and ended < GAIN * lane.ended_before:
            lane.window = max(WINDOW_FIRST, before // 2)
            lane.grown = False
            lane.spans_left, lane.spans = lane.spans, min(2 * lane.spans, SPANS_MAX)
        elif before < WINDOW_FIRST or takes_long or lane.spans_left <= 0:
            if lane.grown:
                lane.spans = SPANS_MIN
            lane.window *= 2
            lane.grown = before >= WINDOW_FIRST
        else:
            lane.spans_left -= 1
        lane.ended_before = ended
        self._measure(lane, now_ms)
        return lane.window > before

    def _measure(self, lane: _Lane, now_ms: int) -> None:
        lane.grows_ms = now_ms + WINDOW_GROWS_MS
        lane.ended = 0

    def _settle(self, function: FunctionName, lane: _Lane, now_ms: int) -> None:
        if lane.in_turn and not (lane.at_work or lane.ready):
            self._first_turns.append(function)
        elif lane.waiting or lane.at_work or lane.ready:
            self._turn(function, lane, now_ms)
        elif not lane.in_turn:
            del self._lanes[function]

    def _turn(self, function: FunctionName, lane: _Lane, now_ms: int) -> None:
        """Have the function looked at when something of it can be due: now, or later."""
        if lane.in_turn or lane.fetching or lane.waiting <= 0:
            return
        if self._is_due(lane, now_ms):
            lane.in_turn = True
            turns = self._turns if lane.ready or lane.at_work else self._first_turns
            turns.append(function)
            return
        at_ms = lane.resumes_ms if self._has_due(lane, now_ms) else lane.due_ms
        if at_ms < lane.alarm_ms and at_ms != _NEVER:
            lane.alarm_ms = at_ms
            heapq.heappush(self._alarms, (at_ms, function))


def is_to_come(at_ms: int, now_ms: int, longest_ms: int) -> bool:
    """Farther away than it can have been set, the time is one from before the clock was set back."""
    return now_ms < at_ms <= now_ms + longest_ms

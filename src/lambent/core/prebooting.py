"""How many sandboxes are kept ready for the cold starts to come: pure; its owner boots and retires them.

Sandboxes are of a *kind* (a runtime and a network, or a snapshot, to its owner), which is an opaque string here. What
is told of them, by `taken`, `booted` and the rest, gives `plan` what to boot and what to retire, of how many at a time.
The plan is to be made after each of these, and again at the time that it names; then nothing needs to be done in
between.

**Demand.** A pool is there for what comes before it can be refilled. So the demand of a kind is the highest number that
was taken within one *refill time*: with that many ready, and each one replaced within a refill time, the same again
finds one every time. A mean would say none for a function that is called once an hour, and for a hundred that are
called at once. The highest number is held for a few minutes, longer than an idle environment lives by default, as a
function is not started cold again before it is gone; then it is halved with each minute, so that bursts are forgotten
soon and their memory is for others. With silence the demand comes to nothing, and the minimum remains.

**Memory.** All that is ready or being booted is within the budget, counted by what one of its kind was measured to
take. First each kind has its minimum, then the rest goes one by one to the kind that has the smallest part of what it
wants: so each one that is wanted has its first before another has its second beyond the minimum, and where there is too
little all have the same part.

**Not against requests.** A boot takes processor time from the very cold start that made it necessary. So a few are
booted at a time, and while cold starts come, one: then a refill takes no more than one boot's time from them, and does
not end before they do. Kinds that nobody made known are somebody's own, and may take as long as that one likes: they
have one place for themselves. Retiring is held to the same number, except where memory is over the budget.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from lambent.core.record import Record

REFILL_US = 1_000_000
"""Within which one that was taken is replaced: some dozens of boots of the slowest kind that is booted ahead."""
MINUTE_US = 60_000_000
HELD_MINUTES = 5
MOST = 1_024
"""Of one kind. Beyond that a cold start costs less than the memory."""
QUIET_US = 50_000
"""Without a cold start for so long, none is thought to be going on."""
UNMEASURED_BYTES = 16 * 1024 * 1024
"""What one is taken to have before one of its kind was measured: rather too much than too little."""
FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 64_000_000

_REMEMBERED_MINUTES = HELD_MINUTES + MOST.bit_length()
"""After which the highest demand is halved to nothing."""


class Plan(Record, frozen=True):
    """What to do now: kinds, each as often as there are sandboxes of it to boot or to retire. What is planned is
    counted as done. `look_again_us` is when time alone would make another plan, if it does."""

    boot: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    look_again_us: int | None = None


@dataclass(slots=True)
class _Kind:
    is_known: bool = False
    ready: int = 0
    booting: int = 0
    bytes_each: int = UNMEASURED_BYTES
    taken_us: deque[int] = field(default_factory=lambda: deque(maxlen=MOST))
    """Within the last refill time."""
    peaks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MINUTES))
    """The highest number taken within a refill time, by the minute in which it was."""
    failures: int = 0
    """Since one was taken."""
    not_before_us: int = 0

    def take(self, now: int) -> None:
        while self.taken_us and self.taken_us[0] <= now - REFILL_US:
            self.taken_us.popleft()
        self.taken_us.append(now)
        minute, peak = now // MINUTE_US, len(self.taken_us)
        if self.peaks and self.peaks[-1][0] == minute:
            peak = max(peak, self.peaks.pop()[1])
        self.peaks.append((minute, peak))

    def fail(self, now: int) -> None:
        self.not_before_us = now + min(FIRST_RETRY_US << self.failures, LAST_RETRY_US)
        self.failures = min(self.failures + 1, LAST_RETRY_US.bit_length())

    def demand(self, now: int) -> int:
        this_minute = now // MINUTE_US
        return max((peak >> max(0, this_minute - minute - HELD_MINUTES) for minute, peak in self.peaks), default=0)


class Prebooting:
    """The pools of all kinds. `kinds` are those that have the minimum from the beginning; one that is made known later
    has it from then on, and one that is only taken has none, and does not have the places of the others. Times are
    microseconds of the owner's monotonic clock."""

    def __init__(self, *, minimum: int, memory_bytes: int, boots_at_once: int, kinds: Iterable[str] = ()) -> None:
        self._minimum = minimum
        self._memory_bytes = memory_bytes
        self._boots_at_once = boots_at_once
        self._kinds = {kind: _Kind(is_known=True) for kind in kinds}
        self._last_taken_us: int | None = None

    def know(self, kind: str) -> None:
        """One of the kind may be wanted: it has the minimum from now on."""
        self._kind(kind).is_known = True

    def forget(self, kind: str) -> None:
        """None of the kind is wanted any more. Its owner ends those that there are, and tells nothing more of it."""
        self._kinds.pop(kind, None)

    # What happens -------------------------------------------------------------------------------------------------

    def taken(self, kind: str, now: int, *, had_one: bool) -> None:
        """A cold start took one, or found none."""
        state = self._kind(kind)
        if had_one:
            assert state.ready > 0, "one was taken that is not there"
            state.ready -= 1
            state.failures = 0
        state.take(now)
        self._last_taken_us = now

    def booted(self, kind: str) -> None:
        """One that was planned is ready."""
        state = self._kind(kind)
        assert state.booting > 0, "one was booted that was not planned"
        state.booting -= 1
        state.ready += 1

    def failed(self, kind: str, now: int) -> None:
        """One that was planned can not be had. The next of its kind is tried later, each time twice as late, until one
        is taken."""
        state = self._kind(kind)
        assert state.booting > 0, "one has failed that was not planned"
        state.booting -= 1
        state.fail(now)

    def lost(self, kind: str, now: int) -> None:
        """One that was ready has ended: the next of its kind is tried later, too. Several that end at one time, with
        what they lived in, count once."""
        state = self._kind(kind)
        assert state.ready > 0, "one was lost that is not there"
        state.ready -= 1
        if now >= state.not_before_us:
            state.fail(now)

    def measured(self, kind: str, bytes_each: int) -> None:
        """One of the kind takes so much memory."""
        self._kind(kind).bytes_each = max(1, bytes_each)

    def _kind(self, kind: str) -> _Kind:
        return self._kinds.setdefault(kind, _Kind())

    # What is to be done -------------------------------------------------------------------------------------------

    def targets(self, now: int) -> dict[str, int]:
        """How many there are to be of each kind, within the budget. Those that are being booted have their part of
        it first: they can not be called off."""
        wanted = {kind: max(self._least(state), state.demand(now)) for kind, state in self._kinds.items()}
        given = {kind: state.booting for kind, state in self._kinds.items()}
        left = self._memory_bytes - self._bytes_of(given)
        left = self._share_out(given, {kind: self._least(state) for kind, state in self._kinds.items()}, left)
        self._share_out(given, wanted, left)
        return given

    def plan(self, now: int) -> Plan:
        targets = self.targets(now)
        cold_starts = self._last_taken_us is not None and now - self._last_taken_us < QUIET_US
        at_once = 1 if cold_starts else self._boots_at_once
        retire = self._retire(targets, at_once)
        boot = self._boot(targets, at_once, now)
        return Plan(boot, retire, self._look_again(targets, now))

    def _least(self, state: _Kind) -> int:
        return self._minimum if state.is_known else 0

    def _bytes_of(self, counts: Mapping[str, int]) -> int:
        return sum(count * self._kinds[kind].bytes_each for kind, count in counts.items())

    def _held_bytes(self) -> int:
        return sum((state.ready + state.booting) * state.bytes_each for state in self._kinds.values())

    def _share_out(self, given: dict[str, int], wanted: Mapping[str, int], left: int) -> int:
        """Give as many as are wanted, while there is memory left. Returns what is left then."""
        missing_bytes = self._bytes_of({kind: max(0, want - given[kind]) for kind, want in wanted.items()})
        if missing_bytes <= left:
            given.update({kind: max(given[kind], want) for kind, want in wanted.items()})
            return left - missing_bytes
        # A tie goes to whom more is wanted of, then to a name: by time it would change hands with each cold start.
        queue = [(given[kind] / want, -want, kind) for kind, want in wanted.items() if given[kind] < want]
        heapify(queue)
        while queue:
            _, negative_want, kind = heappop(queue)
            bytes_each = self._kinds[kind].bytes_each
            if bytes_each > left:
                continue  # what takes less may still have a place
            left -= bytes_each
            given[kind] += 1
            if given[kind] < -negative_want:
                heappush(queue, (given[kind] / -negative_want, negative_want, kind))
        return left

    def _surplus(self, kind: str, targets: Mapping[str, int]) -> int:
        state = self._kinds[kind]
        return max(0, state.ready + state.booting - targets[kind])

    def _retire(self, targets: Mapping[str, int], at_once: int) -> tuple[str, ...]:
        retired: list[str] = []
        for kind, state in self._kinds.items():
            for _ in range(self._surplus(kind, targets)):
                if len(retired) >= at_once and self._held_bytes() <= self._memory_bytes:
                    return tuple(retired)
                state.ready -= 1
                retired.append(kind)
        return tuple(retired)

    def _boot(self, targets: Mapping[str, int], at_once: int, now: int) -> tuple[str, ...]:
        booted: list[str] = []
        left = self._memory_bytes - self._held_bytes()
        for known, places in ((True, at_once), (False, 1)):
            kinds = [kind for kind, state in self._kinds.items() if state.is_known is known]
            for _ in range(places - sum(self._kinds[kind].booting for kind in kinds)):
                kind = min(
                    (kind for kind in kinds if self._can_boot(kind, targets, left, now)),
                    key=lambda kind: ((self._kinds[kind].ready + self._kinds[kind].booting) / targets[kind], kind),
                    default=None,
                )
                if kind is None:
                    break
                self._kinds[kind].booting += 1
                left -= self._kinds[kind].bytes_each
                booted.append(kind)
        return tuple(booted)

    def _can_boot(self, kind: str, targets: Mapping[str, int], left: int, now: int) -> bool:
        state = self._kinds[kind]
        missing = state.ready + state.booting < targets[kind]
        return missing and now >= state.not_before_us and state.bytes_each <= left

    def _look_again(self, targets: Mapping[str, int], now: int) -> int | None:
        times = []
        for kind, state in self._kinds.items():
            if state.demand(now) > self._least(state):
                times.append((now // MINUTE_US + 1) * MINUTE_US)
            if state.ready + state.booting < targets[kind]:
                times.append(state.not_before_us)
            if self._surplus(kind, targets):
                times.append(now + QUIET_US)
        return min((time for time in times if time > now), default=None)

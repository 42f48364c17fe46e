"""What may happen how often: requests in a second, and environments that are started in ten.

Both hold in every such span of time, whenever it begins. A bucket that is refilled at a constant rate would not: full,
it lets through what it holds and then what flows in, nearly twice as much in the first span.

Source: developer guide, "Understanding Lambda function scaling", "Concurrency scaling rate", and "Lambda quotas".
"""

from collections import deque

SLOT_US = 10_000
SLOTS = 100
"""In a second."""
SCALE_OUT_US = 10_000_000


class RequestRate:
    """The requests of the last second, counted in slots of a hundredth: on the way of every invocation, so that it
    takes neither memory nor time for each of them. The slot that has begun counts beside a whole second, so one that
    is refused might have been admitted a hundredth later; never is one too many admitted."""

    __slots__ = ("_before", "_counts", "_ends_us", "_in_all", "_slot")

    def __init__(self) -> None:
        self._slot = 0
        self._ends_us = 0
        """When the slot does."""
        self._counts: list[int] = []
        """Of those before it; made with the first request, as most functions have no pool of their own."""
        self._before = 0
        """All of these."""
        self._in_all = 0

    def admits(self, limit: int, now: int) -> bool:
        """Count a request if there were fewer than the limit in the last second."""
        if now >= self._ends_us:
            self._move_on(now // SLOT_US)
        if self._in_all >= limit:
            return False
        self._in_all += 1
        return True

    def _move_on(self, slot: int) -> None:
        counts = self._counts = self._counts or [0] * SLOTS
        count = self._in_all - self._before
        for ended in range(max(self._slot, slot - SLOTS), slot):
            index = ended % SLOTS
            self._in_all -= counts[index]
            counts[index] = count if ended == self._slot else 0
        if slot - self._slot > SLOTS:
            self._in_all -= count
        self._slot, self._before, self._ends_us = slot, self._in_all, (slot + 1) * SLOT_US


class ScaleOut:
    """The bucket of a function: each environment that is started takes a token, which is back ten seconds later."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        """When, of those that are not there again."""

    def take(self, tokens: int, now: int) -> int | None:
        """Take one of so many tokens; or, when there is none, the microseconds until there is."""
        taken = self._taken
        while taken and taken[0] <= now - SCALE_OUT_US:
            taken.popleft()
        if len(taken) >= tokens:
            return taken[0] + SCALE_OUT_US - now if taken else SCALE_OUT_US
        taken.append(now)
        return None

    def give_back(self) -> None:
        """One that was taken, the last of them, for an environment that is not started after all."""
        if self._taken:
            self._taken.pop()

"""The judge of a soak: tells from the readings at rest what has grown. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from lambent.testing.soak.gauges import COUNTS, Reading


@dataclass(frozen=True, slots=True)
class Rest:
    """A reading when every environment was gone, after so many lives. `settled` tells that no upheaval came after it:
    the helpers are the same ones from here to the end."""

    lives: int
    settled: bool
    reading: Reading


@dataclass(frozen=True, slots=True)
class Growth:
    """Of counts: the largest difference that a reading had from the first. Of memory: its slope, in bytes a life."""

    gauge: str
    amount: float


MEMORY = ("memory_kib", "helper_memory_kib")
BYTES_A_LIFE = 4_096.0
"""By how much memory may grow in a soak of some hundred lives. These are too few to tell a smaller trend from the pages
that an allocator comes to touch one after another."""


def growth(rests: Sequence[Rest]) -> list[Growth]:
    """Of every gauge, counts first. There must be three rests at the least that are settled."""
    first = rests[0].reading
    counts = [
        Growth(name, max((differences(first, rest.reading).get(name, 0) for rest in rests), key=abs)) for name in COUNTS
    ]
    settled = [rest for rest in rests if rest.settled]
    return [*counts, *(Growth(name, slope(rests if name == "memory_kib" else settled, _kib(name))) for name in MEMORY)]


def differences(first: Reading, later: Reading) -> dict[str, int]:
    """Of the counts that are not the same."""
    every = {name: getattr(later, name) - getattr(first, name) for name in COUNTS}
    return {name: difference for name, difference in every.items() if difference}


def leaks(rests: Sequence[Rest], bytes_a_life: float) -> list[Growth]:
    """What is not as it was: a count at all, memory that has grown by more than so much."""
    return [one for one in growth(rests) if (one.amount > bytes_a_life if one.gauge in MEMORY else one.amount != 0)]


def _kib(name: str) -> Callable[[Rest], float]:
    return lambda rest: getattr(rest.reading, name) * 1024.0


def slope(rests: Sequence[Rest], value: Callable[[Rest], float]) -> float:
    """By Theil and Sen: the median of the slopes between all pairs, so that one step or one odd reading, as an
    allocator gives, is no trend."""
    return statistics.median(
        (value(later) - value(earlier)) / (later.lives - earlier.lives) for earlier, later in combinations(rests, 2)
    )

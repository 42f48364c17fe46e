"""An hour of a thousand functions, drawn from what has been published of Azure Functions.

Source of the distributions: M. Shahrad and others, "Serverless in the Wild: Characterizing and Optimizing the
Serverless Workload at a Large Cloud Provider", USENIX ATC 2020. `RATES` has the paper's two marks: 45 % of functions
are called once an hour at most, 81 % once a minute at most. What lies beyond them is drawn by us, between one call a
day and three a second, lest a few functions be the whole hour. Execution times are the paper's log-normal distribution
of functions' averages, and memory its Burr distribution of what applications are given; 16 % are called by a timer.
"""

import bisect
import math
from random import Random

from lambent.core.record import Record

FUNCTIONS = 1_000
HOUR_S = 3_600

RATES = ((1 / 86_400, 0.0), (1 / 3_600, 0.45), (1 / 60, 0.81), (1.0, 0.97), (3.0, 1.0))
"""Calls a second, and the part of the functions that has no more. Between two marks the rate's logarithm is even."""
BY_TIMER = 0.16
SECONDS_MU, SECONDS_SIGMA = -0.38, 2.36
"""Of the logarithm of a function's mean execution time in seconds."""
BURR_C, BURR_K, BURR_MIB = 11.652, 0.221, 107.083
LEAST_MIB, MOST_MIB = 128, 10_240
LONGEST_S = 900.0
INIT_S = (0.1, 2.0)
"""Between which initialisations are drawn, evenly by their logarithm. The paper does not tell."""


class Drawn(Record, frozen=True):
    """A function of the population. `by_timer` says that its calls come at even intervals."""

    rate_per_s: float
    mean_s: float
    init_s: float
    memory_mib: int
    by_timer: bool


def population(random: Random, functions: int = FUNCTIONS) -> list[Drawn]:
    return [_draw(random) for _ in range(functions)]


def _draw(random: Random) -> Drawn:
    return Drawn(
        rate_per_s=_rate(random.random()),
        mean_s=min(LONGEST_S, random.lognormvariate(SECONDS_MU, SECONDS_SIGMA)),
        init_s=math.exp(random.uniform(math.log(INIT_S[0]), math.log(INIT_S[1]))),
        memory_mib=_memory(random.random()),
        by_timer=random.random() < BY_TIMER,
    )


def _rate(part: float) -> float:
    """The inverse of the distribution."""
    at = max(1, bisect.bisect_left([mark for _, mark in RATES], part))
    (low, below), (high, above) = RATES[at - 1], RATES[at]
    return low * math.pow(high / low, (part - below) / (above - below))


def _memory(part: float) -> int:
    """The inverse of Burr's distribution (type XII), rounded up to what a function may be given."""
    mib = BURR_MIB * math.pow(math.pow(1 - part, -1 / BURR_K) - 1, 1 / BURR_C)
    return min(MOST_MIB, max(LEAST_MIB, 64 * math.ceil(mib / 64)))

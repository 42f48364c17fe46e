"""The dispatcher in simulated time: a million invocations with faults, and an hour of a thousand functions.

`lambent.testing.simulation` has both. What is drawn is the same at each run; only the seconds that it takes are not.
"""

import logging
import sys
import time
from collections.abc import Iterator

from benchmarks.table import Row
from lambent.testing.simulation import hour
from lambent.testing.simulation.checks import Violation
from lambent.testing.simulation.population import FUNCTIONS
from lambent.testing.simulation.scenario import Day

INVOCATIONS = 1_000_000
A_DAY = 2_000
FIRST_SEED = 1_000
"""Those below are the tests'."""
HOUR_SEED = 1


def run(share: float) -> list[Row]:
    logging.disable(logging.CRITICAL)  # what the operator would be told of is drawn by the thousand
    try:
        return [*_days(max(1, round(share * INVOCATIONS / A_DAY))), *_hours(max(10, round(share * FUNCTIONS)))]
    finally:
        logging.disable(logging.NOTSET)


def _days(count: int) -> Iterator[Row]:
    violations = 0
    began = time.monotonic()
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        try:
            Day(seed, A_DAY).run()
        except Violation as violation:
            violations += 1
            print(violation, *getattr(violation, "__notes__", ()), file=sys.stderr)
    yield Row(f"simulation: of {count * A_DAY:,} invocations", "/s", count * A_DAY / (time.monotonic() - began))
    yield Row("simulation: days on which something did not hold", "", violations, promised_at_most=0, anywhere=True)


def _hours(functions: int) -> Iterator[Row]:
    for policy in hour.POLICIES:
        came = hour.run(policy, HOUR_SEED, functions=functions)
        yield Row(f"hour: cold starts ({policy})", "%", 100 * came.cold_share)
        yield Row(f"hour: memory ({policy})", "GiB·h", came.memory_gib_h)
        yield Row(f"hour: throttled of {came.invocations:,} ({policy})", "", came.throttled)

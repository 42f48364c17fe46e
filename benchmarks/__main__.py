"""`python -m benchmarks [PART ...]`: measure all, or the parts that are named; `make bench` measures all.

Prints the table, keeps it as JSON in benchmarks/results/, and exits with 1 when a promised ratio is missed, with 2
when something could not be measured.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import subjects, table, wire
from benchmarks.parts import (
    burst,
    cold,
    events,
    machine,
    many_functions,
    memory,
    simulation,
    snap_start,
    soak,
    startup,
    warm,
)

RESULTS = Path(__file__).with_name("results")

PARTS: dict[str, Callable[[float], Iterable[table.Row]]] = {
    "machine": machine.run,
    "wire": lambda _: map(table.row_of, wire.run()),
    "startup": lambda _: startup.run(),
    "cold": cold.run,
    "burst": burst.run,
    "snap_start": snap_start.run,
    "warm": lambda _: warm.run(),
    "memory": memory.run,
    "many_functions": lambda _: many_functions.run(),
    "events": events.run,
    "simulation": simulation.run,
    "soak": soak.run,
}
"""Each takes the share of its counts that it is to do, if it can do less."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Lambent on this machine.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one or more of: {', '.join(PARTS)}; none: all")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of what most parts repeat, to see that they work",
    )
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    began = time.monotonic()
    rows: list[table.Row] = []
    for part in parts:
        print(f"measuring: {part} ...", file=sys.stderr, flush=True)
        try:
            rows += PARTS[part](given.share)
        except subjects.NotReady as error:
            print(f"{part} can not be measured: {error}", file=sys.stderr)
            return 2
    print("\n".join(table.lines(rows)))
    kept = table.write_document(rows, RESULTS)
    print(f"{time.monotonic() - began:.0f} s; kept in {os.path.relpath(kept)}")
    return 1 if table.any_missed(rows) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m lambent.testing.soak`: a soak in a process of its own, told as one JSON document.

Ends with 1 when something has grown or a life did not end as it may; the document says what.
"""

import argparse
import json
import sys
from dataclasses import asdict

import uvloop

from lambent.testing.soak.judge import growth, leaks
from lambent.testing.soak.run import Plan, soak

BYTES_A_LIFE = 16_384


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lambent.testing.soak", description="Soaks the worker.")
    parser.add_argument("--driver", required=True)
    for number in ("--seed", "--lives", "--rounds"):
        parser.add_argument(number, type=int, required=True)
    given = parser.parse_args()
    told = uvloop.run(soak(Plan(given.driver, given.seed, given.lives, given.rounds)))
    leaked = leaks(told.rests, BYTES_A_LIFE)
    document = {
        **asdict(told),
        "growth": {one.gauge: one.amount for one in growth(told.rests)},
        "leaks": {one.gauge: one.amount for one in leaked},
    }
    print(json.dumps(document))
    return 1 if leaked or told.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())

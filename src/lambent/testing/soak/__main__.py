"""`python -m lambent.testing.soak`: a soak in a process of its own, told as one JSON document.

Ends with 1 when something has grown or a life did not end as it may; the document says what.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict

import uvloop

from lambent.testing.soak.judge import BYTES_A_LIFE, growth, leaks
from lambent.testing.soak.run import Plan, soak
from lambent.worker.sandbox import kernel


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lambent.testing.soak", description="Soaks the worker.")
    parser.add_argument("--driver", required=True)
    for number in ("--seed", "--lives", "--rounds"):
        parser.add_argument(number, type=int, required=True)
    parser.add_argument("--bytes-a-life", type=float, default=BYTES_A_LIFE, help="by how much memory may grow")
    given = parser.parse_args()
    if os.geteuid() == 0:
        _leave_the_mounts_of_others()
    told = uvloop.run(soak(Plan(given.driver, given.seed, given.lives, given.rounds)))
    leaked = leaks(told.rests, given.bytes_a_life)
    document = {
        **asdict(told),
        "growth": {one.gauge: one.amount for one in growth(told.rests)},
        "leaks": {one.gauge: one.amount for one in leaked},
    }
    print(json.dumps(document))
    return 1 if leaked or told.unexpected else 0


def _leave_the_mounts_of_others() -> None:
    """Have mounts of our own: one that somebody else made on the machine would stay in a launcher that was started
    meanwhile, and look like one of the launcher's when it is gone from the machine."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)


if __name__ == "__main__":
    sys.exit(main())

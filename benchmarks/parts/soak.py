"""Environments by the thousand, each with a fault at random, and what of them is left when all are gone.

`lambent.testing.soak` does it, in a process of its own; this part shows what it tells.
"""

import json
import subprocess
import sys

from benchmarks import subjects
from benchmarks.table import Row
from lambent.settings import Settings

LIVES = 5_000
LEAST_LIVES = 100
LIVES_A_ROUND = 100
LEAST_ROUNDS = 6
SEED = 5_000
BYTES_A_LIFE_AT_MOST = 512.0
WITHIN_S = 3_600

_COUNTS = {
    "processes": "processes",
    "mounts": "mounts",
    "control_groups": "control groups",
    "namespaces": "namespaces",
    "loop_devices": "loop devices",
    "descriptors": "descriptors of the worker",
    "helper_descriptors": "descriptors of its helpers",
    "files": "files and directories",
    "file_bytes": "bytes on disk",
    "tasks": "tasks",
    "objects": "objects of the worker's types",
}
_MEMORY = {"memory_kib": "the worker", "helper_memory_kib": "its helpers"}


def run(share: float) -> list[Row]:
    lives = max(LEAST_LIVES, round(LIVES * share))
    rounds = max(LEAST_ROUNDS, lives // LIVES_A_ROUND)
    command = (sys.executable, "-m", "lambent.testing.soak", f"--driver={Settings().sandbox}", f"--seed={SEED}")
    counts = (f"--lives={lives}", f"--rounds={rounds}")
    done = subprocess.run((*command, *counts), stdout=subprocess.PIPE, timeout=WITHIN_S, check=False)
    if not done.stdout:
        raise subjects.NotReady("the soak has ended without a word")
    told = json.loads(done.stdout)
    for life in told["unexpected"]:
        print(f"did not end as it should: {life}", file=sys.stderr)
    lived = told["rests"][-1]["lives"]
    growth = told["growth"]
    return [
        Row(f"soak: environments with faults, of {lived}", "/s", lived / told["seconds"]),
        _none("soak: environments that ended as they should not", "", len(told["unexpected"])),
        *(_none(f"soak: {name} left", "", abs(growth[gauge])) for gauge, name in _COUNTS.items()),
        *(
            Row(
                f"soak: memory of {name}, for each environment", "bytes", growth[gauge],
                promised_at_most=BYTES_A_LIFE_AT_MOST, anywhere=True,
            )
            for gauge, name in _MEMORY.items()
        ),
    ]  # fmt: skip


def _none(name: str, unit: str, measured: float) -> Row:
    return Row(name, unit, measured, promised_at_most=0, anywhere=True)

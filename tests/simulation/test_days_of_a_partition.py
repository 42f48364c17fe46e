"""The dispatcher and the state machines of `core`, run through days that a seed decides. To replay one that failed:
`Day(SEED, INVOCATIONS).run()`, with the seed that the failure names."""

import logging
import os
import subprocess
import sys

import pytest

from lambent.testing.simulation import hour
from lambent.testing.simulation.scenario import Day

INVOCATIONS = 2_000
SEEDS = 200
AT_A_TIME = 20


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What the operator would be told of is drawn by the thousand."""
    caplog.set_level(logging.CRITICAL, "lambent")


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_what_must_hold_holds(first: int) -> None:
    days = [Day(seed, INVOCATIONS).run() for seed in range(first, first + AT_A_TIME)]
    # That it holds is worth something: much was started, refused and lost.
    assert sum(day.starts for day in days) > 20 * AT_A_TIME
    assert any(day.throttled for day in days)
    assert any(day.faulted for day in days)


def test_a_seed_replays_exactly() -> None:
    """Also in another process, where the hashes of texts are others."""
    replay = "from lambent.testing.simulation.scenario import Day; print([Day(seed, 500).run() for seed in (7, 8)])"
    told = [
        subprocess.run(
            (sys.executable, "-c", replay),
            env={**os.environ, "PYTHONHASHSEED": hashes},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1]
    assert Day(7, 500).run().digest != Day(8, 500).run().digest


@pytest.mark.parametrize("first", range(0, 40, AT_A_TIME))
def test_without_faults_nobody_is_told_of_one(first: int) -> None:
    """Whatever else happens: functions are changed and deleted, and versions with SnapStart."""
    days = [Day(seed, INVOCATIONS, faults=False).run() for seed in range(first, first + AT_A_TIME)]
    assert not [day for day in days if day.faulted]


def test_an_hour_in_small_has_fewer_starts_the_longer_environments_are_kept() -> None:
    kept, longer, ended = [hour.run(policy, 3, functions=40, seconds=120) for policy in hour.POLICIES]
    assert kept.invocations == longer.invocations == ended.invocations > 0
    assert longer.cold_share <= kept.cold_share < ended.cold_share
    assert ended.memory_gib_h < kept.memory_gib_h <= longer.memory_gib_h

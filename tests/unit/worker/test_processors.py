"""How many processors may be used, by what the kernel's files say."""

import os
from pathlib import Path

from lambent.worker import processors


def test_a_quota_bounds_them_and_a_part_of_one_counts_as_one(tmp_path: Path) -> None:
    groups = []
    for name, version, files in (
        ("free", 2, {"cpu.max": "max 100000"}),
        ("one and a half", 2, {"cpu.max": "150000 100000"}),
        ("a tenth", 1, {"cpu.cfs_quota_us": "10000", "cpu.cfs_period_us": "100000"}),
        ("no quota", 1, {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}),
        ("three", 1, {"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}),
        ("root", 2, {}),
    ):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
        groups.append((version, tmp_path / name))
    assert processors.bounds(groups) == [2, 1, 3]


def test_those_that_this_process_may_not_run_on_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processors.detect() == 1
    finally:
        os.sched_setaffinity(0, allowed)

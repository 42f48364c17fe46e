"""How many processors the worker may use: of the machine's, by its affinity and the control groups that it is in.

Source: Linux, sched_setaffinity(2), scheduler/sched-bwc and admin-guide/cgroup-v2 (`cpu.max`).
"""

import os
from collections.abc import Iterable
from pathlib import Path

from lambent.worker.sandbox import cgroups


def detect() -> int:
    """At least one; a part of one counts as one."""
    groups = [
        (hierarchy.version, group)
        for hierarchy in cgroups.find()
        if "cpu" in hierarchy.controllers
        for group in (Path(hierarchy.base), *Path(hierarchy.base).parents)
    ]
    return min([len(os.sched_getaffinity(0)), *bounds(groups)])


def bounds(groups: Iterable[tuple[int, Path]]) -> list[int]:
    """What those of the groups, with the versions of their hierarchies, allow that have a quota."""
    found = []
    for version, group in groups:
        try:
            quota, period = _quota(version, group)
        except OSError:
            continue  # the root of its hierarchy, or above it
        if quota.isdigit():
            found.append(max(1, -(-int(quota) // int(period))))
    return found


def _quota(version: int, group: Path) -> tuple[str, str]:
    """In microseconds; where there is none, the first is no number of digits alone."""
    if version == 2:
        quota, period = (group / "cpu.max").read_text().split()
        return quota, period
    return (group / "cpu.cfs_quota_us").read_text().strip(), (group / "cpu.cfs_period_us").read_text()

"""What memory the worker has, and how much of it is not in use: of the machine, and of the control groups it is in.

A control group's use is counted without the files that the kernel would drop first (`inactive_file`), as the kernel
counts what is available on the machine. Sources: proc(5), `MemAvailable`; Linux, admin-guide/cgroup-v1/memory and
cgroup-v2.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lambent.worker.messages import MemoryMeasured
from lambent.worker.sandbox import cgroups

_MEMINFO = Path("/proc/meminfo")
_MACHINE_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _Files(NamedTuple):
    limit: str
    usage: str
    inactive: str
    """The field of memory.stat that has the files which go first, of the group and all below it."""


_OF_VERSION = {
    1: _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: _Files("memory.max", "memory.current", "inactive_file"),
}


class Bound(NamedTuple):
    """A control group, and what it and all below it may have."""

    directory: Path
    version: int
    limit_bytes: int

    def available_bytes(self) -> int:
        files = _OF_VERSION[self.version]
        usage = int((self.directory / files.usage).read_text())
        return self.limit_bytes - usage + _fields(self.directory / "memory.stat", " ").get(files.inactive, 0)


def bounds() -> list[Bound]:
    """Of the control groups that this process is in, those that have a limit."""
    found = []
    for hierarchy in cgroups.find():
        if "memory" in hierarchy.controllers:
            own = Path(hierarchy.base)
            found += [bound for group in (own, *own.parents) if (bound := _bound(group, hierarchy.version)) is not None]
    return found


def _bound(group: Path, version: int) -> Bound | None:
    try:
        limit = (group / _OF_VERSION[version].limit).read_text().strip()
    except OSError:
        return None  # the root of its hierarchy, or above it
    if limit == "max" or int(limit) >= _MACHINE_BYTES:  # version 1 has a number for none, too
        return None
    return Bound(group, version, int(limit))


def bound_of(group: Path, limit_mib: int) -> Bound:
    """A control group that is to have no more than this, whether the kernel holds it to it or not."""
    version = 2 if (group / _OF_VERSION[2].usage).exists() else 1
    return Bound(group, version, limit_mib << 20)


def detect_mib(within: Sequence[Bound]) -> int:
    """What the machine has, or the control groups allow."""
    return min((_MACHINE_BYTES, *(bound.limit_bytes for bound in within))) >> 20


def measure(memory_mib: int, within: Sequence[Bound]) -> MemoryMeasured:
    """`memory_mib` is what the worker may have in all. Raises OSError when a control group is gone."""
    available = _fields(_MEMINFO, ":")["MemAvailable"] * 1024
    for bound in within:
        available = min(available, bound.available_bytes())
    return MemoryMeasured(memory_mib, max(0, available) >> 20)


def _fields(path: Path, separator: str) -> dict[str, int]:
    lines = (line.split(separator, 1) for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) for name, value in lines}

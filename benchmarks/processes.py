"""What processes cost, as the kernel tells it in /proc. Linux only, as Lambent itself."""

import os
from collections.abc import Iterable
from pathlib import Path


def descendants(process: int) -> list[int]:
    """Every live descendant, parents before their children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(children.get(process, ()))
    for member in found:  # grows as it is walked
        found += children.get(member, ())
    return found


def cpu_s(processes: Iterable[int]) -> float:
    """Time on a processor, so far, of those that are still there."""
    ticks = 0
    for process in processes:
        fields = _stat(process)
        if fields is not None:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int) -> float:
    return _rollup(process, "Rss:")


def proportional_mb(process: int) -> float:
    """Memory with what is shared divided among those who share it (PSS). Raises PermissionError for a process that
    is not ours to look into."""
    return _rollup(process, "Pss:")


def _rollup(process: int, name: str) -> float:
    """In MB of 1,000,000 bytes."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _stat(process: int) -> list[str] | None:
    """The fields of /proc/N/stat from the third one on: the second, the name, may hold anything."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None

"""How soon the server is ready, and what it holds when it has nothing to do.

All starts but the first are judged: they find a data directory with a function in it, as after an upgrade.
"""

import statistics

from benchmarks import processes, subjects
from benchmarks.table import Row

STARTS = 7
READY_S_AT_MOST = 0.8
RESIDENT_MB_AT_MOST = 90.0


def run() -> list[Row]:
    ready_s: list[float] = []
    resident_mb: list[float] = []
    beside_mb: list[float] = []
    with subjects.data_directory() as data:
        with subjects.lambent(data) as server:
            subjects.create(server.client(), "echo", subjects.package())
        for _ in range(STARTS):
            with subjects.lambent(data) as server:
                ready_s.append(server.started_in_s)
                resident_mb.append(processes.resident_mb(server.process))
                beside_mb.append(sum(map(processes.resident_mb, processes.descendants(server.process))))
    return [
        Row("start: second start to ready", "s", statistics.median(ready_s), promised_at_most=READY_S_AT_MOST),
        Row(
            "memory: idle server process (RSS)", "MB", statistics.median(resident_mb),
            promised_at_most=RESIDENT_MB_AT_MOST,
        ),
        Row("memory: its launcher beside it (RSS)", "MB", statistics.median(beside_mb)),
    ]  # fmt: skip

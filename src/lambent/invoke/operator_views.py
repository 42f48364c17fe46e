"""What an operator is shown of the data plane: plain rows, for whoever has the operator's door open."""

from typing import Any

from lambent.invoke.configuration import version_of_pool
from lambent.invoke.dispatcher import Census
from lambent.invoke.events import QueueOfFunction

_COUNTS = {
    "Starting": "starting",
    "Idle": "idle",
    "Busy": "busy",
    "Provisioned": "provisioned",
    "Waiting": "waiting",
}
"""By the row's member, that of a pool's census. Waiting are the invocations, all others environments."""


def environments(census: Census) -> list[dict[str, Any]]:
    """A row for each version that has environments, templates, or invocations that wait for one. MemoryMiB is the
    MemorySize of all of them together."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}

    def row(pool_id: str) -> dict[str, Any]:
        function, version = version_of_pool(pool_id)
        names = {
            "Account": function.account,
            "Region": function.region,
            "FunctionName": function.name,
            "Version": version,
        }
        return rows.setdefault(tuple(names.values()), {**names, **dict.fromkeys(_COUNTS, 0), "MemoryMiB": 0})

    for pool in census.pools:
        of_version = row(pool.pool_id)
        for member, count in _COUNTS.items():
            of_version[member] += getattr(pool, count)
    for pool_id, memory_mib in census.memory_mib.items():
        row(pool_id)["MemoryMiB"] += memory_mib
    return [rows[key] for key in sorted(rows)]


def queues(functions: list[QueueOfFunction]) -> list[dict[str, Any]]:
    """A row for each function that has asynchronous invocations which are not over, or since the start had some that
    went nowhere."""
    return [
        {
            "Account": one.function.account,
            "Region": one.function.region,
            "FunctionName": one.function.name,
            "Queued": one.queued,
            "OldestAgeSeconds": one.oldest_age_ms / 1000,
            "InFlight": one.at_work,
            "ToTell": one.to_tell,
            "Dropped": one.dropped,
            "Undelivered": one.undelivered,
        }
        for one in sorted(functions, key=lambda one: one.function)
    ]

"""What idle environments cost: memory, each, and processor time, all together.

Environments are forked from a process that has the interpreter started and the runtime client imported, unless the
function has a variable that such a process would come too late for; then each starts its own interpreter. The latter
are the reference.
"""

import time

from benchmarks import processes, subjects
from benchmarks.table import Row

ENVIRONMENTS = 50
WAIT_S = 3.0
WATCHED_S = 60.0
SETTLED_WITHIN_S = 30
RATIO_AT_MOST = 0.4
AFRESH = {"PYTHONHASHSEED": "0"}

REFERENCE = "an environment that starts its own interpreter"


def run(share: float) -> list[Row]:
    count = max(2, round(ENVIRONMENTS * share))
    watched_s = WATCHED_S * share
    # None is booted ahead, so that all there is belongs to an environment.
    with subjects.data_directory() as data, subjects.lambent(data, *subjects.NONE_BOOTED) as server:
        members = _idle(server, count)
        forked_mb = _proportional_mb(members)
        before_s = processes.cpu_s(members), processes.cpu_s([server.process])
        time.sleep(watched_s)
        used_s, server_s = processes.cpu_s(members) - before_s[0], processes.cpu_s([server.process]) - before_s[1]
    rows = [
        Row(f"idle: CPU of {count} environments in {watched_s:.0f} s", "s", used_s, promised_at_most=0, anywhere=True),
        Row("idle: CPU of the server", "%", server_s / watched_s * 100),
    ]
    if forked_mb is None:
        return rows
    with subjects.data_directory() as data, subjects.lambent(data, *subjects.NONE_BOOTED) as server:
        afresh_mb = _proportional_mb(_idle(server, count, **AFRESH))
    assert afresh_mb is not None, "it could be read a moment ago"
    name = f"memory: an idle environment of {count} (PSS)"
    return [
        Row(name, "MB", forked_mb / count, afresh_mb / count, REFERENCE, forked_mb / afresh_mb, RATIO_AT_MOST),
        *rows,
    ]


def _idle(server: subjects.Server, count: int, **variables: str) -> list[int]:
    """The processes of so many environments, which have had an event each, beside one that came first."""
    subjects.create(server.client(), "waiting", subjects.package(), "waiting", memory_mib=128, **variables)
    subjects.invoke(server, "waiting", b"0")
    first = set(processes.descendants(server.process))
    environments, lost, _ = subjects.invoke_at_once(server, "waiting", count + 1, WAIT_S)
    if lost or len(environments) != count + 1:
        raise subjects.NotReady(f"{count + 1} calls at once ran in {len(environments)} environments, {lost} were lost")
    return _settled(server.process, first)


def _settled(server: int, before: set[int]) -> list[int]:
    """The environments' processes, once they use no processor any more."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    seen: list[int] = []
    used_s = -1.0
    while time.monotonic() < deadline:
        members = [process for process in processes.descendants(server) if process not in before]
        now_s = processes.cpu_s(members)
        if (members, now_s) == (seen, used_s):
            return members
        seen, used_s = members, now_s
        time.sleep(0.5)
    raise subjects.NotReady(f"the environments still work {SETTLED_WITHIN_S} s after their last call")


def _proportional_mb(members: list[int]) -> float | None:
    """None where an ordinary user may not look into the sandboxes."""
    try:
        return sum(map(processes.proportional_mb, members))
    except PermissionError:
        return None

"""What idle environments cost: memory, each, and processor time, all together."""

import time

from benchmarks import load, processes, subjects
from benchmarks.table import Row

ENVIRONMENTS = 30
WATCHED_S = 3.0
SETTLED_WITHIN_S = 30


def run() -> list[Row]:
    with subjects.data_directory() as data, subjects.lambent(data) as server:
        subjects.create(server.client(), "echo", subjects.package())
        before = set(processes.descendants(server.process))
        # As many calls at once as environments: none of them can wait for another's.
        request = subjects.invoke_request("echo")
        load.run(server.address, request, callers=ENVIRONMENTS, calls=ENVIRONMENTS, warm_up=0)
        members = _settled(server.process, before)
        environments = sum(_is_runtime(process) for process in members)
        rows = [_cpu("idle: CPU of all environments", members), _cpu("idle: CPU of the server", [server.process])]
        try:
            used_mb = sum(map(processes.proportional_mb, members))
        except PermissionError:
            return rows  # an ordinary user may not look into the sandboxes
    return [Row(f"memory: an idle environment of {environments} (PSS)", "MB", used_mb / environments), *rows]


def _settled(server: int, before: set[int]) -> list[int]:
    """The environments' processes, once those that came too late for a call have started as well."""
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


def _is_runtime(process: int) -> bool:
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return file.read().startswith(b"/var/lang/")


def _cpu(name: str, members: list[int]) -> Row:
    before_s = processes.cpu_s(members)
    time.sleep(WATCHED_S)
    return Row(name, "%", (processes.cpu_s(members) - before_s) / WATCHED_S * 100)

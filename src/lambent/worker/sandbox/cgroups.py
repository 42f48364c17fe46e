"""Control groups: limits and freezing of a sandbox, in whichever versions the machine has mounted.

For each of memory, cpu, pids and freezing one hierarchy is chosen: version 2 where its controller is there, else
version 1. Freezing needs no controller, so a version 2 hierarchy without any is used for it (9 µs, against 76 µs by the
version 1 freezer). Groups are named `lambent-<mark of the data directory>/<sandbox>` and are put below our own group
where possible, so that a limit on the server holds for its sandboxes too. Nothing outside of a group of that name is
ever touched.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHARGED_AHEAD = 2 << 20
"""What a group may be short of its limit when it can have no more: memory is charged in batches on each processor."""
_MIB = 1 << 20
_LIMITED = frozenset({"memory", "cpu", "pids"})
_WANTED = _LIMITED | {"freezer"}
_MIB_PER_CPU = 1_769
"""Source: developer guide, "Configuring Lambda function memory"."""
_CPU_PERIOD_US = 100_000
_CPU_QUOTA_US_MIN = 1_000
"""The kernel's own."""
_REMOVE_WITHIN_S = 5.0
_NURSERY = "zygotes"
_FIRST, _TEMPLATE = "first", "template"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy as it concerns us. `base` is the directory in which our groups may be made."""

    version: int
    base: str
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The hierarchies to use; `None` where the machine has none that we may write to."""

    memory: Hierarchy | None
    cpu: Hierarchy | None
    pids: Hierarchy | None
    freezer: Hierarchy | None

    def all(self) -> tuple[Hierarchy, ...]:
        chosen = (self.freezer, self.memory, self.cpu, self.pids)
        return tuple(dict.fromkeys(hierarchy for hierarchy in chosen if hierarchy is not None))


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a sandbox. `cpu_capped` says that it has no more processor time than its part, whoever else wants any."""

    memory_mib: int
    processes: int
    cpu_capped: bool


def _unescape(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _own_groups() -> dict[str, str]:
    """Our own group per version 1 controller, and under the empty name that of version 2."""
    own = {}
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                own[controller] = path
    return own


def find() -> list[Hierarchy]:
    """Every mounted hierarchy, version 2 first. `base` is our own group's directory in it."""
    own = _own_groups()
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, point = (_unescape(part) for part in before.split()[3:5])
            if kind == "cgroup2":
                base = _below(point, root, own.get("", "/"))
                found.append(Hierarchy(2, base, frozenset(_read(f"{base}/cgroup.controllers").split())))
            else:
                names = [name for name in options.split(",") if name in own]
                if names:
                    found.append(Hierarchy(1, _below(point, root, own[names[0]]), frozenset(names)))
    return sorted(found, key=lambda hierarchy: -hierarchy.version)


def _below(point: str, root: str, own: str) -> str:
    """Where the own group is under a mount that may itself show only a part (`root`) of the hierarchy."""
    relative = own[len(root) :] if root != "/" and own.startswith(root) else own
    path = os.path.normpath(f"{point}/{relative}")
    return path if os.path.isdir(path) else point


def choose(name: str) -> Choice:
    """Choose the hierarchies and make our group `name` in each; one that does not let us is left out."""
    chosen: dict[str, Hierarchy] = {}
    for hierarchy in find():
        offered = hierarchy.controllers | ({"freezer"} if hierarchy.version == 2 else set())
        if not (offered & _WANTED) - chosen.keys() or not _prepare(hierarchy, name):
            continue
        has = offered
        if hierarchy.version == 2:
            has = frozenset(_read(f"{hierarchy.base}/{name}/cgroup.subtree_control").split()) | {"freezer"}
        for controller in (has & _WANTED) - chosen.keys():
            chosen[controller] = hierarchy
    return Choice(chosen.get("memory"), chosen.get("cpu"), chosen.get("pids"), chosen.get("freezer"))


def _prepare(hierarchy: Hierarchy, name: str) -> bool:
    group = f"{hierarchy.base}/{name}"
    try:
        os.makedirs(group, exist_ok=True)
        if hierarchy.version == 2:
            wanted = hierarchy.controllers & _LIMITED
            if wanted:
                _delegate(hierarchy.base, wanted)
                _write(f"{group}/cgroup.subtree_control", " ".join(f"+{controller}" for controller in sorted(wanted)))
    except OSError:
        # Whatever the reason (a read-only mount, another's group), the answer is the same: not for us.
        return os.access(f"{group}/cgroup.procs", os.W_OK) and hierarchy.version == 2
    return os.access(f"{group}/cgroup.procs", os.W_OK)


def _delegate(base: str, controllers: frozenset[str]) -> None:
    """Hand controllers down from our own version 2 group. A group with processes can not, unless it is the root: then
    we (the launcher, and the server that is its parent) step aside into a group of our own."""
    command = " ".join(f"+{controller}" for controller in sorted(controllers))
    try:
        _write(f"{base}/cgroup.subtree_control", command)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        os.makedirs(f"{base}/lambent-server", exist_ok=True)
        for process in (os.getppid(), os.getpid()):
            _write(f"{base}/lambent-server/cgroup.procs", str(process))
        _write(f"{base}/cgroup.subtree_control", command)


@dataclass(slots=True)
class Group:
    """A sandbox's groups. `freeze_file` and `peak_file` are for the server to keep open."""

    directories: list[str]
    freeze_file: str
    freeze_version: int
    peak_file: str
    _joins: list[str] = field(default_factory=list)
    """Files by which a process that has one thread puts itself, and with it all that it will start, into the version 1
    groups: it writes 0. Of the files that can do it, the one for which the kernel need not stop all forking (0.03 ms
    and not 11)."""
    out_of_memory: int = -1
    """An event descriptor that can be read when the version 1 memory group is out of memory. There the kernel kills one
    process; in version 2 all of the group. -1 for none."""
    _memory: str = ""
    _memory_version: int = 0
    _memory_kills: int = 0
    _pids: str = ""
    _cpu: str = ""
    _cpu_version: int = 0
    _cpu_capped: bool = False
    _place: str = ""
    """The directory of the version 2 group."""

    @property
    def birthplace(self) -> str:
        """Where a process is to be born, a path; empty without version 2."""
        return self._place

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[list[int], int]]:
        """What a process that is about to be born needs, and nobody later: the files by which it joins the version 1
        groups, and the directory of the version 2 group, -1 for none, to be born in, which costs as little. Raises
        OSError."""
        with contextlib.ExitStack() as stack:

            def opened(path: str, flags: int) -> int:
                descriptor = os.open(path, flags | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                return descriptor

            joins = [opened(path, os.O_WRONLY) for path in self._joins]
            yield joins, opened(self._place, os.O_RDONLY | os.O_DIRECTORY) if self._place else -1

    def shelter(self, first: int, program: int, owner: int) -> None:
        """Let others be born by the program, below this version 2 group, and not stop with it or count as it does.

        Whoever is in a cgroup namespace may have children only below the group at its root, where `delegation` is
        asked for, and a group with limits for those below it can have no process itself. `owner` is the user of the
        program. Raises OSError.
        """
        if not self._place:
            return
        for name, process in ((_FIRST, first), (_TEMPLATE, program)):
            directory = f"{self._place}/{name}"
            os.mkdir(directory)
            self.directories.insert(0, directory)
            _write(f"{directory}/cgroup.procs", str(process))
        controllers = _read(f"{self._place}/cgroup.controllers").split()
        limits = [f"{name}.max" for name in ("memory", "pids") if name in controllers]
        shared = [name for name in controllers if name in _LIMITED]
        if shared:
            _write(f"{self._place}/cgroup.subtree_control", " ".join(f"+{name}" for name in shared))
        for limit in limits:
            _write(f"{self._place}/{_TEMPLATE}/{limit}", _read(f"{self._place}/{limit}").strip())
            _write(f"{self._place}/{limit}", "max")
        if os.path.exists(f"{self._place}/{_TEMPLATE}/memory.oom.group"):
            # Where the machine is out of memory, what was restored does not end with the template.
            _write(f"{self._place}/memory.oom.group", "0")
            _end_together(f"{self._place}/{_TEMPLATE}")
        os.chown(f"{self._place}/cgroup.procs", owner, -1)
        if self.freeze_version == 2:
            self.freeze_file = f"{self._place}/{_TEMPLATE}/cgroup.freeze"

    def ran_out_of_memory(self) -> bool:
        """Whether one of its processes was killed for memory since this was asked, or is about to be as the group is
        full. The kernel tells of `out_of_memory` in a version 1 group also when one that is around it has no more."""
        with open(f"{self._memory}/memory.oom_control") as control:
            kills = dict(line.split() for line in control).get("oom_kill", "0")
        before, self._memory_kills = self._memory_kills, int(kills)
        with (
            open(f"{self._memory}/memory.usage_in_bytes") as usage,
            open(f"{self._memory}/memory.limit_in_bytes") as size,
        ):
            is_full = int(usage.read()) + _CHARGED_AHEAD >= int(size.read())
        return is_full or self._memory_kills > before

    def limit_memory(self, memory_mib: int) -> None:
        """And processor time, in proportion to it. Raises OSError."""
        if self._memory:
            self.peak_file = _limit_memory(self._memory, self._memory_version, memory_mib)
        if self._cpu:
            _limit_cpu(self._cpu, self._cpu_version, memory_mib, capped=self._cpu_capped)

    def thaw(self) -> None:
        if self.freeze_file:
            _write(self.freeze_file, "0" if self.freeze_version == 2 else "THAWED")

    def remove(self) -> None:
        """Remove the groups, of which every process must be gone or dying."""
        if self.out_of_memory >= 0:
            os.close(self.out_of_memory)
            self.out_of_memory = -1
        for directory in self.directories:
            _remove_directory(directory)


def make(choice: Choice, name: str, sandbox_id: str, limits: Limits, owner: int, origin: str | None = None) -> Group:
    """Make a sandbox's groups with their limits. `owner` is the user id of the processes whose children are born in
    them; `origin` is the birthplace of the template that it is restored from, if it is. Raises OSError."""
    group = Group([], "", 0, "", _cpu_capped=limits.cpu_capped)
    try:
        _fill(group, choice, name, sandbox_id, origin or "")
        _limit(group, choice, limits, restored=origin is not None)
        if group._place:
            os.chown(f"{group._place}/cgroup.procs", owner, -1)
    except OSError:
        group.remove()
        raise
    return group


def _fill(group: Group, choice: Choice, name: str, sandbox_id: str, origin: str) -> None:
    for hierarchy in choice.all():
        above = origin if origin and hierarchy.version == 2 else f"{hierarchy.base}/{name}"
        directory = f"{above}/{sandbox_id}"
        os.mkdir(directory)
        group.directories.append(directory)
        if hierarchy.version == 1:
            group._joins.append(f"{directory}/tasks")
        else:
            group._place = directory
        if hierarchy is choice.memory:
            group._memory, group._memory_version = directory, hierarchy.version
            if hierarchy.version == 1:
                group.out_of_memory = _hear_of_no_memory(directory)
            else:
                _end_together(directory)
        if hierarchy is choice.cpu:
            group._cpu, group._cpu_version = directory, hierarchy.version
        if hierarchy is choice.pids:
            group._pids = directory
        if hierarchy is choice.freezer:
            group.freeze_version = hierarchy.version
            group.freeze_file = f"{directory}/{'cgroup.freeze' if hierarchy.version == 2 else 'freezer.state'}"


def _limit(group: Group, choice: Choice, limits: Limits, *, restored: bool) -> None:
    group.limit_memory(limits.memory_mib)
    if choice.pids is not None:
        # The first process of a sandbox is in the group that it is born in, and is not the function's. That of one that
        # was restored is put into those of version 1, too.
        count = limits.processes + 1 if choice.pids.version == 2 or restored else limits.processes
        _write(f"{group._pids}/pids.max", str(count))


def _hear_of_no_memory(directory: str) -> int:
    """Source: the kernel's documentation of cgroup version 1, memory.rst, 10 (OOM control). Raises OSError."""
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _write(f"{directory}/cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
    except OSError:
        os.close(event)
        raise
    return event


def _end_together(directory: str) -> None:
    """Have the kernel kill all of a version 2 group when it is out of memory, and not one process."""
    if os.path.exists(f"{directory}/memory.oom.group"):
        _write(f"{directory}/memory.oom.group", "1")


def _limit_memory(directory: str, version: int, memory_mib: int) -> str:
    size = str(memory_mib * _MIB)
    if version == 2:
        _write(f"{directory}/memory.max", size)
        if os.path.exists(f"{directory}/memory.swap.max"):
            _write(f"{directory}/memory.swap.max", "0")
        peak = f"{directory}/memory.peak"
        return peak if os.path.exists(peak) else ""
    _write(f"{directory}/memory.limit_in_bytes", size)
    if os.path.exists(f"{directory}/memory.memsw.limit_in_bytes"):
        _write(f"{directory}/memory.memsw.limit_in_bytes", size)
    return f"{directory}/memory.max_usage_in_bytes"


def _limit_cpu(directory: str, version: int, memory_mib: int, *, capped: bool) -> None:
    quota_us = max(_CPU_QUOTA_US_MIN, memory_mib * _CPU_PERIOD_US // _MIB_PER_CPU)
    if version == 2:
        _write(f"{directory}/cpu.weight", str(max(1, 100 * memory_mib // _MIB_PER_CPU)))
        if capped:
            _write(f"{directory}/cpu.max", f"{quota_us} {_CPU_PERIOD_US}")
        return
    _write(f"{directory}/cpu.shares", str(max(2, 1024 * memory_mib // _MIB_PER_CPU)))
    if capped:
        _write(f"{directory}/cpu.cfs_quota_us", str(quota_us))


def share(choice: Choice, name: str, memory_mib: int, processors: int) -> str:
    """Give all that is in our group so much memory, if it is not 0, and processor time as if one process wanted it on
    each of the processors. Returns the group by which its memory is counted; empty where there is none. Raises
    OSError."""
    if choice.cpu is not None:
        file, most, one = ("cpu.weight", 10_000, 100) if choice.cpu.version == 2 else ("cpu.shares", 262_144, 1024)
        _write(f"{choice.cpu.base}/{name}/{file}", str(min(most, one * processors)))
    if choice.memory is None:
        return ""
    group = f"{choice.memory.base}/{name}"
    if memory_mib:
        file = "memory.max" if choice.memory.version == 2 else "memory.limit_in_bytes"
        _write(f"{group}/{file}", str(memory_mib * _MIB))
    return group


def clean(choice: Choice, name: str) -> int:
    """End and remove the sandboxes that a dead server left below our group. Returns how many there were."""
    left: dict[str, list[str]] = {}
    for hierarchy in choice.all():
        above = f"{hierarchy.base}/{name}"
        for directory, _, _ in os.walk(above, topdown=False):
            if directory != above:
                left.setdefault(os.path.relpath(directory, above).partition("/")[0], []).append(directory)
    for directories in left.values():
        kill_members(directories)
        for directory in directories:
            for file, word in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
                if os.path.exists(f"{directory}/{file}"):
                    _write(f"{directory}/{file}", word)
        for directory in directories:
            _remove_directory(directory)
    return len(left)


def make_nursery(choice: Choice, name: str, owner: int) -> str:
    """The version 2 group of those who bear children into other groups below ours; empty without version 2. `owner` is
    their user id: they may write to what is above the groups as well, which the kernel asks for. Raises OSError."""
    for hierarchy in choice.all():
        if hierarchy.version == 2:
            nursery = f"{hierarchy.base}/{name}/{_NURSERY}"
            os.makedirs(nursery, exist_ok=True)
            os.chown(f"{hierarchy.base}/{name}/cgroup.procs", owner, -1)
            return nursery
    return ""


def remove(choice: Choice, name: str) -> None:
    for hierarchy in choice.all():
        _remove_directory(f"{hierarchy.base}/{name}/{_NURSERY}")
        _remove_directory(f"{hierarchy.base}/{name}")


def kill_members(directories: list[str]) -> None:
    for directory in directories:
        for process in _read(f"{directory}/cgroup.procs").split():
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _remove_directory(directory: str) -> None:
    """A group can be removed some moments after its last process was killed, and when the groups are gone that others
    on the machine have made in it."""
    deadline = time.monotonic() + _REMOVE_WITHIN_S
    while True:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir():
                        _remove_directory(entry.path)
            kill_members([directory])
            time.sleep(0.001)
        else:
            return


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

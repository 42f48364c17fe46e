"""The launcher's way of running programs in namespaces: what is made for a sandbox, and what for each program.

A sandbox's processes are born by a zygote and wait to be told what to run. Nothing of the customer is near before
their rights are gone, and nothing of it runs before the limits and listeners are in place: the listeners are made from
here in their network namespace, and the function's code and /tmp are mounted from here into their mount namespace.
"""

import contextlib
import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from lambent.worker.sandbox import cgroups, kernel, seccomp, view
from lambent.worker.sandbox.freezing import descendants
from lambent.worker.sandbox.loop import Loop
from lambent.worker.sandbox.loop_device import ImageError
from lambent.worker.sandbox.network import Networks
from lambent.worker.sandbox.resolvers import resolver_configuration
from lambent.worker.sandbox.run import Cell, Run, check_words, new_run
from lambent.worker.sandbox.scratch import Scratches
from lambent.worker.sandbox.snapshots import Snapshot, Untrustworthy, examine
from lambent.worker.sandbox.stage import GROUP_ID, HOSTNAME, USER_ID, Stage
from lambent.worker.sandbox.zygotes import Zygotes

RUNTIME_API_PORT, ENDPOINT_PORT = 9001, 4566
_BACKLOG = 64
_DATA_MARGIN_MIB = 1024
"""Added to the memory size for RLIMIT_DATA, where there is no memory cgroup. It counts address space that is never
used, too: Node.js 24 has 560 MiB of it when it has started, and dies with less than 640."""
_SHOWN = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV

_NO_CORE_DUMP = 1
"""Not 0: with that the kernel still has the program of a core_pattern that is a pipe started, as root on the machine,
with the memory of what crashed. 1 is too small for a file, and says that there is to be no such program: fs/coredump.c.
The system-call filter keeps it at that."""


class Confinement:
    """Owns the stage, the zygotes, the cgroups, the images and the user ids of all sandboxes of this launcher."""

    end_signal = signal.SIGKILL
    """What our child is sent when its sandbox is to end."""

    def __init__(self, configuration: dict[str, Any], loop: Loop) -> None:
        self._loop = loop
        self._group_name: str = configuration["group"]
        self._uid_base: int = configuration["uid_base"]
        self._uid_count: int = configuration["uid_count"]
        self._directory: str = configuration["directory"]
        self._as_root = os.geteuid() == 0
        self._zygotes_user = self._uid_base if self._as_root else os.geteuid()
        # Two servers with the same range start at different places of it. The first id is that of the zygotes.
        self._next_uid = 1 + int(self._group_name.rpartition("-")[2], 16) % (self._uid_count - 1)
        self._uids: set[int] = set()
        self._networks = Networks(
            mark=self._group_name,
            directory=self._directory,
            nft=configuration["nft"],
            pasta=configuration["pasta"],
        )
        self._stage = Stage()
        self._scratches = Scratches(
            self._stage, self._directory, configuration["usual_ephemeral_mib"], as_root=self._as_root
        )
        self._share = configuration["share"]
        self._choice = cgroups.Choice(None, None, None, None)
        self._own_network = -1
        self._own_mounts = -1
        self._zygotes: Zygotes | None = None
        self._refuse_clone3 = b""
        self._knows_namespaces_of_proc = False

    def open(self) -> dict[str, Any]:
        """Prepare everything. Returns the protections that can not be had. Raises OSError."""
        missing = []
        machine = os.uname().machine
        filters = dict.fromkeys(("filter", "refuse_clone3", "ask_about_clone3"), b"")
        if machine in seccomp.ARCHITECTURES:
            filters["filter"] = seccomp.program(machine)
            filters["refuse_clone3"] = self._refuse_clone3 = seccomp.refuse_clone3(machine)
            filters["ask_about_clone3"] = seccomp.ask_about_clone3(machine)
        else:
            missing.append(f"No system-call filter: none is written for {machine} machines.")
        self._choice = cgroups.choose(self._group_name)
        removed = cgroups.clean(self._choice, self._group_name)
        memory_group = cgroups.share(
            self._choice, self._group_name, self._share["memory_mib"], self._share["processors"]
        )
        self._networks.open()
        self._stage.enter(self._as_root)
        os.mkdir(self._stage.path("nothing"), 0o755)
        self._own_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._own_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        common = {
            **{name: program.decode("latin-1") for name, program in filters.items()},
            "hostname": HOSTNAME,
            "user": USER_ID,
            "group": GROUP_ID,
        }
        ids = {"uid": (os.geteuid(), 1), "gid": (os.getegid(), 1)}
        if self._as_root:
            ids = dict.fromkeys(ids, (self._uid_base, self._uid_count))
        nursery = cgroups.make_nursery(self._choice, self._group_name, self._zygotes_user)
        self._zygotes = Zygotes(self._loop, common, self._build_root, ids, nursery)
        self._knows_namespaces_of_proc = _is_known(partial(kernel.make_proc, os.getpid()))
        missing += self._missing_limits()
        missing += self._scratches.open()
        return {"missing": missing, "removed": removed, "found": self._found(), "memory_group": memory_group}

    def _build_root(self, template: dict[str, Any]) -> str:
        place = self._stage.path("root")
        sources = view.Sources(etc=self._stage.path("etc"), dev=self._stage.path("dev"))
        view.build(place, sources, template["root"], template["mounts"], template["links"])
        return place

    def _found(self) -> dict[str, str]:
        hierarchies = {
            "memory": self._choice.memory,
            "cpu": self._choice.cpu,
            "pids": self._choice.pids,
            "freezer": self._choice.freezer,
        }
        found = {
            name: f"cgroup version {hierarchy.version} at {hierarchy.base}" if hierarchy else ""
            for name, hierarchy in hierarchies.items()
        }
        return found | {"tmp": "disk images on loop devices" if self._scratches.on_disk else ""}

    def _missing_limits(self) -> list[str]:
        missing = []
        reason = "no cgroup hierarchy with this controller may be written to"
        if self._choice.memory is None:
            missing.append(
                f"Memory is bounded per process and by address space only (RLIMIT_DATA), not per environment: {reason}."
            )
        if self._choice.cpu is None:
            missing.append(f"Processor time is shared among processes, not in proportion to MemorySize: {reason}.")
        if self._choice.pids is None:
            missing.append(f"Processes are bounded by RLIMIT_NPROC in the environment's user namespace: {reason}.")
        if self._choice.freezer is None:
            missing.append(
                "Idle environments are stopped by SIGSTOP, which their own processes can notice: "
                "no cgroup hierarchy with a freezer may be written to."
            )
        return missing

    def create(self, request: dict[str, Any], origin: Cell | None) -> Cell:
        """Make what lives as long as the sandbox. Raises OSError, and leaves nothing then."""
        cell = Cell(request["id"], request, origin=origin)
        try:
            self._make(cell)
        except (OSError, ImageError):
            self.destroy(cell)
            raise
        return cell

    def _make(self, cell: Cell) -> None:
        request, origin = cell.request, cell.origin
        if origin is not None:
            if origin.snapshot is None or not origin.snapshot.is_usable or origin.kept is None:
                raise OSError("the program that it is to be restored from has ended, or has not initialised yet")
            # Who is forked has the user of who forks.
            cell.uid = origin.uid
        else:
            cell.uid = self._take_uid() if self._as_root else os.geteuid()
        if origin is None:
            cell.scratch, cell.image = self._scratches.make(cell.name, request["ephemeral_mib"])
        if self._choice.all():
            limits = cgroups.Limits(request["memory_mib"], request["processes"], self._share["cpu_capped"])
            owner, birthplace = self._zygotes_user, None
            if origin is not None and origin.group is not None:
                owner, birthplace = origin.uid, origin.group.birthplace
            cell.group = cgroups.make(self._choice, self._group_name, cell.name, limits, owner, birthplace)
            if cell.group.out_of_memory >= 0:
                self._loop.watch(cell.group.out_of_memory, partial(self._end_without_memory, cell, cell.group))

    def _end_without_memory(self, cell: Cell, group: cgroups.Group) -> None:
        """All of the environment: a function whose child alone was killed might wait for it."""
        os.eventfd_read(group.out_of_memory)
        if cell.run is not None and group.ran_out_of_memory():
            self._give_up(cell, cell.run, "")

    def _give_up(self, cell: Cell, run: Run, fault: str) -> None:
        """End it by force; for a fault of ours, if one is given."""
        run.killed, run.failure = True, fault
        self.kill(cell, run)

    def furnish(self, cell: Cell, done: Callable[[str], None]) -> None:
        if cell.origin is None:
            done("")
        else:
            self._scratches.give_copy(cell, cell.origin, self._aside, done)

    def _take_uid(self) -> int:
        for _ in range(self._uid_count):
            uid: int = self._uid_base + self._next_uid
            self._next_uid = self._next_uid % (self._uid_count - 1) + 1
            if uid not in self._uids:
                self._uids.add(uid)
                return uid
        raise OSError("every user id of the range in the settings (sandbox_uid_base, sandbox_uid_count) is in use")

    def claim(self, cell: Cell, request: dict[str, Any]) -> None:
        """What was booted for any function is one's from here on. Raises OSError."""
        booted, cell.request = cell.request, {**cell.request, **request}
        if request["ephemeral_mib"] != booted["ephemeral_mib"]:
            old = cell.scratch, cell.image
            cell.scratch, cell.image = self._scratches.make(request["id"], request["ephemeral_mib"])
            self._scratches.remove(old)
        if request["memory_mib"] != booted["memory_mib"] and cell.group is not None:
            cell.group.limit_memory(request["memory_mib"])
        run = cell.run
        if run is None or not run.prepared:
            return  # it has ended, and another one comes with the start
        if cell.origin is None:
            with contextlib.suppress(OSError):  # it may end in this moment; the start tries again, and is told
                self._mount(cell, run)
        else:
            with contextlib.closing(cell.freezer()) as freezer:
                freezer.thaw(run.process)

    def describe(self, cell: Cell) -> dict[str, Any]:
        group = cell.group
        own = {"uid": cell.uid, "restored": cell.origin is not None}
        if group is None:
            return {**own, "freeze_file": "", "freeze_version": 0, "peak_file": ""}
        return {
            **own,
            "freeze_file": group.freeze_file,
            "freeze_version": group.freeze_version,
            "peak_file": group.peak_file,
        }

    def spawn(self, cell: Cell, request: dict[str, Any], born: Callable[[Run], None]) -> Run:
        run, given = new_run()

        def told(process: int, reason: str) -> None:
            run.process, run.failure = process, reason
            born(run)

        try:
            if cell.origin is None:
                self._ask_zygote(cell, given, told)
            else:
                self._order_fork(cell, run, given, partial(self._hand_proc, run, partial(born, run)))
        except OSError:
            run.close()
            raise
        finally:
            for descriptor in given:
                os.close(descriptor)
        return run

    def _ask_zygote(self, cell: Cell, given: list[int], told: Callable[[int, str], None]) -> None:
        assert self._zygotes is not None, "a sandbox before the launcher was opened"
        limits = self._limits(cell)
        del limits[resource.RLIMIT_NPROC]  # which is with the word
        wanted: dict[str, Any] = {
            "in_group": False,
            "ahead": cell.is_for_anyone,
            "owner": cell.uid - self._zygotes_user,
            "limits": limits,
        }
        with contextlib.ExitStack() as stack:
            if cell.group is not None:
                joins, birth = stack.enter_context(cell.group.opened())
                given = [*given, *joins, *([birth] if birth >= 0 else [])]
                wanted["in_group"] = birth >= 0
            self._zygotes.ask(cell.request["template"], wanted, given, told)

    def _order_fork(self, cell: Cell, run: Run, given: list[int], born: Callable[[int], None]) -> None:
        """The template gets its child's group as a mount that shows nothing else: from a descriptor of the machine's
        own the way up would be open."""
        assert cell.origin is not None
        snapshot = _snapshot_of(cell.origin)
        order = {
            "in_group": False,
            "limits": self._limits(cell),
            "filter": self._refuse_clone3.decode("latin-1"),
        }
        with contextlib.ExitStack() as stack:
            if cell.group is not None:
                joins, _ = stack.enter_context(cell.group.opened())
                given = [*given, *joins]
            if cell.group is not None and cell.group.birthplace:
                group = kernel.clone_mount(cell.group.birthplace)
                stack.callback(os.close, group)
                kernel.set_mount_attributes(group, _SHOWN)
                order["in_group"] = True
                given = [*given, group]
            snapshot.fork(run, order, given, born)

    def _hand_proc(self, run: Run, born: Callable[[], None], process: int) -> None:
        """A template has borne a child: have a /proc made for it, while it goes on."""

        def finish(make: Callable[[], int]) -> None:
            try:
                run.proc = make()
            except OSError as error:
                run.failure = str(error)
                run.killed = True
            run.process = process
            born()

        if not process:
            born()
        elif self._knows_namespaces_of_proc:
            finish(partial(kernel.make_proc, process))
        else:
            child, read, write = kernel.begin_proc(process)
            self._loop.mourn(child, lambda _: finish(partial(kernel.end_proc, read, write)))

    def _limits(self, cell: Cell) -> dict[int, int]:
        """Resource limits of a program; the first process counts among the user's processes."""
        return {
            # A machine may let nobody have so many.
            resource.RLIMIT_NOFILE: min(
                cell.request["file_descriptors"], resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            ),
            resource.RLIMIT_CORE: _NO_CORE_DUMP,
            resource.RLIMIT_NPROC: cell.request["processes"] + 1,
        }

    def first_process(self, run: Run) -> int:
        """Whose namespaces the sandbox's are."""
        return run.process

    def prepare(self, cell: Cell, run: Run) -> None:
        if cell.origin is not None:
            self._accept(cell, cell.origin, run)
        namespace = os.open(f"/proc/{self.first_process(run)}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if cell.request["network"] is not None:
                self._networks.attach(namespace, cell.request["network"])
            listeners = self._listen(namespace, restored=cell.origin is not None)
            run.listeners = [listener.detach() for listener in listeners]
        finally:
            os.close(namespace)
        if cell.is_for_anyone:
            if cell.origin is not None:
                with contextlib.closing(cell.freezer()) as freezer:
                    freezer.freeze(run.process)  # it is the customer's code, which nobody wants yet
            self._prepare_next(cell.origin)

    def _accept(self, cell: Cell, origin: Cell, run: Run) -> None:
        """Look at what a template has borne, and give it what is its own. Raises OSError."""
        snapshot = _snapshot_of(origin)
        groups = cell.group.directories if cell.group is not None else ()
        try:
            examine(run.process, snapshot.namespaces, cell.uid, run.proc, groups)
        except Untrustworthy:
            snapshot.end()
            raise
        scratch = kernel.clone_mount(cell.scratch)
        try:
            self._attach([(run.proc, "/proc"), (scratch, "/tmp")], run.process)
        finally:
            os.close(scratch)
            os.close(run.proc)
            run.proc = -1

    def _listen(self, namespace: int, *, restored: bool) -> list[socket.socket]:
        try:
            kernel.enter_namespace(namespace, kernel.CLONE_NEWNET)
            if restored:
                kernel.raise_loopback()  # its first process has no right to
            listeners = []
            for port in (RUNTIME_API_PORT, ENDPOINT_PORT):
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                listener.bind(("127.0.0.1", port))
                listener.listen(_BACKLOG)
                listeners.append(listener)
            return listeners
        finally:
            kernel.enter_namespace(self._own_network, kernel.CLONE_NEWNET)

    def tell(self, cell: Cell, run: Run, request: dict[str, Any], on_snapshot: Callable[[int], None]) -> None:
        """Mount what is the function's own, and give the word. Raises OSError, and ValueError for a word that can not
        be handed to a program."""
        assert run.control is not None
        control = run.control
        check_words(request["command"], request["variables"])
        if self._choice.memory is None:
            size = (cell.request["memory_mib"] + _DATA_MARGIN_MIB) << 20
            for process in (run.process, *descendants(run.process)):
                resource.prlimit(process, resource.RLIMIT_DATA, (size, size))
        if cell.origin is None and not run.mounted:
            self._mount(cell, run)
        if request["snapshot"]:
            cell.variables = request["variables"]
            self._make_template(cell, run, on_snapshot)
        word = {name: request[name] for name in ("command", "variables", "directory", "snapshot")}
        if cell.origin is not None:
            word["variables"] = _changes(cell.origin.variables, request["variables"])
        # The processes that are restored from a template count against its own limit, too; its group has the same one.
        is_grouped = request["snapshot"] and self._choice.pids is not None
        limit = resource.RLIMIT_NPROC
        word["limits"] = {} if is_grouped else {limit: self._limits(cell)[limit]}
        control.send(json.dumps(word).encode())
        if run.control is not None:
            run.control.close()
            run.control = None
        self._prepare_next(cell.origin)
        if not request["snapshot"] and cell.image >= 0:
            # The loop device has it, and only a template's is read again.
            os.close(cell.image)
            cell.image = -1

    def _prepare_next(self, template: Cell | None) -> None:
        if template is None:
            self._loop.put_off(self._scratches.prepare)
        else:
            self._loop.put_off(partial(self._scratches.prepare_copy, template, self._aside))

    def _make_template(self, cell: Cell, run: Run, on_snapshot: Callable[[int], None]) -> None:
        program = descendants(run.process)[0]
        if cell.group is not None:
            cell.group.shelter(run.process, program, cell.uid)
        cell.snapshot = Snapshot(self._loop, cell, run, partial(self._keep, cell, run, on_snapshot))

    def _keep(self, cell: Cell, run: Run, on_snapshot: Callable[[int], None]) -> None:
        """The template waits to be restored: keep what its /tmp is, and what it takes."""
        assert cell.snapshot is not None

        def copied(status: int) -> None:
            if status:
                self._give_up(cell, run, "its /tmp could not be copied")
            elif cell.run is run:
                self._scratches.prepare_copy(cell, self._aside)
                on_snapshot(memory_bytes)

        try:
            cell.snapshot.freeze()
            memory_bytes = _memory_bytes(run, ("Pss",))
            self._aside(self._scratches.keep(cell), copied)
        except (OSError, ImageError) as error:  # it may have ended meanwhile
            self._give_up(cell, run, str(error))

    def _aside(self, work: Callable[[], None], done: Callable[[int], None]) -> None:
        self._loop.mourn(_in_a_child(work), done)

    def _shown(self, cell: Cell) -> dict[str, str]:
        """What is the function's own and can not be written to: the source for each target."""
        nothing = self._stage.path("nothing")
        shown = {"/opt": nothing, "/var/task": nothing}
        if cell.request["network"] is not None:
            resolvers = resolver_configuration(cell.request["network"])
            shown["/etc/resolv.conf"] = self._stage.file("resolv.conf", resolvers)
        return shown | {target: source for source, target in cell.request["mounts"]}

    def _mount(self, cell: Cell, run: Run) -> None:
        cloned: list[tuple[int, str]] = []
        try:
            for target, source in self._shown(cell).items():
                cloned.append((kernel.clone_mount(source, recursive=True), target))
                kernel.set_mount_attributes(cloned[-1][0], _SHOWN)
            cloned.append((kernel.clone_mount(cell.scratch), "/tmp"))
            self._attach(cloned, run.process)
        finally:
            for descriptor, _ in cloned:
                os.close(descriptor)
        run.mounted = True

    def _attach(self, cloned: list[tuple[int, str]], process: int) -> None:
        theirs = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.enter_namespace(theirs, kernel.CLONE_NEWNS)
        finally:
            os.close(theirs)
        try:
            for descriptor, target in cloned:
                kernel.attach_mount(descriptor, target)
        finally:
            kernel.enter_namespace(self._own_mounts, kernel.CLONE_NEWNS)

    def own_memory_bytes(self, run: Run) -> int:
        return _memory_bytes(run, ("Private_Clean", "Private_Dirty"))

    def kill(self, cell: Cell, run: Run) -> None:
        # With its first process the whole pid namespace dies. Not by `cgroup.kill`: whoever is born into a version 2
        # group that was once killed so is killed as well.
        if cell.snapshot is not None and cell.snapshot.has_restored:
            cell.snapshot.end()
        elif run.handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(run.handle, signal.SIGKILL)
        elif run.process and run.ended is None:
            os.kill(run.process, self.end_signal)
        elif not run.process and cell.origin is not None and cell.origin.snapshot is not None:
            cell.origin.snapshot.give_up(run)
        if cell.group is not None and cell.group.freeze_version == 1:
            cell.group.thaw()  # there the frozen do not hear it

    def exited(self, cell: Cell, run: Run) -> None:
        """The program has: what is left of it ends as well."""
        self.kill(cell, run)

    def bury(self, cell: Cell, run: Run) -> None:
        """All processes of the run are gone."""
        if cell.snapshot is not None:
            cell.snapshot.close()
            cell.snapshot = None
        if cell.origin is not None and cell.origin.snapshot is not None:
            cell.origin.snapshot.let_go(run.process)

    def destroy(self, cell: Cell) -> None:
        if cell.group is not None:
            self._loop.forget(cell.group.out_of_memory)  # which is told of its own end, too
            cell.group.remove()
        self._scratches.remove_all_of(cell)
        if cell.origin is None:
            self._uids.discard(cell.uid)

    def close(self) -> None:
        if self._zygotes is not None:
            self._zygotes.close()
        cgroups.remove(self._choice, self._group_name)
        self._networks.close()


def _snapshot_of(template: Cell) -> Snapshot:
    """Raises OSError."""
    if template.snapshot is None:
        raise OSError("the template that it is to be restored from has ended")
    return template.snapshot


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str | None]:
    """What makes the new variables of the old ones; None takes one away."""
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    return {**dict.fromkeys(old.keys() - new.keys()), **changed}


def _memory_bytes(run: Run, fields: Collection[str]) -> int:
    """The sum of these fields of what all processes of the sandbox take. Of memory that is shared, Pss has a part. One
    that has ended, or is just becoming another program, takes none: the kernel says that there is no such process."""
    total = 0
    for process in (run.process, *descendants(run.process)):
        with (
            contextlib.suppress(ProcessLookupError, FileNotFoundError),
            open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file,
        ):
            next(file)
            told = dict(line.split(":", 1) for line in file)
            total += sum(int(told[field].split()[0]) << 10 for field in fields)
    return total


def _in_a_child(work: Callable[[], None]) -> int:
    """Do what takes longer than others may wait: the process that does it."""
    process = os.fork()
    if process == 0:
        try:
            kernel.die_with_parent(signal.SIGKILL)  # whose end the server would not notice before ours
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return process


def _is_known(make: Callable[[], int]) -> bool:
    try:
        os.close(make())
    except OSError:
        return False
    return True

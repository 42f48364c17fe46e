"""The launcher's way of running programs under bubblewrap: what is made for a sandbox, and what for each program.

Nothing of the customer runs before its limits and listeners are in place: bubblewrap stops short of executing the
program (`--block-fd`) until the launcher has made the listening sockets inside its network namespace.
"""

import os
import resource
import signal
import socket
from collections.abc import Sequence
from typing import Any

from lambent.worker.sandbox import cgroups, kernel, seccomp, view
from lambent.worker.sandbox.loop_device import ImageError, Images
from lambent.worker.sandbox.run import Cell, Run, pipe_end, start_child
from lambent.worker.sandbox.stage import Stage

RUNTIME_API_PORT, ENDPOINT_PORT = 9001, 4566
_BACKLOG = 64
_IP_FREEBIND = 15
_SYSTEM_DIRECTORIES = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
_DATA_MARGIN_MIB = 1024
"""Added to the memory size for RLIMIT_DATA, where there is no memory cgroup. It counts address space that is never
used, too: Node.js 24 has 560 MiB of it when it has started, and dies with less than 640."""

_NO_CORE_DUMP = 1
"""Not 0: with that the kernel still has the program of a core_pattern that is a pipe started, as root on the machine,
with the memory of what crashed. 1 is too small for a file, and says that there is to be no such program: fs/coredump.c.
The system-call filter keeps it at that."""


class Confinement:
    """Owns the stage, the cgroups, the images and the user ids of all sandboxes of this launcher."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._group_name: str = configuration["group"]
        self._bwrap_files: Sequence[tuple[str, str]] = configuration["bwrap_files"]
        self._uid_base: int = configuration["uid_base"]
        self._uid_count: int = configuration["uid_count"]
        self._directory: str = configuration["directory"]
        self._as_root = os.geteuid() == 0
        # Two servers with the same range start at different places of it.
        self._next_uid = int(self._group_name.rpartition("-")[2], 16) % self._uid_count
        self._uids: set[int] = set()
        self._stage = Stage()
        self._images: Images | None = None
        self._choice = cgroups.Choice(None, None, None)
        self._own_network = -1
        self._filter = b""
        self._system = tuple(
            (path, os.readlink(path) if os.path.islink(path) else "")
            for path in _SYSTEM_DIRECTORIES
            if os.path.lexists(path)
        )

    def open(self) -> dict[str, Any]:
        """Prepare everything. Returns the protections that can not be had. Raises OSError."""
        missing = []
        machine = os.uname().machine
        if machine in seccomp.ARCHITECTURES:
            self._filter = seccomp.program(machine)
        else:
            missing.append(f"No system-call filter: none is written for {machine} machines.")
        self._choice = cgroups.choose(self._group_name)
        removed = cgroups.clean(self._choice, self._group_name)
        self._stage.enter(self._as_root)
        self._own_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._stage.copy_program(self._bwrap_files)
        missing += self._missing_limits()
        missing += self._prepare_images()
        return {"missing": missing, "removed": removed, "found": self._found()}

    def _found(self) -> dict[str, str]:
        hierarchies = {
            "memory": self._choice.memory,
            "pids": self._choice.pids,
            "freezer": self._choice.freezer,
        }
        found = {
            name: f"cgroup version {hierarchy.version} at {hierarchy.base}" if hierarchy else ""
            for name, hierarchy in hierarchies.items()
        }
        return found | {"tmp": "disk images on loop devices" if self._images else ""}

    def _missing_limits(self) -> list[str]:
        missing = []
        reason = "no cgroup hierarchy with this controller may be written to"
        if self._choice.memory is None:
            missing.append(
                f"Memory is bounded per process and by address space only (RLIMIT_DATA), not per environment: {reason}."
            )
        if self._choice.pids is None:
            missing.append(f"Processes are bounded by RLIMIT_NPROC in the environment's user namespace: {reason}.")
        if self._choice.freezer is None:
            missing.append(
                "Idle environments are stopped by SIGSTOP, which their own processes can notice: "
                "no cgroup hierarchy with a freezer may be written to."
            )
        return missing

    def _prepare_images(self) -> list[str]:
        if not self._as_root:
            return ["/tmp is memory (a tmpfs of the configured size), not disk: only root may attach disk images."]
        images = Images(self._directory)
        trial = self._stage.path("trial")
        os.mkdir(trial)
        try:
            images.check()
            images.mount(trial, 16)
        except (ImageError, OSError) as error:
            os.rmdir(trial)
            return [f"/tmp is memory (a tmpfs of the configured size), not disk: {error}."]
        self._stage.remove(trial)
        self._images = images
        return []

    def create(self, request: dict[str, Any]) -> tuple[Cell, dict[str, Any]]:
        """Make what lives as long as the sandbox. Raises OSError, and leaves nothing then."""
        cell = Cell(request["id"], request)
        try:
            self._make(cell, request)
        except (OSError, ImageError):
            self.destroy(cell)
            raise
        group = cell.group
        reply = {"freeze_file": "", "freeze_version": 0, "peak_file": "", "uid": cell.uid}
        if group is not None:
            reply |= {
                "freeze_file": group.freeze_file,
                "freeze_version": group.freeze_version,
                "peak_file": group.peak_file,
            }
        return cell, reply

    def _make(self, cell: Cell, request: dict[str, Any]) -> None:
        cell.uid = self._take_uid() if self._as_root else 0
        for source, target in request["mounts"]:
            if os.path.normpath(source) == target and target.startswith("/usr/"):
                continue  # shown already
            cell.mounts.append((self._stage.show(source), target))
        scratch = f"tmp-{cell.name}"
        if self._images is None:
            cell.scratch = self._stage.make_scratch(scratch, request["ephemeral_mib"])
        else:
            path = self._stage.path(scratch)
            os.mkdir(path)
            try:
                self._images.mount(path, request["ephemeral_mib"])
            except (OSError, ImageError):
                os.rmdir(path)
                raise
            cell.scratch = path
        if self._choice.all():
            limits = request["memory_mib"], request["processes"]
            cell.group = cgroups.make(self._choice, self._group_name, cell.name, *limits)

    def _take_uid(self) -> int:
        for _ in range(self._uid_count):
            uid: int = self._uid_base + self._next_uid
            self._next_uid = (self._next_uid + 1) % self._uid_count
            if uid not in self._uids:
                self._uids.add(uid)
                return uid
        raise OSError("every user id of the range in the settings (sandbox_uid_base, sandbox_uid_count) is in use")

    def spawn(self, cell: Cell, request: dict[str, Any]) -> Run:
        paths = view.Paths(
            dev=self._stage.path("dev"),
            etc=self._stage.path("etc"),
            scratch=cell.scratch,
            mounts=tuple(cell.mounts),
            system=self._system,
        )
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        block_read, block_write = os.pipe2(os.O_CLOEXEC)
        output_read, output_write = os.pipe2(os.O_CLOEXEC)
        passed = {"--json-status-fd": status_write, "--block-fd": block_read}
        if self._filter:
            passed["--seccomp"] = _file_of(self._filter)
        words = view.arguments(paths, cell.links, request["variables"], request["directory"], passed)
        try:
            arguments = _file_of(_joined(words))
        except (OSError, ValueError):
            for descriptor in (status_read, status_write, block_read, block_write, output_read, output_write):
                os.close(descriptor)
            raise
        bwrap = self._stage.path(self._bwrap_files[0][1])
        command = [bwrap, "--args", str(arguments), "--", *request["command"]]
        inherited = [arguments, *passed.values()]

        def prepare() -> None:
            self._limit(cell)
            if self._as_root:
                os.setgroups([])
                os.setresgid(cell.uid, cell.uid, cell.uid)
                os.setresuid(cell.uid, cell.uid, cell.uid)

        monitor = start_child(command, {}, inherited, output_write, prepare)
        for descriptor in (*inherited, output_write):
            os.close(descriptor)
        return Run(monitor, pipe_end(status_read), output_read, block_write)

    def _limit(self, cell: Cell) -> None:
        """In the child, still with our rights. NPROC would count all of an ordinary user's own processes: that one is
        set on the inner process, in whose user namespace the count starts anew."""
        files = cell.request["file_descriptors"]
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        resource.setrlimit(resource.RLIMIT_CORE, (_NO_CORE_DUMP, _NO_CORE_DUMP))
        if self._as_root:
            count = cell.request["processes"] + 2
            resource.setrlimit(resource.RLIMIT_NPROC, (count, count))

    def ready(self, cell: Cell, run: Run) -> list[int]:
        """Bubblewrap has told the program's process: limit it, make its listeners, let it go on. Bubblewrap's own
        process outside of the sandbox is no part of the group: it only waits, and would be frozen and woken along."""
        if cell.group is not None:
            cell.group.add(run.inner)
        if not self._as_root:
            count = cell.request["processes"] + 1
            resource.prlimit(run.inner, resource.RLIMIT_NPROC, (count, count))
        if self._choice.memory is None:
            size = (cell.request["memory_mib"] + _DATA_MARGIN_MIB) << 20
            resource.prlimit(run.inner, resource.RLIMIT_DATA, (size, size))
        listeners = self._listen(run.inner)
        os.write(run.block, b"1")
        run.close_block()
        return [listener.detach() for listener in listeners]

    def _listen(self, inner: int) -> list[socket.socket]:
        network = os.open(f"/proc/{inner}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        kernel.enter_namespace(network, kernel.CLONE_NEWNET)
        os.close(network)
        try:
            listeners = []
            for port in (RUNTIME_API_PORT, ENDPOINT_PORT):
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                # Bubblewrap may not have brought the loopback device up yet.
                listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
                listener.bind(("127.0.0.1", port))
                listener.listen(_BACKLOG)
                listeners.append(listener)
            return listeners
        finally:
            kernel.enter_namespace(self._own_network, kernel.CLONE_NEWNET)

    def kill(self, cell: Cell, run: Run) -> None:
        # With its first process the whole pid namespace dies.
        run.kill_inner()
        if cell.group is not None:
            cell.group.kill()
        if not run.inner and run.ended is None:
            os.kill(run.monitor, signal.SIGKILL)

    def destroy(self, cell: Cell) -> None:
        if cell.group is not None:
            cell.group.remove()
        for shown, _ in cell.mounts:
            self._stage.hide(shown)
        if cell.scratch:
            self._stage.remove(cell.scratch)
        self._uids.discard(cell.uid)

    def close(self) -> None:
        cgroups.remove(self._choice, self._group_name)


def _joined(words: Sequence[str]) -> bytes:
    """The words as bubblewrap reads them from a file: a NUL ends each, so one inside a word would let a function's
    variable become arguments of bubblewrap, and with them a view of the machine. Raises OSError."""
    encoded = [os.fsencode(word) for word in words]
    if any(b"\0" in word for word in encoded):
        raise OSError("a variable of the program has a NUL character in it")
    return b"".join(word + b"\0" for word in encoded)


def _file_of(content: bytes) -> int:
    descriptor = os.memfd_create("arguments", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

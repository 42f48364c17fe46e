"""What the two drivers share: a driver that owns a launcher, and a sandbox that lives in it."""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from lambent.core.network import NEVER, NOT_PUBLIC, Network, NetworkMode
from lambent.worker.sandbox.driver import (
    Addresses,
    Booted,
    Exit,
    Program,
    Running,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Share,
    Template,
)
from lambent.worker.sandbox.freezing import FileFreezer, Freezer, descendants
from lambent.worker.sandbox.link import Link

_GONE_WITHIN_S = 30.0


def mark_of(data_dir: Path) -> str:
    """The name of all that a data directory's sandboxes have on the machine."""
    return "lambent-" + hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:12]


class LaunchedSandbox:
    """A sandbox in a launcher; see `driver.Sandbox`. At most one program runs in it at a time."""

    def __init__(
        self, link: Link, sandbox_id: str, addresses: Addresses, reply: dict[str, Any], signals: Freezer, depth: int
    ) -> None:
        """`signals` freezes where there is no cgroup for it; `depth` is the place of the program's process among the
        descendants of the one that the launcher tells, 0 where that is the program's."""
        self.addresses = addresses
        self.uid: int = reply["uid"]
        self.sandbox_id = sandbox_id
        self._link = link
        self._depth = depth
        self._process = 0
        self._is_template = False
        self._restored: bool = reply["restored"]
        self.snapshot_bytes = 0
        self._gone: asyncio.Event | None = None
        self._on_exit: Callable[[Exit], None] | None = None
        self._destroyed = False
        self._freezer = FileFreezer(reply["freeze_file"], reply["freeze_version"]) if reply["freeze_file"] else signals
        try:
            self._peak = _open_peak(reply["peak_file"]) if reply["peak_file"] else -1
        except OSError:
            self._freezer.close()
            raise
        self._peak_mib = 0
        """The highest that was seen of this program; 0 before the first one, of which a cgroup is new."""

    def claim(self, spec: SandboxSpec) -> None:
        """It was booted ahead, and is this one's."""
        self._link.unwatch(self.sandbox_id)
        booted, self.sandbox_id = self.sandbox_id, spec.sandbox_id
        self._link.post("claim", booted=booted, **_own_fields(spec))

    @property
    def is_lost(self) -> bool:
        return not self._link.alive

    async def start(
        self, program: Program, on_exit: Callable[[Exit], None], on_snapshot: Callable[[], None] | None = None
    ) -> Running:
        if self._destroyed or self._gone is not None or self.is_lost:
            raise SandboxError("the sandbox is gone, or still runs a program")
        if self._restored and self._peak_mib:
            raise SandboxError("what was restored from a snapshot can not be started a second time")
        if self._peak_mib:
            # The program before may have been frozen in the moment of its end.
            try:
                self._freezer.reset()
            except OSError as error:
                raise SandboxError(f"it can not be thawed: {error}") from error
            self._forget_peak()
        self._peak_mib = 1
        self._gone = asyncio.Event()
        self._on_exit = on_exit
        self._is_template = program.snapshot
        self._link.watch(self.sandbox_id, self._exited)
        if on_snapshot is not None:
            self._link.watch_snapshot(self.sandbox_id, partial(self._came_to_snapshot, on_snapshot))
        fields = {
            "command": program.command,
            "variables": dict(program.variables),
            "directory": program.directory,
            "snapshot": program.snapshot,
        }
        try:
            reply, descriptors = await self._link.ask("start", id=self.sandbox_id, **fields)
        except BaseException as error:
            self._on_exit = None
            if isinstance(error, SandboxError):
                self._link.unwatch(self.sandbox_id)
                if self._gone is not None:
                    self._gone.set()  # who kills it meanwhile waits for that
                self._gone = None
            else:
                # Given up while it starts: it must not come up later, unseen.
                self._link.post("kill", id=self.sandbox_id)
            raise
        self._process = reply["pid"]
        runtime_api, endpoint = (socket.socket(fileno=descriptor) for descriptor in descriptors[:2])
        for listener in (runtime_api, endpoint):
            listener.setblocking(False)
        os.set_blocking(descriptors[2], False)
        return Running(runtime_api, endpoint, descriptors[2])

    def _came_to_snapshot(self, on_snapshot: Callable[[], None], memory_bytes: int) -> None:
        self.snapshot_bytes = memory_bytes
        on_snapshot()

    def _exited(self, how: Exit) -> None:
        on_exit, self._on_exit = self._on_exit, None
        process, self._process = self._process, 0
        if process and not self._link.alive:
            # The launcher died under it. Its children ask the kernel to die with it, but one that had not come to
            # asking when its parent died lives on.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        if self._gone is not None:
            self._gone.set()
        self._gone = None
        if on_exit is not None:
            on_exit(how)

    def freeze(self) -> None:
        if self._process and not self._is_template:  # which the launcher freezes and thaws
            with contextlib.suppress(OSError):  # its group is gone, and its end about to be told
                self._freezer.freeze(self._process)

    def thaw(self) -> None:
        if self._process and not self._is_template:
            with contextlib.suppress(OSError):
                self._freezer.thaw(self._process)

    def memory_peak_mib(self) -> int:
        """By the memory cgroup, else that of the program's own process."""
        if self._peak >= 0:
            with contextlib.suppress(OSError):  # the group is gone: what was seen last is what there is to tell
                self._peak_mib = max(1, int(os.pread(self._peak, 32, 0)) + (1 << 20) - 1 >> 20)
        elif self._process:
            self._peak_mib = max(self._peak_mib, self._resident_mib())
        return self._peak_mib

    def _forget_peak(self) -> None:
        """The program before has ended, and its memory is not that of the next one. Before Linux 6.12 a version 2
        cgroup keeps its peak for ever: from here on the program's own process is measured, without its children."""
        if self._peak < 0:
            return
        try:
            os.pwrite(self._peak, b"0", 0)
        except OSError:
            os.close(self._peak)
            self._peak = -1

    def _resident_mib(self) -> int:
        process = self._process
        if self._depth:
            process = next(iter(descendants(process)[self._depth - 1 :]), process)
        try:
            with open(f"/proc/{process}/status", "rb") as file:
                line = next((line for line in file if line.startswith(b"VmHWM")), b"VmHWM: 0 kB")
        except (FileNotFoundError, ProcessLookupError):
            return 1
        return max(1, int(line.split()[1]) + 1023 >> 10)

    async def kill(self) -> None:
        gone = self._gone
        if gone is None:
            return
        self._link.post("kill", id=self.sandbox_id)
        try:
            async with asyncio.timeout(_GONE_WITHIN_S):
                await gone.wait()
        except TimeoutError:
            raise SandboxError(f"its processes are not gone {_GONE_WITHIN_S:.0f} s after they were killed") from None

    async def destroy(self) -> None:
        if self._destroyed:
            return
        self._destroyed = True
        try:
            await self.kill()
            self._link.unwatch(self.sandbox_id)  # of one that was booted and never claimed, the end is no loss now
            if self._link.alive:
                await self._link.ask("destroy", id=self.sandbox_id)
        except SandboxError:
            # The launcher has ended: so has all that it had, and the next one removes the cgroups.
            if self._link.alive:
                raise
        finally:
            self._freezer.close()
            if self._peak >= 0:
                os.close(self._peak)
                self._peak = -1


def _network(network: Network) -> dict[str, Any] | None:
    """A network as the launcher is told of it: `never` is refused, then `allow` ([network, protocol, port], the latter
    two may be empty) is let through, then all but `all_but`, where that is not empty. None is loopback."""
    if network.mode is NetworkMode.LOOPBACK:
        return None
    return {
        "never": NEVER,
        "allow": [(one.block, one.protocol, one.port) for one in network.allow],
        "all_but": NOT_PUBLIC if network.mode is NetworkMode.INTERNET else (),
        "nameservers": network.nameservers,
    }


def _open_peak(path: str) -> int:
    """For writing too where that may be: it forgets the peak, in version 2 for this descriptor alone."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class LaunchedDriver(ABC):
    """A driver whose sandboxes live in a launcher; see `driver.Driver`. A launcher that dies is replaced."""

    name = ""
    forks = False
    restores = False

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.share = Share()
        """To be set before the driver is opened."""
        self.memory_group: Path | None = None
        self._link: Link | None = None
        self._closed = False
        self._opening: asyncio.Task[list[str]] | None = None
        self._made = 0
        self.found: dict[str, str] = {}
        """What the launcher uses for memory, pids, freezer, tmp: in words, empty where it has none."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """The launcher's `open` request. Raises SandboxError."""

    @abstractmethod
    def sandbox(self, link: Link, spec: SandboxSpec, reply: dict[str, Any]) -> LaunchedSandbox:
        """The sandbox that the launcher has made, from its reply."""

    @property
    def directory(self) -> Path:
        return self._data_dir / "sandbox"

    @property
    def launcher_pid(self) -> int:
        return self._link.pid if self._link is not None else 0

    async def open(self) -> Sequence[str]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return await self._start_launcher()

    async def _start_launcher(self) -> list[str]:
        old, self._link = self._link, None
        if old is not None:
            await old.close()
        try:
            link = Link()
        except OSError as error:
            raise SandboxError(f"the sandbox launcher could not be started: {error}") from error
        try:
            reply, _ = await link.ask("open", share=msgspec.to_builtins(self.share), **self.configuration())
        except BaseException:
            await link.close()
            raise
        self._link = link
        self.found = reply.get("found", {})
        self.memory_group = Path(reply["memory_group"]) if reply.get("memory_group") else None
        missing: list[str] = reply["missing"]
        return missing

    async def _living_link(self) -> Link:
        if self._closed:
            raise SandboxError("the driver is closed")  # a launcher that is started now, nobody would end
        if self._link is None or not self._link.alive:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._start_launcher())
            opening = self._opening
            try:
                await asyncio.shield(opening)
            finally:
                if opening.done() and self._opening is opening:
                    self._opening = None  # a failure would keep all that waited for it in memory, by its traceback
        assert self._link is not None
        return self._link

    async def boot(self, spec: SandboxSpec, on_lost: Callable[[str], None], snapshot: Sandbox | None = None) -> Booted:
        link = await self._living_link()
        self._made += 1
        name = f"booted-{self._made}"
        link.watch(name, lambda _: on_lost(name))
        try:
            sandbox, reply = await self._ask_for("boot", link, replace(spec, sandbox_id=name), snapshot)
        except BaseException:
            link.unwatch(name)
            raise
        return Booted(sandbox, reply["memory_bytes"])

    def claim(self, booted: Booted, spec: SandboxSpec) -> Sandbox:
        assert isinstance(booted.sandbox, LaunchedSandbox), "of another driver"
        booted.sandbox.claim(spec)
        return booted.sandbox

    async def create(self, spec: SandboxSpec, snapshot: Sandbox | None = None) -> LaunchedSandbox:
        sandbox, _ = await self._ask_for("create", await self._living_link(), spec, snapshot)
        return sandbox

    async def _ask_for(
        self, what: str, link: Link, spec: SandboxSpec, snapshot: Sandbox | None
    ) -> tuple[LaunchedSandbox, dict[str, Any]]:
        origin = "" if snapshot is None else snapshot.sandbox_id
        try:
            reply, _ = await link.ask(what, origin=origin, **_fields(spec))
            return self.sandbox(link, spec, reply), reply
        except BaseException as error:
            link.post("destroy", id=spec.sandbox_id)  # given up or refused: it may be there
            if isinstance(error, OSError):
                raise SandboxError(f"its control groups can not be opened: {error}") from error
            raise

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:  # nobody is left to have what it would open
            self._opening.cancel()
            await asyncio.wait([self._opening])
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def template_key(template: Template) -> str:
    """Equal for templates that are equal."""
    return msgspec.json.encode(template, order="deterministic", enc_hook=str).decode()


def _fields(spec: SandboxSpec) -> dict[str, Any]:
    """The request for a sandbox, as the launcher reads it."""
    template = spec.template
    return {
        "template": {
            "root": str(template.root or ""),
            "mounts": [(str(mount.source), mount.target) for mount in template.mounts],
            "links": [(link.path, link.target) for link in template.links],
            "command": template.command,
            "variables": dict(template.variables),
        },
        "network": _network(template.network),
        **_own_fields(spec),
    }


def _own_fields(spec: SandboxSpec) -> dict[str, Any]:
    """What is not the template's."""
    return {
        "id": spec.sandbox_id,
        "mounts": [(str(mount.source), mount.target) for mount in spec.mounts],
        "memory_mib": spec.memory_mib,
        "ephemeral_mib": spec.ephemeral_mib,
        "processes": spec.processes,
        "file_descriptors": spec.file_descriptors,
    }

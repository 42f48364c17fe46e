"""The interface of an isolation driver: where a function's processes live.

A driver knows nothing of functions, invocations or the Runtime API: it makes a place with limits, starts one
program in it, and takes everything away again. Drivers: `namespaces` (the default) and `process` (none at all).
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from lambent.core.network import LOOPBACK, Network
from lambent.core.record import Record

PROCESSES = FILE_DESCRIPTORS = 1024
"""What AWS allows an environment."""


class Mount(Record, frozen=True):
    """A read-only view of a host directory or file at a path in the sandbox."""

    source: Path
    target: str


class Link(Record, frozen=True):
    """A symbolic link in the sandbox: `path` points to `target`."""

    path: str
    target: str


class Template(Record, frozen=True):
    """What sandboxes of one kind have in common, and are booted with ahead of need.

    `command` starts the zygote from which programs are forked that need not be executed (see `zygote.py`; its socket is
    one more argument), with `variables`; empty where every program is executed. `root` is a directory tree to be the
    root file system, in the place of the machine's /usr and an /etc of ours. `network` is what the sandbox reaches.
    """

    mounts: tuple[Mount, ...] = ()
    links: tuple[Link, ...] = ()
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = msgspec.field(default_factory=dict)
    root: Path | None = None
    network: Network = LOOPBACK


class SandboxSpec(Record, frozen=True):
    """What one sandbox is made of and may use. `mounts` are its own, beside the template's: at /var/task and /opt.
    Sizes in MiB (1,048,576 bytes)."""

    sandbox_id: str
    template: Template
    mounts: tuple[Mount, ...]
    memory_mib: int
    ephemeral_mib: int
    processes: int = PROCESSES
    file_descriptors: int = FILE_DESCRIPTORS


class Addresses(Record, frozen=True):
    """Where the two listeners are, as the function's code sees them (`host:port`)."""

    runtime_api: str
    endpoint: str


class Program(Record, frozen=True):
    """The program to start: `command` and `directory` are paths inside the sandbox. Without a command the process that
    was forked from the template's zygote, or from a snapshot, goes on by itself."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    directory: str = "/var/task"
    snapshot: bool = False
    """It is to be a template, from which sandboxes are restored when it has initialised: a Python function's client."""


class Exit(Record, frozen=True):
    """How the sandbox's program ended: a `code`, or the `signal` that killed it. `launch_error` is set when it
    could not be started at all; `fault` is why the platform has killed it, where that could not do its part."""

    code: int | None = None
    signal: int | None = None
    launch_error: str | None = None
    fault: str = ""


class Running(Record, frozen=True):
    """A started program: its two listening sockets, and the read end of its standard output and error.

    All three are non-blocking and belong to the receiver, who closes them.
    """

    runtime_api: socket.socket
    endpoint: socket.socket
    output: int


class Share(Record, frozen=True):
    """What all sandboxes of a driver may have of the machine: memory, 0 for all of it; and processor time, as if one
    process wanted it on each of the processors: each sandbox has a part of that in proportion to its memory where there
    is too little, and, `cpu_capped`, never more."""

    memory_mib: int = 0
    cpu_capped: bool = False
    processors: int = 1


class Sandbox(Protocol):
    """One sandbox. It may start a program several times, one after another (the reset of an environment):
    `/tmp` lives as long as the sandbox, processes and namespaces as long as the program."""

    sandbox_id: str
    addresses: Addresses
    snapshot_bytes: int
    """What the program took when it came to its snapshot, shared memory counted in parts; 0 before that."""

    @property
    def is_lost(self) -> bool:
        """Whether what it lives in has ended under it: nothing can be started here any more."""

    async def start(
        self, program: Program, on_exit: Callable[[Exit], None], on_snapshot: Callable[[], None] | None = None
    ) -> Running:
        """Start the program. `on_exit` is called once on the event loop, after the last process of the program's
        tree is gone. Raises SandboxError when the machine does not let it be made.

        `on_snapshot` is called once, when the program was to be a template and has come to the point where it waits
        to be restored. From then on it is frozen but for the moments in which it is forked.

        A sandbox that is restored goes on from that point. It has no command and is started once: SandboxError at the
        second time. Of its variables those that the template was not given alike are changed in the program's, which
        are memory otherwise."""

    def freeze(self) -> None:
        """Stop every process of the sandbox; returns at once. No CPU is used until `thaw`."""

    def thaw(self) -> None: ...

    def memory_peak_mib(self) -> int:
        """The high-water mark of the program's memory, in MiB, at least 1."""

    async def kill(self) -> None:
        """Kill every process of the program, frozen or not, and wait until they are gone."""

    async def destroy(self) -> None:
        """Kill, and take away all that the sandbox has on the machine: /tmp, cgroups, mounts, its uid. What was
        restored from it lives on."""


class Booted(Record, frozen=True):
    """A sandbox that waits to be told whose it is; to be claimed or destroyed. `memory_bytes` is what it takes for
    itself alone."""

    sandbox: Sandbox
    memory_bytes: int


class Driver(Protocol):
    name: str
    forks: bool
    """Whether it can run a program without a command, forked from a template's zygote."""
    restores: bool
    """Whether a program can be a template from which sandboxes are restored."""
    memory_group: Path | None
    """The control group by which the memory of all sandboxes is counted; None where there is none."""

    async def open(self) -> Sequence[str]:
        """Start the driver, and remove what a dead server with this data directory left behind. Returns the
        protections that can not be had on this machine, one sentence each, with the reason."""

    async def boot(self, spec: SandboxSpec, on_lost: Callable[[str], None], snapshot: Sandbox | None = None) -> Booted:
        """Boot a sandbox ahead of need; with `snapshot` one that is restored, to which the spec's mounts and size of
        /tmp belong. The spec's id says nothing. `on_lost` is called with the sandbox's own if it ends before its time.
        Raises SandboxError. Not to be called where `forks` is false."""

    def claim(self, booted: Booted, spec: SandboxSpec) -> Sandbox:
        """Have what was booted be the sandbox that is wanted now, of the same template or snapshot. Nobody waits for
        what is done for that: if it fails, the start does."""

    async def create(self, spec: SandboxSpec, snapshot: Sandbox | None = None) -> Sandbox:
        """Make a sandbox, or one to be restored from a program that waits for it in the sandbox `snapshot`, with that
        one's mounts and size of /tmp. Raises SandboxError."""

    async def close(self) -> None:
        """Destroy every sandbox and end the driver's helper processes."""


class SandboxError(Exception):
    """The machine could not give a sandbox: a fault of the platform, not of the function."""

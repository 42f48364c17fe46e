"""The interface of an isolation driver: where a function's processes live.

A driver knows nothing of functions, invocations or the Runtime API: it makes a place with limits, starts one
program in it, and takes everything away again. Drivers: `bubblewrap` (the default) and `process` (none at all).
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lambent.core.network import LOOPBACK, Network
from lambent.core.record import Record


class Mount(Record, frozen=True):
    """A read-only view of a host directory or file at a path in the sandbox."""

    source: Path
    target: str


class Link(Record, frozen=True):
    """A symbolic link in the sandbox: `path` points to `target`."""

    path: str
    target: str


class SandboxSpec(Record, frozen=True):
    """What one sandbox is made of and may use. Sizes in MiB (1,048,576 bytes)."""

    sandbox_id: str
    mounts: tuple[Mount, ...]
    links: tuple[Link, ...]
    memory_mib: int
    ephemeral_mib: int
    processes: int = 1024
    file_descriptors: int = 1024
    network: Network = LOOPBACK


class Addresses(Record, frozen=True):
    """Where the two listeners are, as the function's code sees them (`host:port`)."""

    runtime_api: str
    endpoint: str


class Program(Record, frozen=True):
    """The program to start: `command` and `directory` are paths inside the sandbox."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    directory: str = "/var/task"


class Exit(Record, frozen=True):
    """How the sandbox's program ended: a `code`, or the `signal` that killed it. `launch_error` is set when it
    could not be started at all."""

    code: int | None = None
    signal: int | None = None
    launch_error: str | None = None


class Running(Record, frozen=True):
    """A started program: its two listening sockets, and the read end of its standard output and error.

    All three are non-blocking and belong to the receiver, who closes them.
    """

    runtime_api: socket.socket
    endpoint: socket.socket
    output: int


class Sandbox(Protocol):
    """One sandbox. It may start a program several times, one after another (the reset of an environment):
    `/tmp` lives as long as the sandbox, processes and namespaces as long as the program."""

    addresses: Addresses

    async def start(self, program: Program, on_exit: Callable[[Exit], None]) -> Running:
        """Start the program. `on_exit` is called once on the event loop, after the last process of the program's
        tree is gone. Raises SandboxError when the machine does not let it be made."""

    def freeze(self) -> None:
        """Stop every process of the sandbox; returns at once. No CPU is used until `thaw`."""

    def thaw(self) -> None: ...

    def memory_peak_mib(self) -> int:
        """The high-water mark of the program's memory, in MiB, at least 1."""

    async def kill(self) -> None:
        """Kill every process of the program, frozen or not, and wait until they are gone."""

    async def destroy(self) -> None:
        """Kill, and take away all that the sandbox has on the machine: /tmp, cgroups, mounts, its uid."""


class Driver(Protocol):
    name: str

    async def open(self) -> Sequence[str]:
        """Start the driver, and remove what a dead server with this data directory left behind. Returns the
        protections that can not be had on this machine, one sentence each, with the reason."""

    async def create(self, spec: SandboxSpec) -> Sandbox: ...

    async def close(self) -> None:
        """Destroy every sandbox and end the driver's helper processes."""


class SandboxError(Exception):
    """The machine could not give a sandbox: a fault of the platform, not of the function."""

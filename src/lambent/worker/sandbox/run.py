"""A sandbox and a program running in it, as the launcher sees them, and how a process is started."""

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.cgroups import Group

_CANNOT_START = 126
_IGNORED_HERE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
_DEADLY = frozenset(
    int(number)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGKILL,
        signal.SIGUSR1,
        signal.SIGSEGV,
        signal.SIGUSR2,
        signal.SIGPIPE,
        signal.SIGALRM,
        signal.SIGTERM,
        signal.SIGXCPU,
        signal.SIGXFSZ,
        signal.SIGSYS,
    )
)


@dataclass(slots=True)
class Run:
    """One start of a program. `monitor` is our own child; `inner` the program's process or the first one of its pid
    namespace, 0 as long as it is not known. `status` tells how the start goes, `output` is what the program prints."""

    monitor: int
    status: int
    output: int
    block: int = -1
    inner: int = 0
    inner_descriptor: int = -1
    told: bytes = b""
    handed_over: bool = False
    ended: int | None = None
    """The wait status of the monitor."""
    inner_ended: bool = False
    status_closed: bool = False
    killed: bool = False
    own_child: bool = False
    """The program is our child itself, without bubblewrap in between."""
    failure: str = ""

    def find_inner(self) -> int:
        """The program's process, from what `status` has told so far; 0 when it is not known."""
        if self.own_child:
            # The pipe is closed by a successful exec, or after the reason has been written to it.
            return self.monitor if self.status_closed else 0
        told = self.told.partition(b"}")
        return int(json.loads(told[0] + told[1])["child-pid"]) if told[1] else 0

    def outcome(self) -> dict[str, Any]:
        """How the program ended, as the fields of `driver.Exit`."""
        assert self.ended is not None
        code = os.waitstatus_to_exitcode(self.ended)
        if self.killed:
            return {"signal": int(signal.SIGKILL)}
        if code < 0:
            return {"signal": -code}
        if self.own_child:
            return {"launch_error": self.told.decode()} if self.told else {"code": code}
        if b"exit-code" not in self.told:
            return {"launch_error": "bubblewrap could not execute the program; its message is in the output"}
        # Bubblewrap reports a death by signal n as the exit code 128+n, as shells do, and so can not tell it from a
        # program that exits with that code itself. Signals that kill are believed, other codes are passed on.
        if code - 128 in _DEADLY:
            return {"signal": code - 128}
        return {"code": code}

    def explain(self) -> str:
        """Why the start failed: what bubblewrap printed."""
        os.set_blocking(self.output, False)
        try:
            printed = os.read(self.output, 4096).decode(errors="replace").strip()
        except BlockingIOError:
            printed = ""
        return " ".join(filter(None, (self.failure, printed))) or "it ended before it could be started"

    def kill_inner(self) -> None:
        if self.inner_descriptor >= 0:
            try:
                signal.pidfd_send_signal(self.inner_descriptor, signal.SIGKILL)
            except ProcessLookupError:
                return

    def close_block(self) -> None:
        if self.block >= 0:
            os.close(self.block)
            self.block = -1

    def close(self) -> None:
        self.close_block()
        for descriptor in (self.status, self.output, self.inner_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self.status = self.output = self.inner_descriptor = -1


@dataclass(slots=True)
class Cell:
    """One sandbox: what it was asked to be, and what has been made for it so far."""

    name: str
    request: dict[str, Any]
    uid: int = 0
    mounts: list[tuple[str, str]] = field(default_factory=list)
    scratch: str = ""
    group: Group | None = None
    run: Run | None = None
    start_number: int = 0
    """The request that waits for the start; 0 when none does."""
    destroy_number: int = 0

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(path, target) for path, target in self.request["links"]]


def pipe_end(descriptor: int) -> int:
    os.set_blocking(descriptor, False)
    return descriptor


def start_child(
    command: Sequence[str],
    variables: Mapping[str, str],
    inherited: Sequence[int],
    output: int,
    prepare: Callable[[], None],
    complaints: int = 2,
) -> int:
    """Fork and execute. `prepare` runs in the child; what goes wrong there is written to `complaints`, which is the
    output if nothing else is given. Returns the pid."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        prepare()
        # After the change of user, which would reset it.
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_CANNOT_START)
        for number in _IGNORED_HERE:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        os.execve(command[0], list(command), dict(variables))
    except OSError as error:
        os.write(complaints, f"{command[0]} could not be started: {error}\n".encode())
    finally:
        os._exit(_CANNOT_START)

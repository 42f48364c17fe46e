"""A sandbox and a program running in it, as the launcher sees them."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lambent.worker.sandbox.cgroups import Group
from lambent.worker.sandbox.freezing import FileFreezer, Freezer, TreeFreezer

if TYPE_CHECKING:
    from lambent.worker.sandbox.snapshots import Snapshot


Scratch = tuple[str, int]
"""A file system for /tmp: its path, and the descriptor of its image, -1 where it has none."""


TOLD_AT_MOST = 4096
"""Bytes that `status` may tell, which can be in a customer's hands."""


@dataclass(slots=True, eq=False)
class Run:
    """One start of a program. `status` tells how it goes (see `zygote.py`), `output` is what the program prints."""

    status: int
    output: int
    control: socket.socket | None = None
    """By which it is told what to run, where it was started ahead of that."""
    process: int = 0
    """Our own child, with whose end all of it has ended; 0 as long as it is not known."""
    told: bytes = b""
    status_closed: bool = False
    ended: int | None = None
    """The wait status of our child."""
    prepared: bool = False
    mounted: bool = False
    """The function's own files are, in its namespace."""
    listeners: list[int] = field(default_factory=list)
    handed_over: bool = False
    killed: bool = False
    failure: str = ""
    handle: int = -1
    """A descriptor of the process where it is not our own child (of what was restored, a template's first process is
    the parent)."""
    proc: int = -1
    """Of what was restored: its /proc, until it is attached."""
    end_told: bool = False

    def word(self, name: str) -> str | None:
        """What `status` has told after this word, None if it has not told it."""
        for line in self.told.decode(errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            if word == name:
                return rest
        return None

    @property
    def has_exited(self) -> bool:
        """Whether the program has, which may be before our child."""
        return self.word("exit") is not None

    @property
    def is_ready(self) -> bool:
        return self.word("ready") is not None

    @property
    def is_to_be_prepared(self) -> bool:
        """It waits to be told what to run, and nothing has been made for that."""
        return bool(self.process) and self.is_ready and not (self.prepared or self.killed or self.has_exited)

    def outcome(self) -> dict[str, Any]:
        """How the program ended, as the fields of `driver.Exit`."""
        # What is restored executes nothing, and what it tells is a customer's.
        launch_error = self.word("launch") if self.handle < 0 else None
        if launch_error is not None:
            return {"launch_error": launch_error}
        if self.killed:
            return {"signal": int(signal.SIGKILL), "fault": self.failure}
        told = self.word("exit")
        status = self.ended if told is None else _wait_status(told)
        assert status is not None, "the outcome before the end"
        code = os.waitstatus_to_exitcode(status)
        return {"signal": -code} if code < 0 else {"code": code}

    def explain(self) -> str:
        """Why the start failed."""
        return self.failure or self.word("failed") or "it ended before it could be started"

    def close(self) -> None:
        for descriptor in (self.status, self.output, self.handle, self.proc, *self.listeners):
            if descriptor >= 0:
                os.close(descriptor)
        self.status = self.output = self.handle = self.proc = -1
        self.listeners = []
        self.hang_up()

    def hang_up(self) -> None:
        """It is told nothing more: one that still waits for the word ends."""
        if self.control is not None:
            self.control.close()
            self.control = None


@dataclass(slots=True, eq=False)
class Cell:
    """One sandbox: what it was asked to be, and what has been made for it so far."""

    name: str
    request: dict[str, Any]
    uid: int = 0
    scratch: str = ""
    group: Group | None = None
    run: Run | None = None
    boot_number: int = 0
    """The request that waits for the sandbox to be booted; 0 when none does."""
    is_for_anyone: bool = False
    """It was booted ahead, and no environment has it yet."""
    start: dict[str, Any] | None = None
    """The request that waits for a program's start."""
    failure: str = ""
    """Why what is restored ended before its start was asked for."""
    destroy_number: int = 0
    is_destroyed: bool = False
    image: int = -1
    """The disk image of its /tmp."""
    snapshot: "Snapshot | None" = None
    """Of a template."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of a template: those that its program was started with."""
    kept: int | str | None = None
    """Of a template: its /tmp as it was at the snapshot, an image or a directory."""
    spare: "Scratch | None" = None
    """Of a template: a /tmp for the next one that is restored from it."""
    is_copied: bool = False
    """Of a template: another process makes such a /tmp."""
    awaiting: "dict[Cell, Callable[[str], None]]" = field(default_factory=dict)
    """Of a template: those that wait for such a /tmp, in their order, and who is told that they have it, or why not."""
    origin: "Cell | None" = None
    """The template that it is restored from."""
    offspring: "set[Cell]" = field(default_factory=set)
    """Those that are restored from it; it is taken away after them."""

    def freezer(self, besides: Container[int] = ()) -> Freezer:
        """What stops its processes; without a control group, but for those in `besides`. It is to be closed."""
        if self.group is not None and self.group.freeze_file:
            return FileFreezer(self.group.freeze_file, self.group.freeze_version)
        return TreeFreezer(besides)


def _wait_status(told: str) -> int:
    """Of a word that may be a customer's: what can not be one counts as a kill."""
    status = int(told) if told.isascii() and told.isdecimal() and len(told) <= 5 else -1
    is_one = 0 <= status <= 0xFFFF and (os.WIFEXITED(status) or os.WIFSIGNALED(status))
    return status if is_one else int(signal.SIGKILL)


def check_words(command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Raises ValueError for what a program can not be given."""
    if any(b"\0" in os.fsencode(word) for word in (*command, *variables, *variables.values())):
        raise ValueError("a word of the program has a NUL character in it")
    if any(not name or "=" in name for name in variables):
        raise ValueError("a variable of the program has a name that can not be")


def new_run(*, controlled: bool = True) -> tuple[Run, list[int]]:
    """A run, and the ends that its process gets: of `control` if it is to be told what to run, `status` and `output`.
    Raises OSError."""
    with contextlib.ExitStack() as stack:

        def pipe() -> tuple[int, int]:
            ends = os.pipe2(os.O_CLOEXEC)
            for end in ends:
                stack.callback(os.close, end)
            return ends

        status, theirs_of_status = pipe()
        output, theirs_of_output = pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if controlled else (None, None)
        os.set_blocking(status, False)
        stack.pop_all()
    control = [theirs.detach()] if theirs is not None else []
    return Run(status, output, ours), [*control, theirs_of_status, theirs_of_output]

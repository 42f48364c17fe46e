"""The plan of how a function's program is started, as the makers of such plans hand it to the environment's agent."""

from collections.abc import Iterable

import msgspec

from lambent.core.record import Record
from lambent.worker.sandbox.driver import Template


class RuntimeUnavailable(Exception):
    """This machine can not run the runtime. The message says what was looked for and how to mend it; it is for the
    operator and for the function's StateReason."""


class InvalidEntrypoint(Exception):
    """The function's package has no program to start: its owner's fault. The message is AWS's text, without the
    `RequestId: ... Error: ` before it; the error type on the wire is `Runtime.InvalidEntrypoint`."""


class Launch(Record, frozen=True):
    """How a function's program is started: in a sandbox of the `template`, by the `command`. The function's own code at
    /var/task is the agent's to add.

    `variables` is the runtime's part of the environment (`variables.compose` makes the whole of it). `at_start` are the
    beginnings of the names of variables which an interpreter takes when it starts, and only then.
    """

    template: Template
    command: tuple[str, ...]
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    at_start: tuple[str, ...] = ()

    def forks(self, customers: Iterable[str]) -> bool:
        """Whether a function with these variables of its own is forked from the template's zygote, and not started."""
        return bool(self.template.command) and not any(name.startswith(self.at_start) for name in customers)

    @property
    def restores(self) -> bool:
        """Whether its program can be a template of SnapStart, which takes what a zygote takes."""
        return bool(self.template.command)


class FoundRuntime(Record, frozen=True):
    """An interpreter of this machine and the runtime that it serves. `note` says what is not as it should be, if
    anything, and `mend` how it would be."""

    name: str
    version: str
    path: str
    note: str = ""
    mend: str = ""

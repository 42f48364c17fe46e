"""The plan of how a function's program is started, as the makers of such plans hand it to the environment's agent."""

import msgspec

from lambent.core.record import Record
from lambent.worker.sandbox.driver import Link, Mount


class RuntimeUnavailable(Exception):
    """This machine can not run the runtime. The message says what was looked for and how to mend it; it is for the
    operator and for the function's StateReason."""


class InvalidEntrypoint(Exception):
    """The function's package has no program to start: its owner's fault. The message is AWS's text, without the
    `RequestId: ... Error: ` before it; the error type on the wire is `Runtime.InvalidEntrypoint`."""


class Launch(Record, frozen=True):
    """What to mount and start. The function's own code at /var/task is not in it: that is the agent's to add.

    `variables` is the runtime's part of the environment (`variables.compose` makes the whole of it).
    """

    mounts: tuple[Mount, ...]
    links: tuple[Link, ...]
    command: tuple[str, ...]
    variables: dict[str, str] = msgspec.field(default_factory=dict)


class FoundRuntime(Record, frozen=True):
    """An interpreter of this machine and the runtime that it serves. `note` says what is not as on AWS, if anything."""

    name: str
    version: str
    path: str
    note: str = ""

"""What a probe is: a program that tries one thing, and how the same program is run with that protection removed.

A program is the body of a Python module that uses the standard library alone and defines `attempt`, which is called
with the probe's arguments. It has got through when that returns something true; an OSError, or nothing, means that it
was held back. Any other end is a broken probe, and fails the test wherever it happens.
"""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

GOT_THROUGH, HELD_BACK = "got through:", "held back:"

# Numbers of system calls: (x86_64, aarch64). Asm/unistd_64.h and asm-generic/unistd.h.
_CALLS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "setns": (308, 268),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

_BEFORE = f"""
import ctypes, errno, os, sys
TMP = os.environ.get('TMPDIR', '/tmp')
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {_CALLS!r}
def call(name, *arguments):
    number = CALLS[name][os.uname().machine == 'aarch64']
    given = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
"""
_AFTER = f"""
try:
    got = attempt(*sys.argv[1:])
except OSError as error:
    print('{HELD_BACK}', errno.errorcode.get(error.errno, ''), error)
else:
    print('{GOT_THROUGH}' if got else '{HELD_BACK}', repr(got)[:200])
"""


def whole(program: str) -> str:
    """The program as it is run."""
    return _BEFORE + textwrap.dedent(program) + _AFTER


def _nothing_missing() -> str:
    return ""


@dataclass(frozen=True)
class Unisolated:
    """The control is a run by the `process` driver: a plain process of the server's user."""

    right: int | None = None
    """The number of the capability that it takes: only the machine's root is let through."""
    missing: Callable[[], str] = _nothing_missing
    """Why this machine can not show it, or nothing."""

    @property
    def words(self) -> str:
        return "without isolation" + ("" if self.right is None else ", as root")


@dataclass(frozen=True)
class Caged:
    """The control is a run in the cage (`cage.py`): throw-away namespaces with a sandbox's protections, but `without`
    some. In the whole cage the same probe must be held back."""

    without: tuple[str, ...]
    missing: Callable[[], str] = _nothing_missing

    @property
    def words(self) -> str:
        return "in namespaces, without " + " and ".join(self.without)


@dataclass(frozen=True)
class Unprivileged:
    """The control is a plain process of an ordinary user, whoever runs the tests."""

    missing: Callable[[], str] = _nothing_missing

    @property
    def words(self) -> str:
        return "as a plain process of an ordinary user"


Control = Unisolated | Caged | Unprivileged


@dataclass(frozen=True)
class Probe:
    """One thing that is tried. `arguments` may name facts of the arena, in braces."""

    name: str
    tries: str
    program: str
    control: Control
    arguments: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """Of a sandbox of its own, for a probe that uses one up."""
    killed_by: int | None = None
    """The signal by which the kernel may end the probe in the sandbox."""
    unless_told: str = ""
    """How the sentence begins by which a driver tells that this machine can not give the protection."""
    where_told: str = ""
    """How the sentence begins by which a driver tells that it gives this protection in the place of a better one."""

    @property
    def script(self) -> str:
        return whole(self.program)

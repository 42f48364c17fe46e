"""System calls that the standard library of our oldest Python does not have, each a thin function that raises OSError.

It owns no state and decides nothing. Used by the launcher, which is small and single-threaded: several of these act
on the whole process. Constants are those of the kernel's own headers (`linux/mount.h`, `linux/sched.h`, ...).
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME = 1, 2, 4, 1024
MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 32, 4096, 16384, 1 << 19
MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x0002_0000, 0x0200_0000, 0x0400_0000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    _check(_libc.mount(*arguments), f"mount of {source} on {target}")


def unmount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount of {target}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def enter_namespace(descriptor: int, kind: int) -> None:
    _check(_libc.setns(descriptor, kind), f"setns {kind:#x}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent dies. To be called in a fresh child."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that they can be reaped."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl CHILD_SUBREAPER")


CAP_NET_ADMIN = 12

_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2


@contextlib.contextmanager
def lent_capability(number: int) -> Iterator[None]:
    """Programs that are executed meanwhile keep one of our capabilities (below 32), whatever their user id."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, sets), "capget")
    before = list(struct.unpack("=6I", sets.raw))
    lent = [*before[:2], before[2] | 1 << number, *before[3:]]
    _check(_libc.capset(header, struct.pack("=6I", *lent)), "capset")
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0), "prctl CAP_AMBIENT")
    try:
        yield
    finally:
        # An inheritable capability that is taken back is no longer ambient either.
        _check(_libc.capset(header, struct.pack("=6I", *before)), "capset")

"""System calls that the standard library of our oldest Python does not have, each a thin function that raises OSError.

It owns no state and decides nothing. Used by processes that are small and have one thread: several of these act on the
whole process. Constants are those of the kernel's own headers (`linux/mount.h`, `linux/sched.h`, ...).

This module is part of the runtime kits as well, beside `zygote.py`: it runs on every Python that functions run on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 1, 2, 4, 8, 1024
MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 32, 4096, 16384, 1 << 19
MNT_DETACH = 2

CLONE_PARENT, _CLONE_FILES, _CLONE_INTO_CGROUP = 0x0000_8000, 0x0000_0400, 0x2_0000_0000
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x0002_0000, 0x0200_0000, 0x0400_0000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
_SECCOMP_MODE_FILTER, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER = 2, 1, 8
_SECCOMP_NOTIFICATION, _SECCOMP_ANSWER, _SECCOMP_GO_ON = struct.Struct("=QII64x"), struct.Struct("=QqiI"), 1
_SECCOMP_RECEIVE, _SECCOMP_SEND = (
    3 << 30 | layout.size << 16 | ord("!") << 8 | number
    for number, layout in enumerate((_SECCOMP_NOTIFICATION, _SECCOMP_ANSWER))
)
_FSCONFIG_DESCRIPTOR, _FSCONFIG_CREATE, _CLOEXEC_OF_NEW_MOUNTS = 5, 6, 1
_MADV_COLLAPSE = 25
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, ALL_CAPABILITIES = 1 << 1, 1 << 2, 1 << 12, (1 << 64) - 1
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# Calls without a wrapper in every C library, by number. Those since Linux 5.0 have one number everywhere.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR, _CLONE3 = 428, 429, 442, 435
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_X86_64 = os.uname().machine == "x86_64"
_PIVOT_ROOT, _CAPGET, _CAPSET, _SECCOMP = (155, 125, 126, 317) if _X86_64 else (41, 90, 91, 277)

_CLONE3_AND_TELL = """
    b8 b3 01 00 00        ; mov $435, %eax
    0f 05                 ; syscall                 clone3(arguments, size)
    48 85 c0              ; test %rax, %rax
    75 04                 ; jnz over
    50                    ; push %rax
    ff d2                 ; call *%rdx              in the child
    58                    ; pop %rax
    c3                    ; over: ret
"""
"""The machine's bytes, and what they say to it (x86-64)."""
_made: list[tuple[Callable[[bytes, int, Any], int], mmap.mmap]] = []
"""The function of these, once it is made, and the memory that it is in."""

# PyDLL, not CDLL: the interpreter lock is kept, which a fresh clone could not take again.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _word(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


# Mounts -----------------------------------------------------------------------------------------------------------


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    _check(_libc.mount(*arguments), f"mount of {source} on {target}")


def unmount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount of {target}")


def clone_mount(source: str, *, recursive: bool = False) -> int:
    """A mount of its own of what is at `source`, attached nowhere: its descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    number = _libc.syscall(_word(_OPEN_TREE), _word(_AT_FDCWD), ctypes.c_char_p(os.fsencode(source)), _word(flags))
    return _check(number, f"open_tree of {source}")


def set_mount_attributes(descriptor: int, attributes: int) -> None:
    """Add to the flags of a mount and of all below it."""
    wanted = struct.pack("=4Q", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    result = _libc.syscall(
        _word(_MOUNT_SETATTR), _word(descriptor), ctypes.c_char_p(b""), _word(flags), wanted, _word(len(wanted))
    )
    _check(result, "mount_setattr")


def attach_mount(descriptor: int, target: str) -> None:
    """Attach a cloned mount at a path of the present mount namespace."""
    result = _libc.syscall(
        _word(_MOVE_MOUNT),
        _word(descriptor),
        ctypes.c_char_p(b""),
        _word(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        _word(_MOVE_MOUNT_F_EMPTY_PATH),
    )
    _check(result, f"move_mount to {target}")


def make_proc(process: int) -> int:
    """A /proc of the pid namespace that a process is in, attached nowhere: its descriptor. Raises OSError, with EINVAL
    before Linux 6.18."""
    theirs = os.open(f"/proc/{process}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _make_proc(theirs)
    finally:
        os.close(theirs)


def begin_proc(process: int) -> tuple[int, int, int]:
    """Have one made by an older kernel, which makes that of the process that asks: so a grandchild of ours is born
    there to ask. An ordinary user's process that went there itself could not come back.
    Returns the child, and the pipe for `end_proc`, which it shares with us."""
    read, write = os.pipe()
    try:
        child = fork_into(_CLONE_FILES)  # what it opens is ours
    except OSError:
        os.close(read)
        os.close(write)
        raise
    if child == 0:
        _ask_for_proc(process, write)
    return child, read, write


def _ask_for_proc(process: int, write: int) -> NoReturn:
    try:
        theirs = os.open(f"/proc/{process}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_namespace(theirs, CLONE_NEWPID)  # by which only children are born in it
        finally:
            os.close(theirs)
        child = fork_into(_CLONE_FILES)
        if child:
            os.waitpid(child, 0)
        else:
            os.write(write, str(_make_proc()).encode())
    except OSError as error:
        os.write(write, f"-{error.errno}".encode())
    finally:
        os._exit(0)


def end_proc(read: int, write: int) -> int:
    """When the child has ended: a descriptor of the /proc, attached nowhere."""
    os.close(write)
    try:
        number = int(os.read(read, 16) or -errno.ECHILD)
    finally:
        os.close(read)
    if number < 0:
        raise OSError(-number, f"mount of proc: {os.strerror(-number)}")
    return number


def _make_proc(namespace: int = -1) -> int:
    """Of our own pid namespace, or of the one that the descriptor is of."""
    context = _check(_libc.syscall(_word(_FSOPEN), b"proc", _word(_CLOEXEC_OF_NEW_MOUNTS)), "fsopen of proc")
    try:
        if namespace >= 0:
            option = (_word(_FSCONFIG_DESCRIPTOR), b"pidns", None, _word(namespace))
            _check(_libc.syscall(_word(_FSCONFIG), _word(context), *option), "fsconfig of pidns")
        arguments = (_word(_FSCONFIG_CREATE), None, None, _word(0))
        _check(_libc.syscall(_word(_FSCONFIG), _word(context), *arguments), "fsconfig of proc")
        flags = _word(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
        return _check(_libc.syscall(_word(_FSMOUNT), _word(context), _word(_CLOEXEC_OF_NEW_MOUNTS), flags), "fsmount")
    finally:
        os.close(context)


def write_back(path: str) -> None:
    """Have the file system that `path` is on written to its device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.syncfs(descriptor), f"syncfs of {path}")
    finally:
        os.close(descriptor)


def change_root(root: str) -> None:
    """Make a mount the root of the present mount namespace, and let go of all that was mounted before."""
    os.chdir(root)
    here = ctypes.c_char_p(b".")
    _check(_libc.syscall(_word(_PIVOT_ROOT), here, here), f"pivot_root to {root}")
    unmount(".")
    os.chdir("/")


# Namespaces -------------------------------------------------------------------------------------------------------


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def enter_namespace(descriptor: int, kind: int) -> None:
    _check(_libc.setns(descriptor, kind), f"setns {kind:#x}")


def fork_into(flags: int, group: int = -1, *, told: bool = False) -> int:
    """Fork, the child into new namespaces, and into a version 2 control group if its directory's descriptor is given.
    With CLONE_PARENT it is a child of our parent's. Returns as os.fork does; the interpreter is not told, unless the
    child's is to be, before it does anything. Else a thread that has asked for the interpreter's lock, and is not
    there, would be handed it."""
    # `struct clone_args`. With CLONE_PARENT the signal is ours, and must not be given.
    signal_number = 0 if flags & CLONE_PARENT else int(signal.SIGCHLD)
    flags |= _CLONE_INTO_CGROUP if group >= 0 else 0
    arguments = struct.pack("=11Q", flags, 0, 0, 0, signal_number, 0, 0, 0, 0, 0, max(group, 0))
    if told and _X86_64:
        process = _clone3_and_tell()(arguments, len(arguments), ctypes.pythonapi.PyOS_AfterFork_Child)
        number = -process
    else:
        process = _libc.syscall(_word(_CLONE3), arguments, _word(len(arguments)))
        number = ctypes.get_errno()
        if told and process == 0:
            tell_after_fork(process)
    if process < 0:
        raise OSError(number, f"clone3 {flags:#x}: {os.strerror(number)}")
    return int(process)


def _clone3_and_tell() -> Callable[[bytes, int, Any], int]:
    """The call, and in the child another one before it returns to the interpreter. Raises OSError."""
    if not _made:
        flags, rights = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        memory = mmap.mmap(-1, mmap.PAGESIZE, flags, rights)
        memory.write(bytes.fromhex("".join(line.partition(";")[0] for line in _CLONE3_AND_TELL.splitlines())))
        kind = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
        _made.append((kind(ctypes.addressof(ctypes.c_char.from_buffer(memory))), memory))
    return _made[0][0]


def fork() -> int:
    """As os.fork, but the interpreter is not told, and so nobody who wants to know of forks: what they do then takes a
    millisecond, and half a megabyte of memory that is shared no more. Whoever has one thread and no lock may go on
    without; others `tell_before_fork`, and `tell_after_fork` in the parent, and in the child that is to go on."""
    process = _libc.fork()
    if process < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"fork: {os.strerror(number)}")
    return int(process)


def tell_before_fork() -> None:
    ctypes.pythonapi.PyOS_BeforeFork()


def tell_after_fork(process: int) -> None:
    """`process` is what the fork returned."""
    if process:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Child()


def set_host_name(name: str) -> None:
    data = name.encode()
    _check(_libc.sethostname(data, len(data)), "sethostname")


def raise_loopback() -> None:
    """Bring the loopback device of the present network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, _SIOCGIFFLAGS, name))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))


def gather_memory(start: int, size: int) -> None:
    """Move what is in memory into large pages, or leave it where the kernel can not (before Linux 6.1)."""
    _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_COLLAPSE)


# The process itself -----------------------------------------------------------------------------------------------


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent dies. To be called in a fresh child, after the last
    change of its user, which resets it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PDEATHSIG")


def preempt_nobody() -> None:
    """Have this process, and what it will start, not take a processor from whoever runs there when it is woken: its
    turn comes when that one waits or has had its time. Its share of the processors is the same. Source: sched(7),
    SCHED_BATCH. Where the machine does not let it, it goes on as it is."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that they can be reaped."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl CHILD_SUBREAPER")


def set_dumpable(dumpable: bool) -> None:
    """Whether processes of the same user may look into this one."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "prctl DUMPABLE")


@contextlib.contextmanager
def lent_capabilities(wanted: int = ALL_CAPABILITIES) -> Iterator[None]:
    """Programs that are executed meanwhile keep those of our capabilities that are wanted, whatever their user id."""
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)
    _check(_libc.syscall(_word(_CAPGET), header, sets), "capget")
    effective, permitted, inheritable, effective_high, permitted_high, inheritable_high = struct.unpack("=6I", sets.raw)
    lent = (permitted | permitted_high << 32) & wanted
    both = (lent | inheritable | inheritable_high << 32).to_bytes(8, "little")
    low, high = struct.unpack("=2I", both)
    changed = struct.pack("=6I", effective, permitted, low, effective_high, permitted_high, high)
    _check(_libc.syscall(_word(_CAPSET), header, changed), "capset")
    for capability in range(64):
        if lent >> capability & 1:
            _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl CAP_AMBIENT")
    try:
        yield
    finally:
        # An inheritable capability that is taken back is no longer ambient either.
        _check(_libc.syscall(_word(_CAPSET), header, sets.raw), "capset")


def drop_all_capabilities() -> None:
    """From every set, for good, the bounding set included."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != errno.EINVAL:
        _check(-1, "prctl CAPBSET_DROP")
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl CAP_AMBIENT")
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    _check(_libc.syscall(_word(_CAPSET), header, bytes(24)), "capset")


def forbid_new_privileges() -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def filter_system_calls(program: bytes) -> None:
    """Install a seccomp filter, an array of `struct sock_filter`, for this process and all that it will start."""
    _, described = _describe_filter(program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described), 0, 0), "prctl SECCOMP")


def filter_and_listen(program: bytes) -> int:
    """Install a seccomp filter which asks about calls: the descriptor at which it asks (see `receive_call`)."""
    _, described = _describe_filter(program)
    flags = _word(_SECCOMP_FILTER_FLAG_NEW_LISTENER)
    return _check(_libc.syscall(_word(_SECCOMP), _word(_SECCOMP_SET_MODE_FILTER), flags, described), "seccomp")


def _describe_filter(program: bytes) -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]]:
    """The instructions and `struct sock_fprog`, which points to them."""
    code = ctypes.create_string_buffer(program, len(program))
    return code, ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))


def receive_call(listener: int) -> tuple[int, int]:
    """The next call that is asked about: its number for `answer_call`, and the thread that makes it. Blocks."""
    data = bytearray(_SECCOMP_NOTIFICATION.size)
    fcntl.ioctl(listener, _SECCOMP_RECEIVE, data)
    number, thread, _ = _SECCOMP_NOTIFICATION.unpack(data)
    return number, thread


def answer_call(listener: int, number: int, error: int) -> None:
    """Have a call that was asked about fail with `error`, or be done if that is 0."""
    answer = _SECCOMP_ANSWER.pack(number, 0, -error, 0 if error else _SECCOMP_GO_ON)
    fcntl.ioctl(listener, _SECCOMP_SEND, bytearray(answer))


def replace_command_line(word: str) -> None:
    """Overwrite the words of our command line, which every process that sees this one can read, with one of no meaning
    to it. It must not be longer than they are."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    data = word.encode()
    assert len(data) < end - start
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, data, len(data))

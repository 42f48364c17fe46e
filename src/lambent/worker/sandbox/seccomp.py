"""The system-call filter of a sandbox, assembled here into classic BPF. Pure.

A list of what is refused, not of what is allowed: functions are arbitrary Linux programs. Refused is what reaches
beyond the sandbox or far into the kernel without being of use to a function: namespaces and mounts, tracing, key
rings, BPF, io_uring, modules, foreign socket families. The answer is EPERM, or ENOSYS where programs know how to do
without (`clone3`, whose flags a filter can not read, and every call newer than this list).

`clone3` has a filter of its own, the last that is installed. That of a template (`snapshots.py`) asks the launcher.

For OCI runtimes `seccomp_profile.py` puts the same lists into the form that they read.

The instruction set and `struct seccomp_data` are in linux/filter.h and linux/seccomp.h; numbers in asm/unistd_64.h
(x86_64) and asm-generic/unistd.h (aarch64).
"""

import struct
from dataclasses import dataclass

from lambent.worker.sandbox import kernel

_LOAD, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_KILL, _ALLOW, _ERRNO, _ASK = 0x8000_0000, 0x7FFF_0000, 0x0005_0000, 0x7FC0_0000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x4000_0000
_HIGHEST = 467
"""open_tree_attr, of Linux 6.15. Whatever comes after is unknown to this list, and so refused."""

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWCGROUP
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | 0x80  # CLONE_NEWTIME
)

# Numbers that are the same everywhere: calls added since Linux 5.0, and io_uring.
EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "statmount": 457,
    "listmount": 458,
    "open_tree_attr": 467,
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between machines: the kernel's name for it, its numbers, and the ones that need a closer look."""

    audit: int
    refused: dict[str, int]
    clone: int
    socket: int
    socketpair: int
    ioctl: int
    personality: int
    mknod: int | None
    mknodat: int
    seccomp: int
    setrlimit: int
    prlimit64: int


_X86_64 = Architecture(
    audit=0xC000_003E,
    refused={
        "ptrace": 101,
        "syslog": 103,
        "_sysctl": 156,
        "pivot_root": 155,
        "chroot": 161,
        "acct": 163,
        "settimeofday": 164,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
        "sethostname": 170,
        "setdomainname": 171,
        "iopl": 172,
        "ioperm": 173,
        "create_module": 174,
        "init_module": 175,
        "delete_module": 176,
        "quotactl": 179,
        "nfsservctl": 180,
        "lookup_dcookie": 212,
        "vhangup": 153,
        "modify_ldt": 154,
        "uselib": 134,
        "ustat": 136,
        "sysfs": 139,
        "clock_settime": 227,
        "clock_adjtime": 305,
        "adjtimex": 159,
        "mbind": 237,
        "migrate_pages": 256,
        "move_pages": 279,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "fanotify_init": 300,
        "fanotify_mark": 301,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "kexec_file_load": 320,
        "bpf": 321,
        "userfaultfd": 323,
    },
    clone=56,
    socket=41,
    socketpair=53,
    ioctl=16,
    personality=135,
    mknod=133,
    mknodat=259,
    seccomp=317,
    setrlimit=160,
    prlimit64=302,
)
_AARCH64 = Architecture(
    audit=0xC000_00B7,
    refused={
        "lookup_dcookie": 18,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "nfsservctl": 42,
        "chroot": 51,
        "vhangup": 58,
        "quotactl": 60,
        "acct": 89,
        "unshare": 97,
        "kexec_load": 104,
        "init_module": 105,
        "delete_module": 106,
        "clock_settime": 112,
        "syslog": 116,
        "ptrace": 117,
        "reboot": 142,
        "sethostname": 161,
        "setdomainname": 162,
        "settimeofday": 170,
        "adjtimex": 171,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "swapoff": 225,
        "mbind": 235,
        "migrate_pages": 238,
        "move_pages": 239,
        "perf_event_open": 241,
        "fanotify_init": 262,
        "fanotify_mark": 263,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "clock_adjtime": 266,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
        "kexec_file_load": 294,
    },
    clone=220,
    socket=198,
    socketpair=199,
    ioctl=29,
    personality=92,
    mknod=None,
    mknodat=33,
    seccomp=277,
    setrlimit=164,
    prlimit64=261,
)
ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64}

_CLONE3 = 435
_NEW_LISTENER = 8
FAMILIES = (1, 2, 10)  # UNIX, INET, INET6
NETLINK, NETLINK_ROUTE = 16, 0
IOCTLS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put characters into a terminal
PERSONALITIES = (0, 0xFFFF_FFFF)  # the plain one, and the question which it is
RLIMIT_CORE = 4
CHARACTER_DEVICE, BLOCK_DEVICE, FILE_TYPE = 0o020000, 0o060000, 0o170000

_DONE = _ERRNO
"""No call is made, and it is told to have succeeded."""

_Instruction = tuple[int, int, int, int]


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> _Instruction:
    """The lower half of an argument: all that the kernel reads of the ones looked at here."""
    return _load(_ARGUMENTS + 8 * index)


def _return(action: int) -> _Instruction:
    return (_RET, 0, 0, action)


def _for_call(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """`body` for one call, entered with the number loaded; every path through a body returns."""
    return [(_JEQ, 0, len(body), number), *body]


def _only(values: tuple[int, ...], otherwise: int) -> list[_Instruction]:
    """Allow the loaded value when it is one of `values`."""
    tests = [(_JEQ, len(values) - 1 - place + 1, 0, value) for place, value in enumerate(values)]
    return [*tests, _return(otherwise), _return(_ALLOW)]


def _none_of(values: tuple[int, ...], otherwise: int) -> list[_Instruction]:
    """Refuse the loaded value when it is one of `values`."""
    tests = [(_JEQ, len(values) - 1 - place + 1, 0, value) for place, value in enumerate(values)]
    return [*tests, _return(_ALLOW), _return(otherwise)]


def _socket_body() -> list[_Instruction]:
    families = [(_JEQ, len(FAMILIES) - 1 - place + 5, 0, family) for place, family in enumerate(FAMILIES)]
    # After the families: netlink? protocol route? else refuse; allow.
    netlink = [(_JEQ, 0, 3, NETLINK), _argument(2), (_JEQ, 0, 1, NETLINK_ROUTE), _return(_ALLOW)]
    return [_argument(0), *families, *netlink, _return(_ERRNO | EAFNOSUPPORT), _return(_ALLOW)]


def _device_body(mode_argument: int) -> list[_Instruction]:
    kind = [_argument(mode_argument), (_AND, 0, 0, FILE_TYPE)]
    return [*kind, *_none_of((CHARACTER_DEVICE, BLOCK_DEVICE), _ERRNO | EPERM)]


def _set_core_limit_body() -> list[_Instruction]:
    return [_argument(0), *_none_of((RLIMIT_CORE,), _DONE)]


def _change_core_limit_body() -> list[_Instruction]:
    """As above, of the call that also asks what a limit is: then it has no new one, a null pointer."""
    new = _ARGUMENTS + 8 * 2
    asked = [_load(new), (_JEQ, 0, 2, 0), _load(new + 4), (_JEQ, 1, 0, 0), _return(_DONE)]
    return [_argument(1), (_JEQ, 0, len(asked), RLIMIT_CORE), *asked, _return(_ALLOW)]


def program(machine: str) -> bytes:
    """The filter for a machine (`os.uname().machine`), an array of `struct sock_filter`.

    Raises KeyError for a machine that is not in ARCHITECTURES.
    """
    architecture = ARCHITECTURES[machine]
    code = [_load(_ARCHITECTURE), (_JEQ, 1, 0, architecture.audit), _return(_KILL), _load(_NUMBER)]
    if machine == "x86_64":
        code += [(_JGE, 0, 1, _X32), _return(_KILL)]
    code += [(_JGE, 0, 1, _HIGHEST + 1), _return(_ERRNO | ENOSYS)]
    refuse_namespaces = [_argument(0), (_JSET, 0, 1, NAMESPACES), _return(_ERRNO | EPERM), _return(_ALLOW)]
    code += _for_call(architecture.clone, refuse_namespaces)
    code += _for_call(architecture.socket, _socket_body())
    code += _for_call(architecture.socketpair, _socket_body())
    code += _for_call(architecture.ioctl, [_argument(1), *_none_of(IOCTLS, _ERRNO | EPERM)])
    code += _for_call(architecture.personality, [_argument(0), *_only(PERSONALITIES, _ERRNO | EPERM)])
    if architecture.mknod is not None:
        code += _for_call(architecture.mknod, _device_body(1))
    code += _for_call(architecture.mknodat, _device_body(2))
    code += _for_call(architecture.setrlimit, _set_core_limit_body())
    code += _for_call(architecture.prlimit64, _change_core_limit_body())
    for number in sorted({*architecture.refused.values(), *EVERYWHERE.values()}):
        code += _for_call(number, [_return(_ERRNO | EPERM)])
    return _assemble([*code, _return(_ALLOW)])


def refuse_clone3(machine: str) -> bytes:
    """The last filter of programs that are not templates, and of what is restored from one."""
    return _last(machine, _ERRNO | ENOSYS)


def ask_about_clone3(machine: str) -> bytes:
    """The last filter of a template."""
    return _last(machine, _ASK)


def _last(machine: str, clone3: int) -> bytes:
    """Who listens to a filter may let a call be made that another one asks about: nobody of the customer's may."""
    refuse_listeners = [_argument(1), (_JSET, 0, 1, _NEW_LISTENER), _return(_ERRNO | EPERM), _return(_ALLOW)]
    code = [_load(_NUMBER), *_for_call(_CLONE3, [_return(clone3)])]
    return _assemble([*code, *_for_call(ARCHITECTURES[machine].seccomp, refuse_listeners), _return(_ALLOW)])


def _assemble(code: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)

"""The system-call filter in the form that OCI runtimes read and hand to libseccomp. Pure.

What is refused, and which arguments, is listed in `seccomp.py` alone; here it is only said in another way. Two things
are different about that form:

- Calls are named, and cannot be compared with the newest number that is known. So what `seccomp.py` allows because it
  does not refuse it is named here, and all else is answered ENOSYS. A call whose name the runtime's libseccomp does not
  know is among the latter, so the filter may be stricter than ours, by calls newer than that library.
- The rules of one call are tried in no certain order, so no two of them may match at once: "all but these values" has
  to be said as the sets of values that have none of these (`_outside`). Only the lower half of an argument is compared,
  as the kernel reads no more of the ones looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lambent.worker.sandbox import seccomp

_NAMES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_LOWER_HALF, _WHOLE = 0xFFFF_FFFF, (1 << 64) - 1
_OTHERS = """
accept accept4 access afs_syscall alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat
fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat get_kernel_syms get_mempolicy get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getpmsg getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
listxattrat llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat
madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mlock mlock2 mlockall mmap
mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv
msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal
pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 process_mrelease
pselect6 putpmsg pwrite64 pwritev pwritev2 query_module read readahead readlink readlinkat readv recvfrom recvmmsg
recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp security
select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink symlinkat sync sync_file_range
sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate tuxcall umask uname unlink
unlinkat utime utimensat utimes vfork vmsplice vserver wait4 waitid write writev
"""
"""Every call up to `open_tree_attr` that is not refused and needs no closer look, on either kind of machine."""

Condition = tuple[int, int, int]
"""(argument, mask, value): the argument has this value below the mask."""


def profile(machine: str) -> dict[str, Any]:
    """The `linux.seccomp` of a container on a machine (`os.uname().machine`).

    Raises KeyError for a machine that is not in `seccomp.ARCHITECTURES`.
    """
    architecture = seccomp.ARCHITECTURES[machine]
    rules = [
        _allow(_OTHERS.split()),
        _refuse(sorted({*architecture.refused, *seccomp.EVERYWHERE}), seccomp.EPERM),
        *_clone(),
        *_sockets(),
        *_compared("ioctl", 1, _LOWER_HALF, refused=seccomp.IOCTLS),
        *_compared("personality", 0, _LOWER_HALF, allowed=seccomp.PERSONALITIES),
    ]
    devices = (seccomp.CHARACTER_DEVICE, seccomp.BLOCK_DEVICE)
    if architecture.mknod is not None:
        rules += _compared("mknod", 1, seccomp.FILE_TYPE, refused=devices)
    rules += _compared("mknodat", 2, seccomp.FILE_TYPE, refused=devices)
    rules += _core_limit()
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": seccomp.ENOSYS,
        "architectures": [_NAMES[machine]],
        "syscalls": rules,
    }


def _core_limit() -> Iterator[dict[str, Any]]:
    """A change of it is told to have been made; the call that can also ask what it is may do that (a null pointer)."""
    done, core = 0, (seccomp.RLIMIT_CORE,)
    for mask, value in _outside(core, _LOWER_HALF):
        yield _allow(["setrlimit"], (0, mask, value))
        yield _allow(["prlimit64"], (1, mask, value))
    yield _refuse(["setrlimit"], done, (0, _LOWER_HALF, seccomp.RLIMIT_CORE))
    asked = (1, _LOWER_HALF, seccomp.RLIMIT_CORE)
    yield _allow(["prlimit64"], asked, (2, _WHOLE, 0))
    for bit in range(64):
        above = _WHOLE & ~((1 << bit + 1) - 1)
        yield _refuse(["prlimit64"], done, asked, (2, above | 1 << bit, 1 << bit))


def _clone() -> Iterator[dict[str, Any]]:
    flags = (1 << bit for bit in range(32))
    for flag in (flag for flag in flags if flag & seccomp.NAMESPACES):
        yield _refuse(["clone"], seccomp.EPERM, (0, flag, flag))
    yield _allow(["clone"], (0, seccomp.NAMESPACES, 0))


def _sockets() -> Iterator[dict[str, Any]]:
    names = ["socket", "socketpair"]
    netlink = (0, _LOWER_HALF, seccomp.NETLINK)
    for family in seccomp.FAMILIES:
        yield _allow(names, (0, _LOWER_HALF, family))
    yield _allow(names, netlink, (2, _LOWER_HALF, seccomp.NETLINK_ROUTE))
    for mask, value in _outside((seccomp.NETLINK_ROUTE,), _LOWER_HALF):
        yield _refuse(names, seccomp.EAFNOSUPPORT, netlink, (2, mask, value))
    for mask, value in _outside((*seccomp.FAMILIES, seccomp.NETLINK), _LOWER_HALF):
        yield _refuse(names, seccomp.EAFNOSUPPORT, (0, mask, value))


def _compared(
    name: str, argument: int, mask: int, *, allowed: Sequence[int] = (), refused: Sequence[int] = ()
) -> Iterator[dict[str, Any]]:
    """Rules for a call of which one argument is looked at; what is listed is all that is allowed, or refused."""
    listed = [(argument, mask, value) for value in allowed or refused]
    others = [(argument, part, value) for part, value in _outside(allowed or refused, mask)]
    for condition in listed if allowed else others:
        yield _allow([name], condition)
    for condition in others if allowed else listed:
        yield _refuse([name], seccomp.EPERM, condition)


def _outside(values: Iterable[int], mask: int, fixed: int = 0, prefix: int = 0) -> Iterator[tuple[int, int]]:
    """Disjoint (mask, value) that together match everything below the mask but these values."""
    inside = [value for value in values if value & fixed == prefix]
    if not inside:
        yield fixed, prefix
    elif rest := mask & ~fixed:
        bit = 1 << (rest.bit_length() - 1)
        yield from _outside(inside, mask, fixed | bit, prefix)
        yield from _outside(inside, mask, fixed | bit, prefix | bit)


def _allow(names: Sequence[str], *conditions: Condition) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "args": _arguments(conditions)}


def _refuse(names: Sequence[str], number: int, *conditions: Condition) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": number, "args": _arguments(conditions)}


def _arguments(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    return [
        {"index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
        for argument, mask, value in conditions
    ]

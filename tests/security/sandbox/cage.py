"""The cage: throw-away namespaces with the protections of a sandbox, each of which can be left out by name.

Controls run in it: a probe that the whole cage holds back, and that gets through when one protection is left out, can
succeed, and shows which protection it is that holds it. Run as a program by `arena_process`; it stands on its own, and
makes nothing that outlives it.

    cage.py WITHOUT USER PROGRAM [ARGUMENT...]

WITHOUT are words of PROTECTIONS joined by commas. USER is the machine's user id in the cage, of which root can name
any, others their own.
"""

import ctypes
import os
import resource
import signal
import sys

from lambent.worker.sandbox import kernel, seccomp

PROTECTIONS = {
    "the filter": "the system-call filter",
    "the core limit": "a crash is told to no program of the machine",
    "the capability drop": "an empty bounding set, and a user that is not the namespace's root",
    "another user": "a user id that is not 0 in the namespace",
    "no_new_privs": "programs give no rights",
    "closed descriptors": "no directory of the machine is open",
    "read-only mounts": "/opt may not be written to",
}
_EVERYTHING = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER, _LAST_CAPABILITY = 2, 63
_USER, _GROUP = 993, 990
_SCRATCH = "/mnt"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _wait(child: int) -> None:
    """End as the child does."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0 and -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def _map(process: int, inside: tuple[int, int], user: int) -> None:
    """One user and one group; whoever has no more rights than to map itself must first give up setgroups."""
    group = user if os.geteuid() == 0 else os.getegid()
    _write(f"/proc/{process}/setgroups", "deny")
    _write(f"/proc/{process}/uid_map", f"{inside[0]} {user} 1")
    _write(f"/proc/{process}/gid_map", f"{inside[1]} {group} 1")


def _furnish(without: set[str]) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("proc", "/proc", "proc")
    kernel.mount("tmpfs", _SCRATCH, "tmpfs", 0, "mode=1777,size=32m")
    kernel.mount("tmpfs", "/opt", "tmpfs", 0, "mode=1777,size=1m")
    if "read-only mounts" not in without:
        kernel.mount("none", "/opt", flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)


def _protect(without: set[str]) -> None:
    if "the capability drop" not in without:
        for capability in range(_LAST_CAPABILITY + 1):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # one that this kernel does not know is an error
    if "the core limit" not in without:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    if "no_new_privs" not in without:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if "the filter" not in without:
        for make in (seccomp.program, seccomp.refuse_clone3):
            code = make(os.uname().machine)
            program = _Program(len(code) // 8, code)
            if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0):
                raise OSError(ctypes.get_errno(), "the filter")


def main() -> None:
    without = {word for word in sys.argv[1].split(",") if word}
    assert without <= PROTECTIONS.keys(), without
    user, command = int(sys.argv[2]), [sys.executable, "-I", "-c", *sys.argv[3:]]
    root_inside = {"the capability drop", "another user"} & without
    inside = (0, 0) if root_inside else (_USER, _GROUP)
    if os.geteuid() == 0:
        os.setgroups([])
    left, right = os.pipe(), os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(left[1])
        if os.read(left[0], 1):
            _map(child, inside, user)
            os.write(right[1], b"1")
        _wait(child)
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    kernel.unshare(_EVERYTHING)
    os.write(left[1], b"1")
    os.read(right[0], 1)
    os.setresgid(inside[1], inside[1], inside[1])
    os.setresuid(inside[0], inside[0], inside[0])
    first = os.fork()
    if first:
        _wait(first)
    kernel.die_with_parent(signal.SIGKILL)
    _furnish(without)
    if "closed descriptors" in without:
        os.set_inheritable(os.open("/", os.O_RDONLY | os.O_DIRECTORY), True)
    _protect(without)
    os.execve(command[0], command, {"PATH": "/usr/bin:/bin", "TMPDIR": _SCRATCH})


if __name__ == "__main__":
    main()

"""Becoming another user, and gaining rights."""

from pathlib import Path

from hostile.probe import Caged, Probe, Unisolated, Unprivileged

_CAP_SYS_NICE = 23
_SEEN_AS_ROOT = "Functions run as user 0 of their own user namespace, without any of its rights"

_SET_USER_PROGRAMS = ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/newgrp", "/bin/su", "/usr/bin/chsh")


def _no_set_user_program() -> str:
    there = any(Path(name).is_file() and Path(name).stat().st_mode & 0o4000 for name in _SET_USER_PROGRAMS)
    return "" if there else "no set-user-id program is installed"


PROBES = (
    Probe(
        "root's user id",
        "become user 0, or the user of the server",
        """
        def attempt(server):
            for user in {0, int(server)}:
                try:
                    os.setresuid(user, user, user)
                    return True
                except OSError:
                    continue
        """,
        Caged(("another user",)),
        ("{user}",),
        unless_told=_SEEN_AS_ROOT,
    ),
    Probe(
        "a set-user-id program",
        "gain its owner's rights by starting it",
        f"""
        import subprocess
        def attempt():
            for name in {_SET_USER_PROGRAMS!r}:
                if not os.path.exists(name) or not os.stat(name).st_mode & 0o4000:
                    continue
                program = subprocess.Popen([name], **dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE))
                # Popen returns when it has been executed.
                status = dict(line.split(':', 1) for line in open(f'/proc/{{program.pid}}/status'))
                program.kill()
                if status['Uid'].split()[1] != str(os.getuid()) or int(status['CapEff'], 16):
                    return name
        """,
        Unprivileged(missing=_no_set_user_program),
    ),
    Probe(
        "new privileges",
        "have programs that it starts gain rights (`no_new_privs`)",
        "def attempt(): return libc.prctl(39, 0, 0, 0, 0) == 0",
        Caged(("no_new_privs",)),
    ),
    Probe(
        "capabilities",
        "have any capability in any set, the bounding set as well",
        """
        def attempt():
            status = dict(line.split(':', 1) for line in open('/proc/self/status'))
            return any(int(status[name], 16) for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'))
        """,
        Caged(("the capability drop",)),
    ),
    Probe(
        "a capability back",
        "take back the right to administer",
        """
        import struct
        def attempt():
            wanted = 1 << 21
            head = ctypes.create_string_buffer(struct.pack('=Ii', 0x20080522, 0))
            call('capset', head, ctypes.create_string_buffer(struct.pack('=6I', wanted, wanted, 0, 0, 0, 0)))
            return True
        """,
        Caged(("the capability drop",)),
    ),
    Probe(
        "a process with more rights",
        "write to the memory of a process that no filter holds, or that has a capability: its own first one, say",
        """
        def attempt():
            for process in filter(str.isdigit, os.listdir('/proc')):
                status = dict(line.split(':', 1) for line in open(f'/proc/{process}/status'))
                if status['Seccomp'].strip() == '2' and not int(status['CapBnd'], 16):
                    continue
                try:
                    os.close(os.open(f'/proc/{process}/mem', os.O_RDWR))
                    return process
                except OSError:
                    continue
        """,
        Caged(("the filter",)),
    ),
    Probe(
        "real-time priority",
        "take the processor from everybody",
        "def attempt(): os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); return True",
        Unisolated(right=_CAP_SYS_NICE),
    ),
    Probe(
        "higher limits",
        "raise the limits that it was started with",
        """
        import resource
        def attempt():
            for limit, wanted in ((resource.RLIMIT_NOFILE, 1025), (resource.RLIMIT_CORE, 4096)):
                try:
                    resource.setrlimit(limit, (wanted, wanted))
                except (OSError, ValueError):
                    continue
                if resource.getrlimit(limit)[0] == wanted:
                    return True
        """,
        Unisolated(),
    ),
)

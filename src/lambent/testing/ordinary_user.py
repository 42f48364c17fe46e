"""What a process that was started as root needs before it becomes an ordinary user, and the becoming.

    python -m lambent.testing.ordinary_user PROGRAM [ARGUMENT...]

executes the program as USER.
"""

import os
import sys
import tempfile
from pathlib import Path

import lambent
from lambent.worker.sandbox import kernel

USER = 64_999
"""An ordinary user id that no account has."""


def become(user: int = USER) -> None:
    """From here on this process is that user, who may enter what leads to this Python. As root only, with one thread.
    What it executes then has what the kernel gives to a program of that user, such as its own files in /proc."""
    open_the_way()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def open_the_way() -> None:
    """Let every user read what this process runs on: a directory above it that only root may enter is covered by one
    that holds nothing else. In a mount namespace of its own, so that the machine does not change. As root only."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    needed = sorted({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), Path(lambent.__file__).parents[2]})
    outermost = [path for path in needed if not any(other in path.parents for other in needed)]
    closed: dict[Path, list[Path]] = {}
    for path in outermost:
        above = next((one for one in reversed(path.parents) if not one.stat().st_mode & 0o001), None)
        if above is not None:
            closed.setdefault(above, []).append(path)
    for above, paths in closed.items():
        # Never removed with what is in it: while one is mounted there, that is the original.
        asides = [Path(tempfile.mkdtemp(dir="/var/tmp")) for _ in paths]
        for path, aside in zip(paths, asides, strict=True):
            kernel.mount(str(path), str(aside), flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.mount("tmpfs", str(above), "tmpfs", 0, "mode=0755,size=1m")
        for path, aside in zip(paths, asides, strict=True):
            path.mkdir(parents=True)
            kernel.mount(str(aside), str(path), flags=kernel.MS_BIND | kernel.MS_REC)
            kernel.unmount(str(aside))
            aside.rmdir()


if __name__ == "__main__":
    become()
    os.chdir("/")  # where it was may be covered now
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - what a test names

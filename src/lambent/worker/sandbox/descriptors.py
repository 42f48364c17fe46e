"""What a forked process has in common with the others that were forked from the same one, and how it lets go of it.

Descriptors and shared memory outlive a fork: two children would move each other's place in a file, wake each other's
event loop, and answer on one connection. Each child puts others of its own in their places, under the same numbers and
addresses: files in its own /tmp, pipes and events that work as before, connections that have ended.

It runs on every Python that functions run on, and is part of the runtime kits.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import re
import select
import socket
import stat
from collections.abc import Iterable, Iterator

_KEPT = (0, 1, 2)
_CHUNK = 1 << 20
_REOPENED = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_DIRECTORY | os.O_DIRECT | os.O_NOATIME
_MAP_FIXED = 0x10
_EVENT = re.compile(rb"^tfd:\s*(\d+)\s+events:\s*([0-9a-f]+)\s+data:\s*([0-9a-f]+)", re.MULTILINE)
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])s ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+)\s*(.*)$", re.MULTILINE
)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)


class _EpollEvent(ctypes.Structure):
    """`struct epoll_event`, which is packed on x86_64 alone."""

    if os.uname().machine == "x86_64":
        _pack_ = 1
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


class Shared:
    """To be made before the fork, where all that is noted is that of the parent. `ours` are descriptors that a child
    closes by itself."""

    def __init__(self, ours: Iterable[int]) -> None:
        self._output = os.fstat(1)
        self._scratch = os.stat("/tmp").st_dev
        # Where there is one thread, which is to do nothing else, nothing is opened or mapped from here on.
        is_alone = len(os.listdir("/proc/self/task")) == 1
        self._noted = (_open_files(ours), _shared_mappings()) if is_alone else None

    def let_go(self) -> None:
        """In the child, with its own output at 1 and 2, and its own /tmp."""
        found, mappings = self._noted or (_open_files(()), _shared_mappings())
        pipes: dict[int, list[int]] = {}
        for number, (what, status) in found.items():
            if stat.S_ISFIFO(status.st_mode) and what.startswith("pipe:"):
                pipes.setdefault(status.st_ino, []).append(number)
            elif what == "anon_inode:[eventfd]":
                _renew_event(number)
            elif what.startswith("/memfd:"):
                _renew_file(number, os.memfd_create(what[len("/memfd:") :].removesuffix(" (deleted)")))
            elif status.st_dev == self._scratch:
                _reopen(number, what)
        for inode, numbers in pipes.items():
            if inode == self._output.st_ino:
                for number in numbers:
                    _put(os.dup(1), number)
            else:
                _renew_pipe(numbers)
        _renew_sockets({number: status.st_ino for number, (_, status) in found.items() if _is_socket(status)})
        for number, (what, _) in found.items():
            if what == "anon_inode:[eventpoll]":
                _renew_epoll(number)
        self._unshare_memory(mappings)
        if os.stat("/proc/self/cwd").st_dev == self._scratch:
            with contextlib.suppress(FileNotFoundError), _allowed(os.getcwd()):  # or it has been removed under us
                os.chdir(os.getcwd())

    def _unshare_memory(self, mappings: list[tuple[str, ...]]) -> None:
        """Memory that is written by one alone is what a child shares with children of its own, and no others."""
        for begin, end, readable, writable, executable, offset, major, minor, _, path in mappings:
            if readable != "r" or writable != "w":
                continue
            on_scratch = os.makedev(int(major, 16), int(minor, 16)) == self._scratch
            protection = mmap.PROT_READ | mmap.PROT_WRITE | (mmap.PROT_EXEC if executable == "x" else 0)
            start, size = int(begin, 16), int(end, 16) - int(begin, 16)
            try:
                descriptor = _open(path, os.O_RDWR) if on_scratch else -1
            except FileNotFoundError:  # it has no name any more
                descriptor = -1
            if descriptor >= 0:
                _map(start, size, protection, mmap.MAP_SHARED, descriptor, int(offset, 16))
                os.close(descriptor)
            else:
                content = ctypes.string_at(start, size)
                _map(start, size, protection, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0)
                ctypes.memmove(start, content, size)


def _open_files(besides: Iterable[int]) -> dict[int, tuple[str, os.stat_result]]:
    """What each descriptor is open to, as /proc calls it and as the file tells."""
    kept = {*_KEPT, *besides}
    found = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                found[number] = (os.readlink(f"/proc/self/fd/{number}"), os.fstat(number))
    return found


def _shared_mappings() -> list[tuple[str, ...]]:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        return _MAPPING.findall(file.read())


def _is_socket(status: os.stat_result) -> bool:
    return stat.S_ISSOCK(status.st_mode)


def _put(new: int, number: int) -> None:
    """Put an open file in the place of another, with the other's flags."""
    fcntl.fcntl(new, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL))
    os.dup2(new, number, inheritable=os.get_inheritable(number))
    os.close(new)


def _reopen(number: int, path: str) -> None:
    """The same file of our own /tmp. One without a name is copied."""
    flags = fcntl.fcntl(number, fcntl.F_GETFL) & _REOPENED
    try:
        new = _open(path, flags)
    except OSError:
        _renew_file(number, os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600))
        return
    if not flags & os.O_DIRECTORY and stat.S_ISREG(os.fstat(new).st_mode):
        os.lseek(new, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    _put(new, number)


def _open(path: str, flags: int) -> int:
    """Also what its owner, who we are, may not open again. Raises OSError."""
    try:
        return os.open(path, flags)
    except PermissionError:
        with _allowed(path):
            return os.open(path, flags)


@contextlib.contextmanager
def _allowed(path: str) -> Iterator[None]:
    """Meanwhile its owner may do everything with it, and get there."""
    changed: list[tuple[str, int]] = []
    try:
        for length in (*(place for place, letter in enumerate(path) if letter == "/" and place), len(path)):
            mode = stat.S_IMODE(os.stat(path[:length]).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(path[:length], mode | stat.S_IRWXU)
                changed.append((path[:length], mode))
        yield
    finally:
        for part, mode in reversed(changed):
            os.chmod(part, mode)


def _renew_file(number: int, new: int) -> None:
    with open(f"/proc/self/fd/{number}", "rb") as old, open(new, "wb", closefd=False) as copy:
        while data := old.read(_CHUNK):
            copy.write(data)
    os.lseek(new, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    _put(new, number)


def _renew_event(number: int) -> None:
    with open(f"/proc/self/fdinfo/{number}", "rb") as file:
        lines = file.read().splitlines()
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    semaphore = int(fields.get(b"eventfd-semaphore", b"0"))
    count = int(fields[b"eventfd-count"], 16)
    new = _check(_libc.eventfd(0, semaphore))
    if count:
        os.write(new, count.to_bytes(8, "little"))
    _put(new, number)


def _renew_pipe(numbers: list[int]) -> None:
    """What was in it stays with the parent. An end whose other one is not ours sees that one closed."""
    ends = os.pipe()
    for number in numbers:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        _put(os.dup(ends[1] if mode == os.O_WRONLY else ends[0]), number)
    for end in ends:
        os.close(end)


def _renew_sockets(inodes: dict[int, int]) -> None:
    """Pairs that are ours at both ends are renewed. Whatever else was connected or listening is neither any more."""
    kinds = {number: _kind_of(number) for number in inodes}
    numbers: dict[int, list[int]] = {}
    for number, inode in inodes.items():
        numbers.setdefault(inode, []).append(number)
    for inode in sorted(numbers):
        if inode not in numbers:
            continue
        kind = kinds[numbers[inode][0]]
        # The two ends of a pair are made together, and nothing else of them tells that they are one.
        paired = kind[0] == socket.AF_UNIX and inode + 1 in numbers and kinds[numbers[inode + 1][0]] == kind
        if paired:
            ends = socket.socketpair(*kind)
            _put_all(ends[0], numbers[inode])
            _put_all(ends[1], numbers.pop(inode + 1))
        elif kind[0] == socket.AF_UNIX:
            ours, theirs = socket.socketpair(*kind)
            theirs.close()
            _put_all(ours, numbers[inode])
        else:
            _put_all(socket.socket(*kind), numbers[inode])


def _kind_of(number: int) -> tuple[int, int, int]:
    with socket.socket(fileno=os.dup(number)) as one:
        return int(one.family), int(one.type), one.proto


def _put_all(new: socket.socket, numbers: Iterable[int]) -> None:
    for number in numbers:
        _put(os.dup(new.fileno()), number)
    new.close()


def _renew_epoll(number: int) -> None:
    with open(f"/proc/self/fdinfo/{number}", "rb") as file:
        watched = _EVENT.findall(file.read())
    with select.epoll() as new:
        for target, events, data in watched:
            event = _EpollEvent(int(events, 16), int(data, 16))
            _libc.epoll_ctl(new.fileno(), 1, int(target), ctypes.byref(event))  # one that is closed is left out
        os.dup2(new.fileno(), number, inheritable=os.get_inheritable(number))


def _map(start: int, size: int, protection: int, flags: int, descriptor: int, offset: int) -> None:
    if _libc.mmap(start, size, protection, flags | _MAP_FIXED, descriptor, offset) != start:
        _check(-1)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

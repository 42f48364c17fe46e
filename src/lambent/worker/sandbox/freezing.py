"""Ways to stop and continue every process of a sandbox. They are on the path of every invocation: no await, no thread.

A cgroup does it in one write to a file kept open, and atomically. Without one, signals do: each process is sent
SIGSTOP, which a parent inside can notice, and which a process tree in the middle of forking may outrun for a moment.
"""

import os
import signal
from collections.abc import Callable, Container, Iterable
from typing import Protocol


class Freezer(Protocol):
    def freeze(self, process: int) -> None: ...
    def thaw(self, process: int) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


class FileFreezer:
    """By a cgroup's own file: `cgroup.freeze` of version 2, `freezer.state` of version 1."""

    def __init__(self, path: str, version: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._words = (b"1", b"0") if version == 2 else (b"FROZEN", b"THAWED")

    def freeze(self, process: int) -> None:
        del process
        os.pwrite(self._descriptor, self._words[0], 0)

    def thaw(self, process: int) -> None:
        del process
        self.reset()

    def reset(self) -> None:
        """Let nothing that comes be frozen."""
        os.pwrite(self._descriptor, self._words[1], 0)

    def close(self) -> None:
        os.close(self._descriptor)


class TreeFreezer:
    """By signals to every descendant of the first process of a pid namespace, where orphans come back to it; not to
    those in `besides`, nor to theirs."""

    def __init__(self, besides: Container[int] = ()) -> None:
        self._besides = besides

    def freeze(self, process: int) -> None:
        stopped: set[int] = set()
        while True:
            # Once all that were seen have stopped none of them can fork, so a round that finds no other is the last.
            new = set(descendants(process, self._besides)) - stopped
            if not new:
                return
            for member in new:
                _send(member, signal.SIGSTOP)
            stopped |= new

    def thaw(self, process: int) -> None:
        for member in descendants(process, self._besides):
            _send(member, signal.SIGCONT)

    def reset(self) -> None:
        """Signals are to processes alone."""

    def close(self) -> None:
        """Nothing is held."""


class GroupFreezer:
    """By a signal to a process group."""

    def freeze(self, process: int) -> None:
        _send(-process, signal.SIGSTOP)

    def thaw(self, process: int) -> None:
        _send(-process, signal.SIGCONT)

    def reset(self) -> None:
        """Signals are to processes alone."""

    def close(self) -> None:
        """Nothing is held."""


def descendants(process: int, besides: Container[int] = ()) -> list[int]:
    """Every live descendant, children before their own children; without the processes in `besides` and theirs."""
    found = [child for child in _children(process) if child not in besides]
    for member in found:  # grows as it is walked
        found += _children(member)
    return found


def kill_all(find: Callable[[], Iterable[int]]) -> None:
    """Kill all that are found. Once all that were seen have been killed none of them can fork, so a round that finds no
    other is the last."""
    seen: set[int] = set()
    while new := set(find()) - seen:
        for process in new:
            _send(process, signal.SIGKILL)
        seen |= new


def _children(process: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return children
    return children


def _send(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return

"""The launcher's loop: tells its owners what can be read, and which child has ended. One thread, no timers."""

import contextlib
import os
import select
import signal
import traceback
from collections.abc import Callable
from functools import partial

_CHUNK = 1 << 16

Reader = Callable[[], None]
Mourner = Callable[[int], None]
"""Is called with the wait status."""


class Loop:
    """Owns SIGCHLD and the reaping of every child."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._mourners: dict[int, Mourner] = {}
        self._expected = 0
        self._put_off: list[Callable[[], None]] = []
        self._early: dict[int, int] = {}
        self._wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.watch(self._wake, self._reap)

    def watch(self, descriptor: int, reader: Reader) -> None:
        """Have `reader` called whenever something can be read, or the other end is closed."""
        self._readers[descriptor] = reader
        self._poll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor: int) -> None:
        if self._readers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def mourn(self, process: int, mourner: Mourner) -> None:
        """Have `mourner` called once the child has ended, which may be now."""
        if process in self._early:
            mourner(self._early.pop(process))
        else:
            self._mourners[process] = mourner

    def expect(self, change: int) -> None:
        """So many more (or fewer) children are about to be told to `mourn`, and may end before."""
        self._expected += change
        if not self._expected:
            self._early.clear()

    def put_off(self, work: Callable[[], None]) -> None:
        """Have it done at the end of this turn: what nobody waits for."""
        self._put_off.append(work)

    def turn(self) -> None:
        """Wait for something to happen, and tell it."""
        for descriptor, _ in self._poll.poll():
            reader = self._readers.get(descriptor)
            if reader is not None:  # else forgotten in this very turn
                _do(reader)
        put_off, self._put_off = self._put_off, []
        for work in put_off:
            _do(work)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, _CHUNK)
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            mourner = self._mourners.pop(process, None)
            if mourner is not None:
                _do(partial(mourner, status))
            elif self._expected:
                self._early[process] = status


def _do(work: Callable[[], None]) -> None:
    """One sandbox's fault must not end the others."""
    try:
        work()
    except Exception:  # noqa: BLE001 it is told, and whoever waits for the one gives up
        traceback.print_exc()

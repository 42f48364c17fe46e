"""Threads that wait for other machines, and that nobody waits for when the process leaves.

A `ThreadPoolExecutor`'s are joined before the interpreter ends: one that an other machine keeps waiting keeps the
process too.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")
_Work = tuple["Future[Any]", Callable[[], Any]]


class AbandonableThreads:
    """So many threads, first come first served. What a call that was abandoned does to the end is its own to make
    harmless."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True).start()

    def submit(self, call: Callable[[], _T]) -> "Future[_T]":
        future: Future[_T] = Future()
        self._waiting.put((future, call))
        return future

    def close(self) -> None:
        """Return at once: what waits is cancelled, what runs is abandoned."""
        while not self._waiting.empty():
            work = self._waiting.get()
            if work is not None:
                work[0].cancel()
        for _ in range(self._count):
            self._waiting.put(None)

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 it is raised to who waits for the future
                    future.set_exception(error)
                else:
                    future.set_result(result)

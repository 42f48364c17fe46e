"""What the stores in SQLite share: files that are the owner's alone, numbered steps of a schema, and a thread that
writes what is waiting at one time in one commit, and so with one wait for the disk.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

J = TypeVar("J")
C = TypeVar("C", bound=sqlite3.Connection)

LARGEST_GROUP = 256
"""Jobs that share one commit at most: bounds what one disk error can fail."""


class DataDirectoryTooNew(Exception):
    """The data directory was written by a newer Lambent. The message is for the person who started this one."""


class GroupWriter(Generic[J]):
    """A thread that is given jobs, and hands all that wait, up to the largest group, to `work` together. `work` must
    not raise; it tells each job's outcome itself."""

    def __init__(self, name: str, work: Callable[[list[J]], None]) -> None:
        self._jobs: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, job: J) -> None:
        self._jobs.put(job)

    async def close(self) -> None:
        """Finish the jobs that wait, and end."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs = [first]
            is_last = False
            while len(jobs) < LARGEST_GROUP and not is_last:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    is_last = True
                else:
                    jobs.append(job)
            self._work(jobs)
            if is_last:
                return


def make_private(path: Path) -> None:
    """Make sure that the file is there, durably, and nobody else's to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def connect(path: Path, kind: type[C]) -> C:
    """A connection whose commits are on disk when they return. It is used by one thread at a time, though not by the
    one that made it."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=kind)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # not on a disk that may be full, nor where others may look
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def steps_in(directory: Path) -> list[tuple[int, Path]]:
    """The numbered steps of a schema, in order."""
    steps = sorted((int(path.name.split("_")[0]), path) for path in directory.glob("*.sql"))
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1)), "migrations are numbered without gaps"
    return steps


def migrate(connection: sqlite3.Connection, path: Path, steps: list[tuple[int, Path]]) -> None:
    """Apply the steps that the file has not seen, each in a transaction with its number. Raises DataDirectoryTooNew."""
    (present,) = connection.execute("PRAGMA user_version").fetchone()
    if present > len(steps):
        raise DataDirectoryTooNew(
            f"{path} was written by a newer Lambent (schema {present}; this one knows up to {len(steps)}): "
            "start that version, or give another data directory"
        )
    for number, step in steps[present:]:
        script = f"BEGIN IMMEDIATE;\n{step.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

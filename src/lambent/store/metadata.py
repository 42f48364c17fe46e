"""The metadata store: a SQLite file that holds what the APIs' resources are, durably, and tells who listens.

One thread writes. The transactions that are waiting at one time share one COMMIT, and so one wait for the disk; each
is in a savepoint of its own, so that the failure of one undoes nothing of another. `run` returns when the commit is
on disk and every listener has heard of the changes, in commit order: who reads the snapshot that a listener keeps
sees what it wrote. Another thread, with a connection of its own, serves `read`.

A transaction is a plain function over a connection, and must not wait for anything else: all writers wait for it.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lambent.store import group_commit, sealed_records
from lambent.store.changes import Change
from lambent.store.group_commit import GroupWriter
from lambent.store.keyring import Keyring, read_key_file

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
KEY_FILE = "environment-keys"


class StoreConnection(sqlite3.Connection):
    """A connection that can read what is sealed in the database: `keyring` is set by whoever opens it."""

    keyring: Keyring


def keyring_of(connection: sqlite3.Connection) -> Keyring:
    """Queries are handed the store's own connections, whatever their annotations promise."""
    assert isinstance(connection, StoreConnection)
    return connection.keyring


class WritingConnection(StoreConnection):
    """The connection that transactions are given. What `changed` is told goes to the listeners after the commit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changes: list[Change] = []

    def changed(self, change: Change) -> None:
        self.changes.append(change)


@dataclass(slots=True)
class _Job:
    transaction: Callable[[WritingConnection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    changes: list[Change] = field(default_factory=list)


def key_file_of(database: Path, named: Path | None) -> Path:
    """The key file that is named, or else the one beside the database."""
    return database.with_name(KEY_FILE) if named is None else named


class MetadataStore:
    """`path` is the database file; its directory is made if it is missing. `key_file` has the keys of what is sealed
    in it, by default `KEY_FILE` beside it. All methods belong to one event loop."""

    def __init__(self, path: Path, key_file: Path | None = None) -> None:
        self._path = path
        self._key_file = key_file_of(path, key_file)
        self._listeners: list[Callable[[Change], None]] = []
        self._writer: GroupWriter[_Job] | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._reading: sqlite3.Connection | None = None
        self._writing: WritingConnection | None = None
        self._commits_told = threading.Lock()
        """Held while there may be a commit that the loop has not been handed."""
        self.resealed = 0
        """Of how many records `open` had to seal the variables, or to seal them anew."""
        self.commits = 0
        """How many commits there were: fewer than transactions under load."""

    async def open(self) -> None:
        """Bring the file to this version's schema and under its first key, and start serving. Raises
        DataDirectoryTooNew, KeyFileError."""
        loop = asyncio.get_running_loop()
        writing = await asyncio.to_thread(self._prepare_file)
        self._reading = _connect(self._path, StoreConnection, writing.keyring)
        self._reading.execute("PRAGMA query_only = ON")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="metadata-reader")
        self._writing = writing
        self._writer = GroupWriter("metadata-writer", partial(self._write, loop, writing))

    async def close(self) -> None:
        """Finish the transactions that wait, and let go of the file. A store that is not open is left alone."""
        writer, self._writer = self._writer, None
        if writer is None or self._reader is None or self._reading is None or self._writing is None:
            return
        await writer.close()
        writing, self._writing = self._writing, None
        writing.close()
        reader, self._reader = self._reader, None
        await asyncio.to_thread(reader.shutdown)
        self._reading.close()
        self._reading = None

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Have the listener called, on the event loop, with each change in commit order. It must not raise."""
        self._listeners.append(listener)

    async def run(self, transaction: Callable[[WritingConnection], T]) -> T:
        """Run the transaction. When it returns, the result is on disk; when the transaction raises, nothing of it
        is, and its exception is raised here."""
        assert self._writer is not None, "the metadata store is not open"
        job = _Job(transaction, asyncio.get_running_loop().create_future())
        self._writer.put(job)
        result: T = await job.future
        return result

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a consistent state that has everything that `run` returned before, and of which every listener
        has heard: what is shown here is what the snapshots say."""
        assert self._reader is not None, "the metadata store is not open"
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._query, query)

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        assert self._reading is not None
        self._reading.execute("BEGIN")
        try:
            return query(self._reading)
        finally:
            self._reading.execute("ROLLBACK")
            with self._commits_told:
                pass  # the loop hears of what was seen before it has the result

    def _prepare_file(self) -> WritingConnection:
        group_commit.make_private(self._path)  # what customers configure is in it
        connection = _connect(self._path, WritingConnection, read_key_file(self._key_file))
        try:
            group_commit.migrate(connection, self._path, migrations())
            self.resealed = sealed_records.protect(connection, connection.keyring)
        except BaseException:
            connection.close()
            raise
        return connection

    def _write(self, loop: asyncio.AbstractEventLoop, connection: WritingConnection, jobs: list[_Job]) -> None:
        with self._commits_told:
            self._commit_together(connection, jobs)
            loop.call_soon_threadsafe(self._deliver, jobs)

    def _commit_together(self, connection: WritingConnection, jobs: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                _run_in_savepoint(connection, job)
            connection.execute("COMMIT")
            self.commits += 1
        except sqlite3.Error as error:
            # The disk is full, or fails: nothing of the whole group is kept.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in jobs:
                job.error = job.error or error
                job.changes = []

    def _deliver(self, jobs: list[_Job]) -> None:
        for job in jobs:
            for change in job.changes:
                for listener in self._listeners:
                    listener(change)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)


def _run_in_savepoint(connection: WritingConnection, job: _Job) -> None:
    connection.changes = job.changes
    connection.execute("SAVEPOINT one")
    try:
        job.result = job.transaction(connection)
    except Exception as error:
        # Whatever it is, it is the caller's, in whose task it is raised.
        if not connection.in_transaction:
            raise sqlite3.OperationalError(f"the transaction was undone: {error}") from error
        connection.execute("ROLLBACK TO one")
        job.error = error
        job.changes.clear()
    connection.execute("RELEASE one")


C = TypeVar("C", bound=StoreConnection)


def _connect(path: Path, kind: type[C], keyring: Keyring) -> C:
    connection = group_commit.connect(path, kind)
    connection.keyring = keyring
    return connection


def migrations() -> list[tuple[int, Path]]:
    """The numbered steps of the schema, in order."""
    return group_commit.steps_in(MIGRATIONS)

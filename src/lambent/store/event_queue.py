"""The queue of asynchronous invocations: a SQLite file of its own, so that no payload stalls a change of configuration.

What is put is told to be there when its commit is on disk. All that is put, changed and removed while the commit before
it is written shares one commit, and waits a moment longer for the callers that were told by that one, who may have more
to put. An error of the disk (it is full, say) undoes the whole group and is told to each: nothing is half there. When
the disk is full, but for what their environments need, no more events are accepted; what is over is still removed, in
room that was kept for that, so that the others can go on.

Owns no decision: what is due is asked for by whoever has chosen the function (`core.event_queue`), and what is at work
is known to that one alone. So after a crash whatever was not removed is due again.
"""

import asyncio
import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lambent.core.event_invoke import QueuedEvent
from lambent.core.function import FunctionName
from lambent.core.record import Record
from lambent.store import group_commit, queries
from lambent.store.disk_reserve import DiskReserve
from lambent.store.group_commit import GroupWriter

MIGRATIONS = Path(__file__).parent / "event_queue_migrations"
FETCHED_BYTES = 4 * 1024**2
"""Of payloads in one fetch: the event that goes beyond it is the last."""
CHECKPOINT_PAGES = 2_048
"""Of the log, before it is merged into the file, which costs syncs of its own."""
GATHER_S = 0.002
"""How long a commit waits for as many events as were put by the one before it and while that was written: on a quick
disk it would be over before they are there, and each would have one of its own."""
GATHERED_MAX = 8
"""Events for which a commit waits: with more, those that can come meanwhile are worth more than those saved."""
RESERVE_BYTES = 16 * 1024**2
"""More than twice the log."""
LEFT_BYTES = 16 * 1024**2
"""What events leave free beside the reserve: no environment can start without some of it, and then none is over."""
JOBS_PER_STATEMENT = 64
BYTES_PER_STATEMENT = 1024**2
"""After which it has no other job: SQLite has a copy of what a statement is to write."""

_LANE = 2
"""Of the columns of the view `job`."""
_SQL = queries.load("event_queue")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(QueuedEvent).decode

Told = Callable[[Exception | None], None]
"""Is called on the event loop: with None when it is on disk, or with what went wrong."""

_Value = str | int | bytes | None


@dataclass(slots=True)
class _Job:
    row: list[_Value]
    """Of the view `job`."""
    told: Told
    function: FunctionName | None = None
    """Whose lane the row is to name: of an event that is put."""

    @property
    def is_put(self) -> bool:
        return self.function is not None


_End = tuple[list[_Job], Exception | None]
"""Jobs, and what all of them are told."""


class Due(Record, frozen=True):
    """Events of a function by their ids, and when the next one is due that is not among them, if there is one."""

    events: tuple[tuple[int, QueuedEvent], ...]
    next_due_ms: int | None


class EndedEvent(Record, frozen=True):
    """The first event that is due for a delivery, with its id and the answer, and when the next one is."""

    event: tuple[int, QueuedEvent] | None
    next_due_ms: int | None


class Total(Record, frozen=True):
    """What of a function is in the store, and waits for the service, or to be run."""

    function: FunctionName
    service: str | None
    count: int
    first_due_ms: int
    oldest_accepted_ms: int


class EventQueue:
    """`path` is the file; its directory is made if it is missing. All methods belong to one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = DiskReserve(path.with_suffix(".reserve"), RESERVE_BYTES)
        self._writer: GroupWriter[list[_Job]] | None = None
        self._writing: sqlite3.Connection | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._reading: sqlite3.Connection | None = None
        self._group: list[_Job] = []
        """What shares the next commit."""
        self._puts = 0
        """How many of it are put."""
        self._puts_awaited = 1
        """With how many it is written at once."""
        self._gathers_until_s = 0.0
        """When it is written with fewer, on the loop's clock."""
        self._handing_over: asyncio.Handle | None = None
        self._is_writing = False
        self._last_id = 0
        self._lanes: dict[FunctionName, int] = {}
        """Belongs to the writer's thread."""
        self.commits = 0
        """How many commits there were: fewer than events under load."""
        self.accepted = 0

    async def open(self) -> None:
        """Bring the file to this version's schema, and start serving. Raises DataDirectoryTooNew."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._writing = await asyncio.to_thread(self._prepare_file)
        self._reading = group_commit.connect(self._path, sqlite3.Connection)
        self._reading.execute("PRAGMA query_only = ON")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="event-queue-reader")
        self._writer = GroupWriter("event-queue-writer", self._write)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the file. A queue that is not open is left alone."""
        writer, self._writer = self._writer, None
        if writer is None or self._reader is None or self._reading is None or self._writing is None:
            return
        if self._handing_over is not None:
            self._handing_over.cancel()
        if self._group:
            writer.put(self._group)
            self._group = []
        await writer.close()
        await asyncio.to_thread(self._reader.shutdown)
        self._reading.close()
        self._writing.close()

    def put(self, event: QueuedEvent, due_ms: int, told: Told) -> int:
        """Keep the event. Returns its id; it is there when that is told."""
        self._last_id += 1
        accepted_ms, state = event.trials.accepted_ms, _state(event)
        row: list[_Value] = ["put", self._last_id, None, due_ms, accepted_ms, None, state, event.payload]
        self._ask(_Job(row, told, event.function))
        return self._last_id

    def change(self, event_id: int, event: QueuedEvent, due_ms: int, told: Told, response: bytes | None = None) -> None:
        """Keep the event as it is now, and what the function answered. Its payload stays as it was, and so does the
        answer to the last run where there is no other."""
        service = event.deliveries[0].service if event.deliveries else None
        self._ask(_Job(["change", event_id, None, due_ms, None, service, _state(event), response], told))

    def remove(self, event_id: int, told: Told) -> None:
        """The event is over."""
        self._ask(_Job(["remove", event_id, None, None, None, None, None, None], told))

    async def due(self, function: FunctionName, limit: int, besides: Collection[int], now_ms: int) -> Due:
        """The function's events that are due to be run, the first ones first, besides those. Raises sqlite3.Error."""
        assert self._reader is not None
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, self._due, function, limit, frozenset(besides), now_ms
        )

    async def ended(self, function: FunctionName, service: str, besides: Collection[int], now_ms: int) -> EndedEvent:
        """The function's first event that is due for a delivery to the service, besides those. Raises sqlite3.Error."""
        assert self._reader is not None
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, self._ended, function, service, frozenset(besides), now_ms
        )

    async def totals(self) -> list[Total]:
        """What there is, by function. Looks through the index, not at the events. Raises sqlite3.Error."""
        assert self._reader is not None
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._totals)

    def _ask(self, job: _Job) -> None:
        self._group.append(job)
        self._puts += job.is_put
        if self._is_writing:
            return
        if job.is_put and self._puts == self._puts_awaited:
            self._hand_over_in(0)
        elif self._handing_over is None:
            self._hand_over_in(self._gathers_until_s - self._loop.time())

    def _hand_over_in(self, delay_s: float) -> None:
        if self._handing_over is not None:
            self._handing_over.cancel()
        self._handing_over = self._loop.call_later(max(0, delay_s), self._hand_over)

    def _hand_over(self) -> None:
        assert self._writer is not None, "the event queue is not open"
        self._writer.put(self._group)
        self._group, self._puts = [], 0
        self._handing_over, self._is_writing = None, True

    def _due(self, function: FunctionName, limit: int, besides: frozenset[int], now_ms: int) -> Due:
        assert self._reading is not None
        scope = _scope(function, None, besides, now_ms) | {"limit": limit, "bytes": FETCHED_BYTES}
        listed, next_due_ms = self._reading.execute(_SQL["due"], scope).fetchone()
        return Due(tuple(map(_read_listed, listed.split(","))) if listed else (), next_due_ms)

    def _ended(self, function: FunctionName, service: str, besides: frozenset[int], now_ms: int) -> EndedEvent:
        assert self._reading is not None
        row = self._reading.execute(_SQL["ended"], _scope(function, service, besides, now_ms)).fetchone()
        event = None if row is None else (row[0], _read(*row[1:]))
        others = besides if event is None else besides | {event[0]}
        following = self._reading.execute(_SQL["next_ended"], _scope(function, service, others, now_ms)).fetchone()
        return EndedEvent(event, None if following is None else following[0])

    def _totals(self) -> list[Total]:
        assert self._reading is not None
        return [Total(FunctionName(*row[:3]), *row[3:]) for row in self._reading.execute(_SQL["totals"])]

    def _prepare_file(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
        except sqlite3.OperationalError as error:
            if not _is_of_the_disk(error):
                raise
            self._reserve.give_up()
            connection = self._connect()
        self._reserve.take()
        return connection

    def _connect(self) -> sqlite3.Connection:
        group_commit.make_private(self._path)  # payloads are in it
        connection = group_commit.connect(self._path, sqlite3.Connection)
        try:
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            group_commit.migrate(connection, self._path, group_commit.steps_in(MIGRATIONS))
            connection.executescript(_SQL["take_jobs"])
            connection.execute(_SQL["drop_empty_lanes"])
            (self._last_id,) = connection.execute(_SQL["last_id"]).fetchone()
            self._lanes = {FunctionName(*key): lane for lane, *key in connection.execute(_SQL["lanes"])}
        except BaseException:
            connection.close()
            raise
        return connection

    # In the writer's thread -------------------------------------------------------------------------------------

    def _write(self, groups: list[list[_Job]]) -> None:
        ends = self._carry_out([job for group in groups for job in group])
        self._loop.call_soon_threadsafe(self._tell, ends)

    def _carry_out(self, jobs: list[_Job]) -> list[_End]:
        """All of the jobs, in groups that have ended in the same way."""
        refused: list[_Job] = []
        if not self._has_room():
            refused, jobs = _split(jobs, "put")
        error = self._commit(jobs)
        ends: list[_End] = [(refused, sqlite3.OperationalError("the disk is full")), (jobs, error)]
        over, others = _split(jobs, "remove")
        if over and error is not None and _is_of_the_disk(error):
            self._reserve.give_up()
            self._merge_log()
            ends[1:] = (others, error), (over, self._commit(over))
        return ends

    def _has_room(self) -> bool:
        """For another event."""
        if not self._reserve.is_held:
            self._merge_log()
            if not self._reserve.take():
                return False
        assert self._writing is not None
        try:
            disk = os.statvfs(self._path.parent)
            left = disk.f_bavail * disk.f_frsize
            if left < LEFT_BYTES:  # what is over has left room in the file
                left += self._writing.execute(_SQL["unused_bytes"]).fetchone()[0]
        except (OSError, sqlite3.Error):
            return False
        return left >= LEFT_BYTES

    def _commit(self, jobs: list[_Job]) -> Exception | None:
        """All of them or, where it fails, none."""
        connection = self._writing
        assert connection is not None
        if not jobs:
            return None
        known = len(self._lanes)
        try:
            self._apply(connection, jobs)
            self.commits += 1
        except Exception as error:  # noqa: BLE001 each is told: the writer must not end
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for function in list(self._lanes)[known:]:
                del self._lanes[function]
            return error
        return None

    def _merge_log(self) -> None:
        """Give back the room that the log takes."""
        assert self._writing is not None
        with contextlib.suppress(sqlite3.Error):
            self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _apply(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        """In one statement, which is a transaction by itself, where that will do: each lets go of the interpreter, and
        has to wait for it again."""
        for job in jobs:
            if job.function is not None:
                job.row[_LANE] = self._lane(connection, job.function)
        statements = _statements([job.row for job in jobs])
        if len(statements) > 1:
            _begin(connection)
        for rows in statements:
            connection.execute(_insert(len(rows)), list(chain.from_iterable(rows)))
        if connection.in_transaction:
            connection.execute("COMMIT")

    def _lane(self, connection: sqlite3.Connection, function: FunctionName) -> int:
        lane = self._lanes.get(function)
        if lane is None:
            _begin(connection)
            lane = max(self._lanes.values(), default=0) + 1
            connection.execute(_SQL["insert_lane"], (lane, function.account, function.region, function.name))
            self._lanes[function] = lane
        return lane

    # On the event loop again ------------------------------------------------------------------------------------

    def _tell(self, ends: list[_End]) -> None:
        self._is_writing = False
        accepted = sum(job.is_put for jobs, error in ends if error is None for job in jobs)
        self.accepted += accepted
        self._puts_awaited = max(1, min(GATHERED_MAX, accepted + self._puts))
        self._gathers_until_s = self._loop.time() + GATHER_S
        if self._group:
            self._hand_over_in(0 if self._puts >= self._puts_awaited else GATHER_S)
        for jobs, error in ends:
            for job in jobs:
                job.told(error)


def _statements(rows: list[list[_Value]]) -> list[list[list[_Value]]]:
    """The rows of each."""
    groups: list[list[list[_Value]]] = []
    room = 0
    for row in rows:
        if room <= 0 or len(groups[-1]) == JOBS_PER_STATEMENT:
            groups.append([])
            room = BYTES_PER_STATEMENT
        groups[-1].append(row)
        content = row[-1]
        room -= len(content) if isinstance(content, bytes) else 0
    return groups


def _begin(connection: sqlite3.Connection) -> None:
    """A transaction, unless there is one."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")


@functools.cache
def _insert(jobs: int) -> str:
    return "INSERT INTO job VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * jobs)  # noqa: S608


def _split(jobs: list[_Job], what: str) -> tuple[list[_Job], list[_Job]]:
    """Those that do that, and the others."""
    return [job for job in jobs if job.row[0] == what], [job for job in jobs if job.row[0] != what]


def _is_of_the_disk(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _state(event: QueuedEvent) -> bytes:
    """What is kept beside the payload and the answer."""
    ended = None if event.ended is None else replace(event.ended, payload=b"", response=None)
    return _encode(replace(event, payload=b"", ended=ended))


def _scope(function: FunctionName, service: str | None, besides: frozenset[int], now_ms: int) -> dict[str, object]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "service": service,
        "besides": json.dumps(list(besides)),
        "now_ms": now_ms,
    }


def _read_listed(text: str) -> tuple[int, QueuedEvent]:
    event_id, state, payload = text.split(" ")
    return int(event_id), _read(bytes.fromhex(state), bytes.fromhex(payload), None)


def _read(state: bytes, payload: bytes, response: bytes | None) -> QueuedEvent:
    event = _decode(state)
    ended = None if event.ended is None else replace(event.ended, payload=payload, response=response)
    return replace(event, payload=payload, ended=ended)

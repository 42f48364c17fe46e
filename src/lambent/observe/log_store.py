"""Functions' log lines: taken in without waiting, written behind, read back by the CloudWatch Logs API.

`append` only puts lines into a bounded buffer. A flush, 50 ms after the first of them or when 32 KiB have come
together, hands the buffer to the one thread that owns the files and their indexes (`segments`); reading is a job for
the same thread, so nothing here needs a lock. Batches are small because that thread shares the interpreter with the
event loop: encoding 32 KiB holds it for about a tenth of a millisecond.

When the buffer is full, lines are dropped and counted; the same goes for a batch that the disk refuses. What was
written survives the death of the process: it is in the kernel by then (no fsync: logs are not promised beyond that).
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from lambent.clock import Clock
from lambent.core.record import Record
from lambent.observe.segments import (
    MAX_EVENT_CHARS,
    START,
    Boundary,
    GroupFiles,
    GroupMeta,
    Lines,
    LogRecord,
    Selection,
    StoredEvent,
    StreamSpan,
    whole_events,
)

_log = logging.getLogger(__name__)

FLUSH_AFTER_S = 0.05
FLUSH_CHARS = 32 * 1024
_PART_CHARS = 2 * FLUSH_CHARS
_LINE_OVERHEAD = 64
"""What a buffered line takes beside its characters: a tuple, an integer and a string's head."""
PAGE_BYTES = 1024 * 1024
SEARCH_BYTES = 8 * 1024 * 1024
"""How much one call reads before it answers with what it has; CloudWatch Logs, too, may return a page partly filled."""

Result = TypeVar("Result")
GroupKey = tuple[str, str, str]
Appended = tuple[GroupKey, str, Lines, int]
"""What one append brought: the group, the stream, the lines and about how many characters they are."""


class GroupSummary(Record, frozen=True):
    name: str
    created_ms: int
    stored_bytes: int


class Page(Record, frozen=True):
    """Events in the order of reading; `first` and `last` are the boundaries before and behind what was read, and
    `complete` tells that nothing of the selection is left in this direction."""

    events: list[StoredEvent]
    first: Boundary
    last: Boundary
    complete: bool


class UnknownLogGroup(Exception):
    """No line was ever logged to the group."""


class UnknownLogStream(Exception):
    """The group has no such stream."""


class LogStore:
    """The logs of all functions, under one directory. `append`, like everything here, belongs to the event loop."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        retention_bytes: int = 1024**3,
        segment_bytes: int = 8 * 1024**2,
        buffer_chars: int = 16 * 1024**2,
    ) -> None:
        self.dropped_lines = 0
        self._directory = directory
        self._buffer_chars = buffer_chars
        self._files = LogFiles(directory, clock, retention_bytes=retention_bytes, segment_bytes=segment_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lambent-logs")
        self._pending: list[Appended] = []
        self._pending_chars = 0
        self._writing_chars = 0
        self._writing: asyncio.Future[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Begin. What is on disk is looked through behind the scenes, before the thread's first job.

        Raises OSError where the directory can not be made.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        opening = self._loop.run_in_executor(self._thread, self._files.open)
        opening.add_done_callback(lambda done: done.result())

    async def close(self) -> None:
        """Write what is buffered, and end."""
        await self.flush()
        self._loop = None
        await asyncio.to_thread(self._thread.shutdown)

    def append(self, account: str, region: str, group: str, stream: str, lines: Sequence[tuple[int, str]]) -> None:
        """Take lines (milliseconds since the epoch, text without newline) for a stream. Never waits."""
        if not lines:
            return
        chars = _LINE_OVERHEAD * len(lines)
        for _, text in lines:
            chars += len(text)
        if self._pending_chars + self._writing_chars + chars > self._buffer_chars:
            self._drop(len(lines), "the buffer is full")
            return
        self._pending.append(((account, region, group), stream, lines, chars))
        self._pending_chars += chars
        if self._writing is not None:
            return
        if self._pending_chars >= FLUSH_CHARS:
            self._start_writing()
        elif self._timer is None:
            assert self._loop is not None, "the log store is not open"
            self._timer = self._loop.call_later(FLUSH_AFTER_S, self._start_writing)

    async def flush(self) -> None:
        """Return when all that was appended before is written (or, where that failed, dropped and counted)."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        # The end of a batch begins the next one by itself when more has come in between; its callback may still be due.
        if self._writing is None and self._pending:
            self._start_writing()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _start_writing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending or self._writing is not None:
            return
        assert self._loop is not None, "the log store is not open"
        batch, self._pending = self._pending, []
        self._writing_chars, self._pending_chars = self._pending_chars, 0
        self._writing = self._loop.run_in_executor(self._thread, self._files.write, batch)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: "asyncio.Future[int]") -> None:
        self._writing = None
        self._writing_chars = 0
        lost = writing.result()
        if lost:
            self._drop(lost, "the disk refused them")
        if self._pending_chars >= FLUSH_CHARS:
            self._start_writing()
        elif self._pending and self._loop is not None:
            self._timer = self._loop.call_later(FLUSH_AFTER_S, self._start_writing)

    def _drop(self, lines: int, reason: str) -> None:
        if self.dropped_lines == 0:
            _log.warning("log lines are being dropped", extra={"reason": reason})
        self.dropped_lines += lines

    # Reading. Each call first has everything written that was appended before it.

    async def groups(self, account: str, region: str) -> list[GroupSummary]:
        """The groups of an account and region, by name."""
        return await self._read(lambda: self._files.groups(account, region))

    async def streams(self, account: str, region: str, group: str) -> dict[str, StreamSpan]:
        """Raises UnknownLogGroup."""
        return await self._read(lambda: self._files.group((account, region, group)).streams())

    async def search(
        self,
        account: str,
        region: str,
        group: str,
        *,
        streams: Sequence[str] | None = None,
        stream_prefix: str | None = None,
        first_ms: int = 0,
        last_ms: int = 2**63,
        boundary: Boundary | None = None,
        backward: bool = False,
        limit: int = 10_000,
        matches: Callable[[str], bool] | None = None,
    ) -> Page:
        """A page of events from `boundary` on (None: from the beginning, or the end when reading backward).

        Searched are the named streams, or those whose names begin with the prefix, or all.
        Raises UnknownLogGroup, UnknownLogStream.
        """

        def read() -> Page:
            files = self._files.group((account, region, group))
            selection = Selection(_chosen(files, streams, stream_prefix), first_ms, last_ms)
            return _page(files, selection, boundary, backward=backward, limit=limit, matches=matches)

        return await self._read(read)

    async def _read(self, job: Callable[[], Result]) -> Result:
        await self.flush()
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)


def _chosen(files: GroupFiles, names: Sequence[str] | None, prefix: str | None) -> frozenset[str] | None:
    if names is not None:
        missing = files.missing(names)
        if missing:
            raise UnknownLogStream(min(missing))
        return frozenset(names)
    if prefix is not None:
        return frozenset(stream for stream in files.streams() if stream.startswith(prefix))
    return None


def _page(
    files: GroupFiles,
    selection: Selection,
    boundary: Boundary | None,
    *,
    backward: bool,
    limit: int,
    matches: Callable[[str], bool] | None,
) -> Page:
    begin = boundary or (files.end() if backward else START)
    blocks = files.backward(begin, selection) if backward else files.forward(begin, selection)
    events: list[StoredEvent] = []
    size = searched = 0
    reached = begin
    for block in blocks:
        for event in block.events:
            if matches is not None and not matches(event.text):
                continue
            size += len(event.text.encode()) + 1
            if len(events) == limit or (events and size > PAGE_BYTES):
                return Page(events, begin, reached, complete=False)
            events.append(event)
            reached = event.at if backward else event.after
        reached = block.boundary
        searched += block.length
        if searched >= SEARCH_BYTES:
            return Page(events, begin, reached, complete=False)
    return Page(events, begin, reached, complete=True)


class LogFiles:
    """The directories of all groups. Lives in the store's thread; all its methods read or write files."""

    def __init__(self, directory: Path, clock: Clock, *, retention_bytes: int, segment_bytes: int) -> None:
        self._directory = directory
        self._clock = clock
        self._retention_bytes = retention_bytes
        self._segment_bytes = segment_bytes
        self._groups: dict[GroupKey, GroupFiles] = {}
        self._size = 0

    def open(self) -> None:
        for directory in self._directory.glob("*/*/*"):
            files = GroupFiles.open(directory, self._segment_bytes)
            if files is not None:
                self._groups[files.meta.account, files.meta.region, files.meta.name] = files
                self._size += files.size

    def write(self, batch: Sequence[Appended]) -> int:
        """Write a batch and tell how many lines were lost on the way. What is for one group goes in one write."""
        lost = 0
        for part in _parts(batch):
            now_ms = self._clock.wall_ms()
            by_group: dict[GroupKey, list[LogRecord]] = {}
            for key, stream, lines, chars in part:
                kept = whole_events(lines) if chars > MAX_EVENT_CHARS else lines
                by_group.setdefault(key, []).append((stream, now_ms, kept))
            for key, records in by_group.items():
                try:
                    self._write_group(key, records, now_ms)
                except OSError as error:
                    _log.warning("log lines could not be written", extra={"error": str(error)})
                    lost += sum(len(lines) for _, _, lines in records)
        self._keep_within_bounds()
        return lost

    def _write_group(self, key: GroupKey, records: Sequence[LogRecord], now_ms: int) -> None:
        files = self._groups.get(key)
        if files is None:
            account, region, name = key
            files = GroupFiles.create(
                self._directory / directory_of(key), GroupMeta(account, region, name, now_ms), self._segment_bytes
            )
            self._groups[key] = files
        before = files.size
        files.append(records, now_ms)
        self._size += files.size - before

    def _keep_within_bounds(self) -> None:
        """Drop whole segments, the oldest of the group that holds most: a flood costs its own function its logs."""
        if self._size <= self._retention_bytes:
            return
        self._size = sum(files.size for files in self._groups.values())
        while self._size > self._retention_bytes:
            largest = max(self._groups.values(), key=lambda files: files.size)
            self._size -= largest.drop_oldest()

    def groups(self, account: str, region: str) -> list[GroupSummary]:
        return sorted(
            (
                GroupSummary(files.meta.name, files.meta.created_ms, files.size)
                for key, files in self._groups.items()
                if key[:2] == (account, region)
            ),
            key=lambda group: group.name,
        )

    def group(self, key: GroupKey) -> GroupFiles:
        try:
            return self._groups[key]
        except KeyError:
            raise UnknownLogGroup(key[2]) from None


def _parts(batch: Sequence[Appended]) -> list[Sequence[Appended]]:
    """A batch in runs that are each encoded in one go, so that a backlog does not hold the interpreter for long."""
    parts: list[Sequence[Appended]] = []
    begin = total = 0
    for position, (_, _, _, chars) in enumerate(batch):
        total += chars
        if total >= _PART_CHARS:
            parts.append(batch[begin : position + 1])
            begin, total = position + 1, 0
    if begin < len(batch):
        parts.append(batch[begin:])
    return parts


def directory_of(key: GroupKey) -> Path:
    """Where a group's files are. Names may have slashes and 512 characters, so the directory has a readable beginning
    and a digest of the whole; the name itself is in `group.json`."""
    account, region, name = key
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:80]
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    return Path(_safe(account), _safe(region), f"{readable}-{digest}")


def _safe(part: str) -> str:
    return quote(part, safe="").replace(".", "%2E") or "%"

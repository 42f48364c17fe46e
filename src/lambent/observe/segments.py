"""The files of one log group: append-only segments of JSON lines, and the index that is built behind them.

A segment `<number>.log` holds records, one a line: `["stream", ingestion_ms, [[timestamp_ms, "text"], ...]]`. A record
is what one append brought, so a stream's name is written once for several events. Numbers only grow (they are the
wall clock's milliseconds at creation, made to ascend) and are never used twice.

The index of a segment tells, for blocks of about 64 KiB, which streams and times are in them, so that a search reads
only what may match. It lives in memory for the segment that is written to, and is left in `<number>.idx` when the next
one begins. Index files are a convenience: one that is missing or unreadable is built again from the segment. A last
line that was cut short by a crash is taken off before anything is appended behind it.

Nothing here knows threads or asyncio: `log_store` calls it from the one thread that owns the files.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from lambent.core.record import Record

BLOCK_BYTES = 64 * 1024
MAX_EVENT_CHARS = 256 * 1024 - 26
"""CloudWatch Logs counts 26 bytes beside an event's text towards its size. Lambda does not drop what is longer: the
line goes on in further events, each but the last of this length."""

Lines = Sequence[tuple[int, str]]
LogRecord = tuple[str, int, Lines]
Boundary = tuple[int, int, int]
"""A place between two events: segment number, byte offset of a record, and how many of its events lie before."""

START: Boundary = (0, 0, 0)


class Block(msgspec.Struct, array_like=True):
    """A run of records that is read as one; `first_ms` and `last_ms` bound the timestamps in it. Streams are told by
    their numbers in the segment, which are shorter than their names."""

    offset: int
    length: int
    first_ms: int
    last_ms: int
    streams: set[int]


class StreamSpan(msgspec.Struct, array_like=True):
    """What is known of a stream: its number in its segment, when it appeared, its first and last event, its last
    ingestion."""

    number: int
    created_ms: int
    first_ms: int
    last_ms: int
    ingested_ms: int

    def widen(self, other: "StreamSpan") -> None:
        self.created_ms = min(self.created_ms, other.created_ms)
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)
        self.ingested_ms = max(self.ingested_ms, other.ingested_ms)


class SegmentIndex(msgspec.Struct):
    blocks: list[Block]
    streams: dict[str, StreamSpan]

    def blocks_of(self, selection: "Selection") -> list[Block]:
        """The blocks that may hold something of the selection."""
        blocks = self.blocks
        if selection.streams is not None:
            numbers = {self.streams[stream].number for stream in selection.streams & self.streams.keys()}
            blocks = [block for block in blocks if not numbers.isdisjoint(block.streams)]
        return [
            block for block in blocks if block.last_ms >= selection.first_ms and block.first_ms <= selection.last_ms
        ]

    def times(self) -> tuple[int, int]:
        """The earliest and the latest timestamp."""
        first = min((block.first_ms for block in self.blocks), default=0)
        return first, max((block.last_ms for block in self.blocks), default=0)

    def add(self, offset: int, length: int, records: Sequence[LogRecord]) -> None:
        """Take in records that were written together at `offset`."""
        if self.blocks and self.blocks[-1].length + length <= BLOCK_BYTES:
            block = self.blocks[-1]
        else:
            first = records[0][2][0][0]
            block = Block(offset, 0, first, first, set())
            self.blocks.append(block)
        # A damaged record may lie between this one and the last; the block spans it.
        block.length = offset + length - block.offset
        for stream, ingested_ms, lines in records:
            first = last = lines[0][0]
            for stamp, _ in lines:  # faster than min() and max(), and this runs beside the event loop
                if stamp > last:
                    last = stamp
                elif stamp < first:
                    first = stamp
            span = self.streams.get(stream)
            if span is None:
                span = self.streams[stream] = StreamSpan(len(self.streams), ingested_ms, first, last, ingested_ms)
            elif first < span.first_ms:
                span.first_ms = first
            if last > span.last_ms:
                span.last_ms = last
            if ingested_ms > span.ingested_ms:
                span.ingested_ms = ingested_ms
            if first < block.first_ms:
                block.first_ms = first
            if last > block.last_ms:
                block.last_ms = last
            block.streams.add(span.number)


class StoredEvent(Record, frozen=True):
    at: Boundary
    """The boundary before the event: unique and stable, so it also names the event."""
    stream: str
    timestamp_ms: int
    ingestion_ms: int
    text: str

    @property
    def after(self) -> Boundary:
        return (self.at[0], self.at[1], self.at[2] + 1)


class Selection(Record, frozen=True):
    """Which events a search asks for: of these streams (None: of all), from `first_ms` to `last_ms`, both included."""

    streams: frozenset[str] | None = None
    first_ms: int = 0
    last_ms: int = 2**63


class BlockRead(Record, frozen=True):
    """What a block holds of a selection, in the order of reading. `boundary` lies behind the block in that order."""

    events: list[StoredEvent]
    boundary: Boundary
    length: int


_ENCODER = msgspec.json.Encoder()
_RECORD = msgspec.json.Decoder(tuple[str, int, list[tuple[int, str]]])
_INDEX = msgspec.msgpack.Decoder(SegmentIndex)
_PACK = msgspec.msgpack.Encoder()


def whole_events(lines: Lines) -> Lines:
    """The lines with those that are too long for one event cut into several."""
    return tuple(
        (stamp, text[start : start + MAX_EVENT_CHARS])
        for stamp, text in lines
        for start in range(0, max(1, len(text)), MAX_EVENT_CHARS)
    )


def encode(records: Sequence[LogRecord]) -> bytes:
    try:
        return _ENCODER.encode_lines(records)
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form. It is rare enough to look for only when it has shown.
        clean = [
            (stream, ingested_ms, [(stamp, text.encode("utf-8", "replace").decode()) for stamp, text in lines])
            for stream, ingested_ms, lines in records
        ]
        return _ENCODER.encode_lines(clean)


def _decode(data: bytes, base: int) -> Iterator[tuple[int, int, tuple[str, int, list[tuple[int, str]]]]]:
    """Offset, length and content of each readable record; a damaged line is passed over."""
    offset = base
    for line in data.splitlines(keepends=True):
        record = None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            record = _RECORD.decode(line)
        if record is not None:
            yield offset, len(line), record
        offset += len(line)


class Segment:
    """One file of records. Only the last segment of a group is appended to."""

    def __init__(self, directory: Path, number: int, size: int) -> None:
        self.number = number
        self.size = size
        self.path = directory / f"{number:013d}.log"
        self._index: SegmentIndex | None = SegmentIndex([], {}) if size == 0 else None
        self._sealed_times: tuple[int, int] | None = None

    @property
    def _index_path(self) -> Path:
        return self.path.with_suffix(".idx")

    def index(self, *, sealed: bool) -> SegmentIndex:
        """The segment's index. That of a sealed segment is read when it is needed, and not kept."""
        if self._index is not None:
            return self._index
        if not sealed:
            self._index = self._scan()
            return self._index
        try:
            index = _INDEX.decode(self._index_path.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            index = self._scan()
            self._leave_index(index)
        self._sealed_times = index.times()
        return index

    def is_known_to_lack(self, selection: "Selection") -> bool:
        """Whether a sealed segment, whose index was read before, has nothing of the time that is asked for."""
        if self._sealed_times is None:
            return False
        return self._sealed_times[1] < selection.first_ms or self._sealed_times[0] > selection.last_ms

    def seal(self) -> None:
        index = self.index(sealed=False)
        self._leave_index(index)
        self._sealed_times = index.times()
        self._index = None

    def _leave_index(self, index: SegmentIndex) -> None:
        temporary = self._index_path.with_suffix(".new")
        temporary.write_bytes(_PACK.encode(index))
        temporary.replace(self._index_path)

    def _scan(self) -> SegmentIndex:
        """Build the index from the file, without the line that a crash cut short."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        self.size = whole
        index = SegmentIndex([], {})
        for offset, length, record in _decode(data[:whole], 0):
            if record[2]:
                index.add(offset, length, [record])
        return index

    def append(self, records: Sequence[LogRecord]) -> None:
        """Write the records with one write(2). Raises OSError; the file is then as it was before."""
        index = self.index(sealed=False)
        data = encode(records)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                self._index = None  # should the torn line stay, the next use scans the file and takes it off
                os.ftruncate(descriptor, self.size)
                self._index = index
                raise OSError(f"the disk took only a part of a batch of log lines for {self.path}")
        finally:
            os.close(descriptor)
        index.add(self.size, len(data), records)
        self.size += len(data)

    def read(self, block: Block, selection: Selection) -> list[StoredEvent]:
        with self.path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), block.length, block.offset)
        streams, first_ms, last_ms = selection.streams, selection.first_ms, selection.last_ms
        return [
            StoredEvent((self.number, offset, position), stream, stamp, ingested_ms, text)
            for offset, _, (stream, ingested_ms, lines) in _decode(data, block.offset)
            if streams is None or stream in streams
            for position, (stamp, text) in enumerate(lines)
            if first_ms <= stamp <= last_ms
        ]

    def remove(self) -> None:
        self._index_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class GroupMeta(msgspec.Struct, frozen=True):
    """`group.json`: whose group a directory is; its name can not be read back from the directory's."""

    account: str
    region: str
    name: str
    created_ms: int


class GroupFiles:
    """The segments of one log group, in one directory."""

    def __init__(self, directory: Path, meta: GroupMeta, segments: list[Segment], segment_bytes: int) -> None:
        self.directory = directory
        self.meta = meta
        self._segments = segments
        self._segment_bytes = segment_bytes
        self._last_number = segments[-1].number if segments else 0

    @classmethod
    def create(cls, directory: Path, meta: GroupMeta, segment_bytes: int) -> "GroupFiles":
        directory.mkdir(parents=True, exist_ok=True)
        temporary = directory / "group.json.new"
        temporary.write_bytes(_ENCODER.encode(meta))
        temporary.replace(directory / "group.json")
        return cls(directory, meta, [], segment_bytes)

    @classmethod
    def open(cls, directory: Path, segment_bytes: int) -> "GroupFiles | None":
        """The group in a directory; None where a crash left one without its `group.json`: it never had a line."""
        try:
            meta = msgspec.json.decode((directory / "group.json").read_bytes(), type=GroupMeta)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        found = sorted((path for path in directory.iterdir() if path.suffix == ".log"), key=lambda path: path.name)
        segments = [Segment(directory, int(path.stem), path.stat().st_size) for path in found]
        return cls(directory, meta, segments, segment_bytes)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self._segments)

    def append(self, records: Sequence[LogRecord], now_ms: int) -> None:
        if self._segments and self._segments[-1].size >= self._segment_bytes:
            self._segments[-1].seal()
            self._begin_segment(now_ms)
        elif not self._segments:
            self._begin_segment(now_ms)
        self._segments[-1].append(records)

    def _begin_segment(self, now_ms: int) -> None:
        self._last_number = max(now_ms, self._last_number + 1)
        self._segments.append(Segment(self.directory, self._last_number, 0))

    def drop_oldest(self) -> int:
        """Remove the oldest segment and tell its size."""
        oldest = self._segments.pop(0)
        oldest.remove()
        return oldest.size

    def streams(self) -> dict[str, StreamSpan]:
        found: dict[str, StreamSpan] = {}
        for segment in self._segments:
            for stream, span in self._index(segment).streams.items():
                known = found.get(stream)
                if known is None:
                    found[stream] = msgspec.structs.replace(span)
                else:
                    known.widen(span)
        return found

    def missing(self, names: Sequence[str]) -> set[str]:
        """Which of the named streams there are not."""
        wanted = set(names)
        for segment in reversed(self._segments):
            if not wanted:
                break
            wanted -= self._index(segment).streams.keys()
        return wanted

    def end(self) -> Boundary:
        if not self._segments:
            return START
        self._index(self._segments[-1])
        return (self._segments[-1].number, self._segments[-1].size, 0)

    def forward(self, boundary: Boundary, selection: Selection) -> Iterator[BlockRead]:
        """The selection from `boundary` on, oldest first, a block at a time."""
        for segment in self._segments:
            if segment.number < boundary[0] or segment.is_known_to_lack(selection):
                continue
            for block in self._index(segment).blocks_of(selection):
                behind = (segment.number, block.offset + block.length, 0)
                if behind <= boundary:
                    continue
                events = [event for event in segment.read(block, selection) if event.at >= boundary]
                yield BlockRead(events, behind, block.length)

    def backward(self, boundary: Boundary, selection: Selection) -> Iterator[BlockRead]:
        """The selection before `boundary`, newest first, a block at a time."""
        for segment in reversed(self._segments):
            if segment.number > boundary[0] or segment.is_known_to_lack(selection):
                continue
            for block in reversed(self._index(segment).blocks_of(selection)):
                before = (segment.number, block.offset, 0)
                if before >= boundary:
                    continue
                events = [event for event in reversed(segment.read(block, selection)) if event.at < boundary]
                yield BlockRead(events, before, block.length)

    def _index(self, segment: Segment) -> SegmentIndex:
        return segment.index(sealed=segment is not self._segments[-1])

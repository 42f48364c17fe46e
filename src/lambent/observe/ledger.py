"""The ledger: the beginning and the end of every attempt, appended to a file as it is handed out and when it is over.

One entry is one line of JSON. Those of one turn of the event loop are one write(2), on the loop's thread at the end of
the turn: it takes a few microseconds, off the way of the event, and before an answer to it can be taken. What was
written survives the death of the process (not of the machine: no fsync). An attempt with a beginning and no end was
under way when the process died. Files are named by a number that only grows, and a new one begins when the last is
full; pricing, queries and retention read them and are no business of this module.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

_log = logging.getLogger(__name__)


class Began(msgspec.Struct, frozen=True, tag_field="entry", tag="began"):
    """An attempt begins. A struct, not a dataclass: this is made and written on the way of each invocation."""

    request_id: str
    account: str
    region: str
    function: str
    version: str
    memory_mib: int
    architecture: str
    wall_ms: int


class Ended(msgspec.Struct, frozen=True, tag_field="entry", tag="ended"):
    """An attempt is over. Durations are raw, in microseconds; `init_us` and `restore_us` are None where no init or
    restore phase was paid for."""

    request_id: str
    init_us: int | None
    duration_us: int
    outcome: str
    wall_ms: int
    max_memory_mib: int
    restore_us: int | None = None


Entry = Began | Ended

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Began | Ended)


class Ledger:
    """The ledger files of one directory, written by one process.

    A write that fails (a full disk) does not fail the invocation: the entry is counted in `lost_entries`.
    """

    def __init__(self, directory: Path, *, file_bytes: int = 64 * 1024**2) -> None:
        """Open the last file, or begin the first. Raises OSError."""
        self.lost_entries = 0
        self._lines: list[bytes] = []
        self._directory = directory
        self._file_bytes = file_bytes
        directory.mkdir(parents=True, exist_ok=True)
        existing = _files(directory)
        self._number = int(existing[-1].stem) if existing else 1
        self._descriptor = self._open()

    def _open(self) -> int:
        path = self._directory / f"{self._number:010d}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(descriptor).st_size
        # Behind a line that was cut short the next entry begins a line of its own; readers pass over the torn one.
        self._torn = self._size > 0 and os.pread(descriptor, 1, self._size - 1) != b"\n"
        return descriptor

    def append(self, entry: Entry) -> bool:
        """Take an entry. True for the first since the last `flush`, which must follow in the same turn of the loop."""
        self._lines.append(_ENCODER.encode(entry))
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write what was taken. It fails nobody."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        if self._torn:
            data = b"\n" + data
        try:
            if self._size + len(data) > self._file_bytes and self._size > 0:
                self._rotate()
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._lose(len(lines), str(error))
            return
        self._size += written
        self._torn = written != len(data)
        if self._torn:
            self._lose(data.count(b"\n", written), "the disk took only a part of them")

    def close(self) -> None:
        self.flush()
        os.close(self._descriptor)

    def _rotate(self) -> None:
        full, number = self._descriptor, self._number
        self._number += 1
        try:
            self._descriptor = self._open()
        except OSError:
            self._number = number
            raise
        os.close(full)

    def _lose(self, entries: int, reason: str) -> None:
        if self.lost_entries == 0:
            _log.error("ledger entries are being lost", extra={"reason": reason})
        self.lost_entries += entries


def entries(directory: Path) -> Iterator[Entry]:
    """All entries, oldest first; lines that a crash cut short are passed over."""
    for path in _files(directory):
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = _DECODER.decode(line)
                except msgspec.DecodeError:
                    continue
                yield entry


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.jsonl"))

"""What a function's processes write to their standard output and error, as lines of its log.

One pipe keeps the order. A line is what ends in a newline; one that is longer than AWS's limit for a log event is
cut in pieces, and the end of an invocation ends its last line. Reading is bounded per call, so that a function which
floods its output slows itself down, not us.
"""

import os
import select
from collections.abc import Callable

from lambent.core.limits import LOG_EVENT_BYTES

READ_BYTES = 65_536


class Output:
    """The read end of the pipe. `on_line` gets each line without its newline."""

    def __init__(self, descriptor: int, on_line: Callable[[str], None]) -> None:
        self.descriptor = descriptor
        self._on_line = on_line
        self._rest = b""
        self._readable = select.poll()
        self._readable.register(descriptor, select.POLLIN)

    def read(self) -> bool:
        """Take what is there, up to a bound. Returns False when there was nothing."""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(self._rest) >= LOG_EVENT_BYTES:
            self._emit(self._rest[:LOG_EVENT_BYTES])
            self._rest = self._rest[LOG_EVENT_BYTES:]
        return True

    def drain(self, most_bytes: int) -> None:
        """Take what was written before now, up to a bound."""
        while most_bytes > 0 and self._readable.poll(0) and self.read():
            most_bytes -= READ_BYTES

    def end_line(self) -> None:
        """What was written without a newline is a line now: what comes next belongs to somebody else."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def close(self) -> None:
        self.end_line()
        os.close(self.descriptor)

    def _emit(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), LOG_EVENT_BYTES):
            self._on_line(line[start : start + LOG_EVENT_BYTES].decode("utf-8", "replace"))

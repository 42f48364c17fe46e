"""The log of one environment: the platform's lines and the function's own, in the order in which they came."""

import re
from collections import deque
from collections.abc import Callable, Sequence

from lambent.core.limits import LOG_TAIL_BYTES
from lambent.core.log_lines import LogLines as PlatformLines
from lambent.worker import messages


class EnvironmentLog:
    """Gathers lines until they are sent. `platform` makes the platform's lines; whoever adds them says when."""

    def __init__(self, spec: messages.EnvironmentSpec, emit: Callable[[messages.Event], None]) -> None:
        self.platform = PlatformLines(
            function_name=spec.function_name,
            version=spec.version,
            memory_mib=spec.memory_mib,
            runtime=_runtime_version(spec.runtime),
            runtime_arn=spec.runtime_version_arn,
            initialization_type=spec.initialization_type,
            json_format=spec.log_format != "Text",
            level=spec.system_log_level or "INFO",
            tenant_id=spec.tenant_id,
        )
        self.keeps_tail = False
        """Somebody wants the end of the log of the invocation in flight."""
        self._spec = spec
        self._emit = emit
        self._lines: list[tuple[int, str]] = []
        self._tail: deque[str] = deque()
        self._tail_bytes = 0

    def begin(self, wall_ms: int, request_id: str) -> None:
        """The invocation begins, with its START: the first line of the tail."""
        self._tail.clear()
        self._tail_bytes = 0
        self.add(wall_ms, self.platform.start(wall_ms, request_id))

    def add(self, wall_ms: int, lines: Sequence[str]) -> None:
        """Lines of the invocation in flight, or of none."""
        self.add_past(wall_ms, lines)
        if not self.keeps_tail:
            return
        for line in lines:
            self._tail.append(line)
            self._tail_bytes += len(line)
            while self._tail_bytes - len(self._tail[0]) > LOG_TAIL_BYTES:
                self._tail_bytes -= len(self._tail.popleft())

    def add_past(self, wall_ms: int, lines: Sequence[str]) -> None:
        """Lines of an invocation that is over, while the next may be in flight."""
        for line in lines:
            self._lines.append((wall_ms, line))

    def take_tail(self) -> bytes:
        """The end of the log since the tail was kept; it is kept no longer."""
        tail = "".join(line + "\n" for line in self._tail).encode()[-LOG_TAIL_BYTES:]
        self._tail.clear()
        self._tail_bytes = 0
        self.keeps_tail = False
        return tail

    def send(self) -> None:
        if self._lines:
            spec = self._spec
            lines, self._lines = tuple(self._lines), []
            self._emit(messages.LogLines(spec.account, spec.region, spec.log_group, spec.log_stream, lines))


_RUNTIME = re.compile(r"([a-z]+?)(al\d+|\d[\w.]*?)(?:\.x)?")


def _runtime_version(runtime: str) -> str:
    """`python3.13` as the log tells it: `python:3.13`; and `provided.al2023`: `provided:al2023`."""
    named = _RUNTIME.fullmatch(runtime.replace("provided.", "provided"))
    return f"{named[1]}:{named[2]}" if named else runtime

"""The two clocks: a monotonic one for durations, the wall clock for display. Handed to whoever needs time."""

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic_us(self) -> int:
        """Microseconds of a clock that never steps back; only differences have a meaning."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""


class SystemClock:
    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

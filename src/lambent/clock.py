"""The two clocks: a monotonic one for durations, the wall clock for display. Handed to whoever needs time, as timers
are to who wants to be called later."""

import time
from collections.abc import Callable
from typing import Any, Protocol


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


class Timer(Protocol):
    def cancel(self) -> object: ...


class Timers(Protocol):
    """The part of an event loop that calls back; time that is simulated has it, too."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Timer: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """`delay` is in seconds."""

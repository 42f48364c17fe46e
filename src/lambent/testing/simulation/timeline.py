"""Simulated time: nothing happens but what is due next."""

import heapq
from collections.abc import Callable
from typing import Any


class Timer:
    """A call that is due. It may be cancelled."""

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None
        self.args = ()


class Timeline:
    """A `Clock`, and `Timers`. What is due at one time happens in the order in which it was asked for."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self.now_us = 0
        self._wall_ms = wall_ms
        self._heap: list[tuple[int, int, Timer]] = []
        self._asked = 0

    def monotonic_us(self) -> int:
        return self.now_us

    def wall_ms(self) -> int:
        return self._wall_ms + self.now_us // 1000

    def step_wall(self, by_ms: int) -> None:
        """The wall clock is set: forth, or back."""
        self._wall_ms += by_ms

    def call_at(self, at_us: int, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(callback, args)
        self._asked += 1
        heapq.heappush(self._heap, (max(at_us, self.now_us), self._asked, timer))
        return timer

    def call_in(self, delay_us: int, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self.now_us + delay_us, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_in(round(delay * 1_000_000), callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self.now_us, callback, *args)

    def advance(self) -> bool:
        """Have the next thing happen. False when nothing is to come."""
        while self._heap:
            at_us, _, timer = heapq.heappop(self._heap)
            if timer.callback is not None:
                self.now_us = at_us
                timer.callback(*timer.args)
                return True
        return False

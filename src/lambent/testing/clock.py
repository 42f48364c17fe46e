"""A clock that a test moves."""


class ManualClock:
    def __init__(self, wall_ms: int = 1_700_000_000_123) -> None:
        self._monotonic_us = 0
        self._wall_ms = wall_ms

    def advance_ms(self, milliseconds: int) -> None:
        self._monotonic_us += milliseconds * 1000
        self._wall_ms += milliseconds

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def wall_ms(self) -> int:
        return self._wall_ms

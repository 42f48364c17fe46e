"""Runtimes that are ready when a test says so."""

import asyncio
from collections import Counter

from lambent.worker.runtimes.launch import RuntimeUnavailable


class FakeRuntimes:
    """Every runtime is prepared at once, but those in `unavailable`; while `gate` is clear, everybody waits."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.unavailable: dict[str, str] = {}
        self.prepared: Counter[str] = Counter()
        self.preparing = 0
        self.most_preparing = 0

    async def prepare(self, runtime: str) -> None:
        self.preparing += 1
        self.most_preparing = max(self.most_preparing, self.preparing)
        try:
            await self.gate.wait()
        finally:
            self.preparing -= 1
        if runtime in self.unavailable:
            raise RuntimeUnavailable(self.unavailable[runtime])
        self.prepared[runtime] += 1

"""CloudWatch Logs as a test sees it: a door for clients, and a way to put lines behind it."""

import asyncio
import threading
from dataclasses import dataclass

from lambent.observe.log_store import LogStore
from lambent.testing.front_door import ACCOUNT, REGION, OpenFrontDoor


@dataclass(frozen=True, slots=True)
class LogsService:
    door: OpenFrontDoor
    store: LogStore
    loop: asyncio.AbstractEventLoop

    def put(self, group: str, stream: str, *lines: tuple[int, str]) -> None:
        """Append lines on the loop that owns the store."""
        done = threading.Event()

        def append() -> None:
            self.store.append(ACCOUNT, REGION, group, stream, lines)
            done.set()

        self.loop.call_soon_threadsafe(append)
        assert done.wait(10)

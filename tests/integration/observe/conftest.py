"""CloudWatch Logs on a real port, over a store that the test can put lines into."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from logs_service import LogsService

from lambent.clock import SystemClock
from lambent.observe.log_store import LogStore
from lambent.observe.operations import operations
from lambent.testing.front_door import Handlers, front_door


@pytest.fixture
def logs() -> Iterator[LogsService]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as directory:
        opened: list[tuple[LogStore, asyncio.AbstractEventLoop]] = []

        @asynccontextmanager
        async def handlers() -> AsyncIterator[Handlers]:
            store = LogStore(Path(directory) / "logs", SystemClock())
            await store.open()
            opened.append((store, asyncio.get_running_loop()))
            yield {("logs", name): handler for name, handler in operations(store).items()}
            await store.close()

        with front_door(handlers) as door:
            ((store, loop),) = opened
            yield LogsService(door, store, loop)

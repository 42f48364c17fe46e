"""A directory on a real disk for each test, and scenarios over a store that is opened there."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from logs_under_test import FixedClock, Logs

from lambent.observe.log_store import LogStore


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as path:
        yield Path(path) / "logs"


Scenario = Callable[[Logs], Awaitable[None]]


@pytest.fixture
def with_logs(directory: Path) -> Callable[..., None]:
    """Runs a scenario over a store on the test's directory; each call opens and closes one."""

    def run(scenario: Scenario, clock: FixedClock | None = None, **bounds: int) -> None:
        async def main() -> None:
            store = LogStore(directory, clock or FixedClock(), **bounds)
            await store.open()
            try:
                await scenario(Logs(store))
            finally:
                await store.close()

        asyncio.run(main())

    return run

"""The IAM and STS operations over a real store on disk, called as the server would call them."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from iam_under_test import Iam

from lambent.clock import SystemClock
from lambent.identity.operations import iam_operations
from lambent.identity.roles import Roles
from lambent.store.metadata import MetadataStore


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as path:
        yield Path(path)


@pytest.fixture
def with_iam(directory: Path) -> Callable[[Callable[[Iam], Awaitable[None]]], None]:
    """Runs a scenario over the test's store; each call opens and closes it."""

    def run(scenario: Callable[[Iam], Awaitable[None]]) -> None:
        async def main() -> None:
            store = MetadataStore(directory / "metadata.db")
            await store.open()
            try:
                await scenario(Iam(iam_operations(Roles(store, SystemClock()))))
            finally:
                await store.close()

        asyncio.run(main())

    return run

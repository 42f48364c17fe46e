"""IAM and STS on a real port, over a real metadata store."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambent.clock import SystemClock
from lambent.identity.operations import iam_operations, sts_operations
from lambent.identity.roles import Roles
from lambent.store.metadata import MetadataStore
from lambent.testing.front_door import Handlers, OpenFrontDoor, front_door


@pytest.fixture
def door() -> Iterator[OpenFrontDoor]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as directory:

        @asynccontextmanager
        async def handlers() -> AsyncIterator[Handlers]:
            store = MetadataStore(Path(directory) / "metadata.db")
            await store.open()
            yield {
                **{("iam", name): handler for name, handler in iam_operations(Roles(store, SystemClock())).items()},
                **{("sts", name): handler for name, handler in sts_operations().items()},
            }
            await store.close()

        with front_door(handlers) as opened:
            yield opened

"""The runtimes of this machine, as the tests beside this file use them."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runtime_conversation import Machine

from lambent.settings import Settings
from lambent.worker.runtimes.catalog import Runtimes, RuntimeUnavailable


@pytest.fixture(scope="session")
def runtimes() -> Runtimes:
    """Of this machine, with the cache that servers use: making kits takes longer than all these tests."""
    return Runtimes(Settings().runtimes_dir)


@pytest.fixture(scope="session")
def functions_directory() -> Iterator[Path]:
    directory = tempfile.mkdtemp(prefix="lambent-runtimes-", dir="/var/tmp")
    yield Path(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def prepared(runtimes: Runtimes, functions_directory: Path) -> Callable[[str], Machine]:
    """Gives a machine that has the runtime, or skips the test with the reason."""

    def prepare(runtime: str) -> Machine:
        try:
            asyncio.run(runtimes.prepare(runtime))
        except RuntimeUnavailable as error:
            pytest.skip(str(error))
        return Machine(runtimes, functions_directory)

    return prepare

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def disk() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="lambent-test-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory)

"""A server of these tests' own: each leaves nothing on it, so what is there is what the test at hand has made."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def server(new_server: Any) -> Iterator[Any]:
    with new_server() as running:
        yield running

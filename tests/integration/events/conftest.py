"""A server of these tests' own, with which retries need not be waited for a minute."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def server(new_server: Any) -> Iterator[Any]:
    with new_server("--event-retry-delay-s", "1") as running:
        yield running

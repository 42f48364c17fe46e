"""Servers of these tests' own: each leaves nothing on them, so what is there is what the test at hand has made. Every
test has its environments of sandboxes that were booted ahead, and of such as are booted when they are needed."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", params=[(), ("--preboot-memory-mib", "0")], ids=["booted ahead", "booted on demand"])
def server(new_server: Any, request: Any) -> Iterator[Any]:
    with new_server(*request.param) as running:
        yield running

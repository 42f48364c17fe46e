"""Servers of these tests' own: each leaves nothing on them, so what is there is what the test at hand has made. Every
test has its environments of sandboxes that were booted ahead, and of such as are booted when they are needed."""

from collections.abc import Iterator
from typing import Any

import pytest
from live_functions import BOOTING


@pytest.fixture(scope="session", params=BOOTING.values(), ids=BOOTING)
def server(new_server: Any, request: Any) -> Iterator[Any]:
    with new_server(*request.param) as running:
        yield running

"""The arena, opened once for each place in each test process."""

from collections.abc import Iterator

import pytest
from arena import PLACES, Arena, open_arena


@pytest.fixture(scope="session", params=PLACES)
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    with open_arena(request.param) as opened:
        yield opened

"""What the tests of the Lambda API's resources have in common."""

from typing import Any

import pytest
from lambda_api import clients


@pytest.fixture(scope="module")
def api(server: Any) -> Any:
    """A client of the shared server that leaves all validation to it."""
    return clients(server)

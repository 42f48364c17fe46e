"""What the acceptance tests share: they leave the server that all tests use as they found it."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def clean_server(server: Any) -> Iterator[Any]:
    """The server that tests share; the functions of the account that the commands use are deleted after the test."""
    yield server
    client = server.client("lambda", account="test")
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            client.delete_function(FunctionName=function["FunctionName"])

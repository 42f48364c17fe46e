"""Functions for the tests of the whole, on the server that they share."""

from collections.abc import Iterator
from typing import Any

import pytest
from aws_services import AwsServices, aws_services, sqs_server
from live_functions import Functions, assert_nothing_left, leftovers


@pytest.fixture
def functions(server: Any) -> Iterator[Functions]:
    """Functions of one test. When it is over they are deleted, and nothing of them is left on the machine."""
    before = leftovers(server.data_dir)
    made = Functions(server.client("lambda"))
    yield made
    made.delete_all()
    assert_nothing_left(server.data_dir, before)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServices]:
    with aws_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServices]:
    with sqs_server(tmp_path_factory.mktemp("queues")) as running:
        yield running

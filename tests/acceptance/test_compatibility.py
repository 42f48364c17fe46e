"""docs/compatibility.md says of every operation and runtime what the code does."""

import re

import botocore
import compatibility
import pytest


def test_the_page_lists_exactly_the_operations_that_are_answered() -> None:
    listed = re.findall(r"^\| `(\w+)` \| answered \|$", compatibility.PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name for _, name in compatibility.registered())


def test_the_page_is_what_its_writer_would_write() -> None:
    page = compatibility.PAGE.read_text()
    if f"botocore {botocore.__version__}." not in page:
        pytest.skip("the page was written from another version of the service models, which may have fewer operations")
    assert page == compatibility.written(page), "run .venv/bin/python tests/acceptance/compatibility.py"


def test_an_operation_that_no_service_model_has_is_noticed() -> None:
    with pytest.raises(ValueError, match="InvokeTwice"):
        compatibility.table({("lambda", "InvokeTwice")})

"""The isolation drivers that the tests of sandboxes run under, each skipped with the reason where it can not be had."""

from typing import Any

import pytest
from _pytest.mark import ParameterSet

from lambent.worker.sandbox.probe import find_oci_runtime


def _oci(runtime: str, *expected: Any) -> ParameterSet:
    missing = pytest.mark.skipif(
        find_oci_runtime(runtime) is None, reason=f"{runtime} is not installed, and `make prerequisites` can not get it"
    )
    return pytest.param(f"oci:{runtime}", *expected, marks=missing)


def isolating(*expected: Any) -> list[ParameterSet]:
    """Every driver that isolates, as `open_bench` names it, with what is expected of all of them."""
    return [pytest.param("namespaces", *expected), _oci("crun", *expected), _oci("runc", *expected)]

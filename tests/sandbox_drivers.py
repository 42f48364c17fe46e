"""The isolation drivers that the tests of sandboxes run under, each skipped with the reason where it can not be had."""

from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from lambent.worker.sandbox.probe import find_oci_runtime

_UNPACKED = Path(__file__).parents[1] / ".oci-runtimes"
"""Where `make prerequisites` puts runtimes that it may not install."""


def oci_runtime(name: str) -> str:
    """The path of a runtime of this name, empty where there is none."""
    found = find_oci_runtime(name) or find_oci_runtime(str(_UNPACKED / name))
    return found.path if found is not None else ""


def _oci(name: str, *expected: Any) -> ParameterSet:
    path = oci_runtime(name)
    missing = pytest.mark.skipif(not path, reason=f"{name} is not here, and `make prerequisites` could not get it")
    return pytest.param(f"oci:{path}", *expected, marks=missing, id="-".join((name, *map(str, expected))))


def isolating(*expected: Any) -> list[ParameterSet]:
    """Every driver that isolates, as `open_bench` names it, with what is expected of all of them."""
    return [pytest.param("namespaces", *expected), _oci("crun", *expected), _oci("runc", *expected)]

"""SPECIFICATION.md names what holds each of its numbers; what it names must be there."""

import re
from pathlib import Path

import pytest
from benchmarks.__main__ import PARTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SPECIFICATION.md").read_text()
ROWS = [line for line in TEXT.splitlines() if re.match(r"\|(?! ---| promise )", line)]


@pytest.mark.parametrize("named", re.findall(r"`(tests/[^`]+)`", TEXT))
def test_a_test_that_holds_a_number_exists(named):
    path, _, test = named.partition("::")
    source = (ROOT / path).read_text()
    assert not test or f"def {test}(" in source


def test_a_benchmark_that_holds_a_number_exists():
    assert set(re.findall(r"[Bb]enchmark `(\w+)`", TEXT)) == set(PARTS)


def test_every_number_is_held_by_something():
    assert ROWS
    assert [row for row in ROWS if not re.search(r"benchmark `|`tests/", row)] == []

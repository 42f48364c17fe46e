import json

import pytest
from benchmarks import table
from benchmarks.table import Row


def warm(ratio: float) -> Row:
    return Row("warm", "µs", 100 * ratio, 100, "bare", ratio, ratio_at_most=3.5)


def test_a_promised_ratio_decides_the_verdict_and_the_run():
    assert [row.verdict for row in (warm(3.5), warm(3.6))] == ["ok", "MISSED"]
    assert not table.any_missed([warm(3.5)])
    assert table.any_missed([warm(3.5), warm(3.6)])


def test_a_throughput_is_held_to_its_least_ratio():
    rates = [Row("rate", "/s", 10, 100, "bare", ratio, ratio_at_least=0.2) for ratio in (0.2, 0.19)]
    assert [row.verdict for row in rates] == ["ok", "MISSED"]


def test_a_promise_in_absolute_units_is_told_and_fails_no_run():
    slow = Row("start", "s", 0.9, promised_at_most=0.8)
    assert slow.verdict == "above"
    assert not table.any_missed([slow])


def test_a_promise_in_absolute_units_that_is_made_for_anywhere_fails_the_run():
    nothing, something = (Row("left", "", left, promised_at_most=0, anywhere=True) for left in (0, 1))
    assert (nothing.verdict, something.verdict) == ("ok", "MISSED")
    assert table.any_missed([nothing, something])
    assert not table.any_missed([nothing])
    assert nothing.promise == "≤ 0"


def test_a_part_that_gives_mappings_gets_its_ratio_from_the_reference():
    row = table.row_of({"name": "wire", "unit": "µs", "measured": 30.0, "reference": 60.0, "reference_name": "other"})
    assert row.ratio == 0.5


def test_a_promise_about_a_ratio_that_nobody_measured_is_a_bug():
    with pytest.raises(AssertionError):
        _ = Row("warm", "µs", 1, ratio_at_most=2).verdict


def test_the_table_lines_up_and_names_each_reference_once():
    lines = table.lines([warm(1.5), warm(12.25), Row("memory", "MB", 6.5)])
    assert lines[1:3] == [
        "warm      150 µs  100 µs [1]   1.50  ratio ≤ 3.5  ok",
        "warm    1,225 µs  100 µs [1]  12.25  ratio ≤ 3.5  MISSED",
    ]
    assert lines[3].split() == ["memory", "6.5", "MB"]
    assert lines[-1] == "[1] bare"


def test_the_document_holds_every_row_with_its_verdict(tmp_path):
    path = table.write_document([warm(9)], tmp_path / "results")
    document = json.loads(path.read_text())
    assert [(row["name"], row["ratio"], row["verdict"]) for row in document["rows"]] == [("warm", 9, "MISSED")]
    assert document["machine"]["processors"]

"""The records of an invocation tell nothing of what passes through them, and can not be changed."""

import pytest

from lambent.core.invocation import Answer, Invocation


def test_a_record_shows_how_much_it_holds_and_nothing_of_it():
    shown = repr(Invocation("id", "arn", b"the caller's secret"))
    assert "secret" not in shown
    assert "<bytes of 19>" in shown
    assert "'id'" in shown


def test_a_record_can_not_be_changed():
    with pytest.raises(AttributeError):
        Answer(b"1").payload = b"2"  # type: ignore[misc]

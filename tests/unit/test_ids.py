"""Ids are unique, and of the form that clients expect."""

import uuid

from lambent.ids import RandomIds


def test_uuids_are_of_version_4_and_all_different():
    ids = RandomIds()
    made = [ids.uuid() for _ in range(5000)]
    assert len(set(made)) == 5000
    parsed = [uuid.UUID(text) for text in made]
    assert {(one.version, one.variant) for one in parsed} == {(4, uuid.RFC_4122)}
    assert [str(one) for one in parsed] == made


def test_digits_are_as_many_as_asked_for_and_used_once():
    ids = RandomIds()
    made = [ids.hex(digits) for digits in (24, 16, 32, 1) * 400]
    assert [len(text) for text in made] == [24, 16, 32, 1] * 400
    assert len({text for text in made if len(text) > 1}) == 1200

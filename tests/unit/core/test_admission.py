import pytest

from lambent.core.admission import (
    ACCOUNT_LIMIT,
    ACCOUNT_RATE,
    RESERVED_LIMIT,
    RESERVED_RATE,
    Admission,
    Limits,
    Provision,
    Refusal,
    Share,
)
from lambent.core.function import FunctionName

F, G, H = (FunctionName("111122223333", "us-east-1", name) for name in "fgh")
ELSEWHERE = FunctionName("111122223333", "eu-west-1", "f")


def taken(admission: Admission, function: FunctionName, count: int = 1, version: str = "1") -> list[Share | Provision]:
    units = [admission.admit(function, version, 0) for _ in range(count)]
    granted = [unit for unit in units if not isinstance(unit, Refusal)]
    assert len(granted) == count, units
    return granted


def test_functions_without_a_reservation_share_what_is_left():
    admission = Admission(Limits(5))
    admission.reserve(F, 2)
    taken(admission, G, 2)
    taken(admission, H)
    assert admission.admit(G, "1", 0) == ACCOUNT_LIMIT
    assert admission.admit(H, "1", 0) == ACCOUNT_LIMIT
    taken(admission, F, 2)
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT
    taken(admission, ELSEWHERE, 5)


def test_a_function_with_nothing_reserved_for_it_is_stopped():
    admission = Admission(Limits(5))
    admission.reserve(F, 0)
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT
    admission.reserve(F, None)
    taken(admission, F, 5)


def test_a_unit_is_there_again_with_the_answer():
    admission = Admission(Limits(5))
    admission.reserve(F, 1)
    for _ in range(3):
        (unit,) = taken(admission, F)
        assert admission.admit(F, "1", 0) == RESERVED_LIMIT
        unit.answered()
        (early,) = taken(admission, F)
        unit.over()
        early.release()


def test_no_more_environments_work_on_after_their_answers_than_there_are_units():
    admission = Admission(Limits(5))
    admission.reserve(F, 1)
    (first,) = taken(admission, F)
    first.answered()
    (second,) = taken(admission, F)
    second.answered()
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT
    first.over()
    taken(admission, F)


def test_a_new_reservation_counts_what_runs_already_and_ends_nothing_of_it():
    admission = Admission(Limits(5))
    running = taken(admission, F, 3)
    admission.reserve(F, 2)
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT
    taken(admission, G, 3)
    assert admission.admit(G, "1", 0) == ACCOUNT_LIMIT
    for unit in running[:2]:
        unit.release()
    taken(admission, F)
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT


def test_what_a_deleted_function_still_runs_counts_as_unreserved():
    admission = Admission(Limits(3))
    admission.reserve(F, 2)
    units = taken(admission, F, 2)
    admission.forget(F)
    taken(admission, F)  # a new function of the same name
    assert admission.admit(G, "1", 0) == ACCOUNT_LIMIT
    for unit in units:
        unit.release()
    taken(admission, G, 2)
    assert admission.admit(F, "1", 0) == ACCOUNT_LIMIT


def test_a_unit_is_not_given_back_twice():
    admission = Admission(Limits(3))
    (unit,) = taken(admission, F)
    unit.release()
    with pytest.raises(AssertionError):
        unit.release()


def test_a_version_has_what_is_provisioned_for_it_and_then_its_part_of_the_rest():
    admission = Admission(Limits(5))
    admission.provision(F, "1", 2)
    taken(admission, F, 2, "1")
    taken(admission, F, 1, "2")
    taken(admission, F, 1, "1")
    taken(admission, G, 1)
    for function, version in ((F, "1"), (F, "2"), (G, "1")):
        assert admission.admit(function, version, 0) == ACCOUNT_LIMIT


def test_what_is_provisioned_is_part_of_what_is_reserved():
    admission = Admission(Limits(5))
    admission.provision(F, "1", 2)
    admission.reserve(F, 2)
    assert admission.admit(F, "2", 0) == RESERVED_LIMIT
    units = taken(admission, F, 2, "1")
    taken(admission, G, 3)
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT
    admission.provision(F, "1", 0)
    assert admission.admit(F, "2", 0) == RESERVED_LIMIT, "granted while provisioned units are in use"
    units[0].release()
    taken(admission, F, 1, "2")
    assert admission.admit(F, "1", 0) == RESERVED_LIMIT


def test_a_provisioned_unit_is_there_again_with_the_answer_and_lingers_within_bounds():
    admission = Admission(Limits(1))
    admission.provision(F, "1", 1)
    for _ in range(2):
        (unit,) = taken(admission, F)
        unit.answered()
    assert admission.admit(F, "1", 0) == ACCOUNT_LIMIT
    unit.over()
    taken(admission, F)


def short_calls(admission: Admission, count: int, now: int, version: str = "1") -> list[Refusal]:
    """What is said to those that are refused, of so many calls that end at once."""
    refused = []
    for _ in range(count):
        unit = admission.admit(F, version, now)
        if isinstance(unit, Refusal):
            refused.append(unit)
        else:
            unit.release()
    return refused


def test_a_pool_takes_ten_requests_in_a_second_for_each_of_its_units():
    admission = Admission(Limits(5))
    assert short_calls(admission, 51, 1_000_000) == [ACCOUNT_RATE]
    assert short_calls(admission, 1, 1_900_000) == [ACCOUNT_RATE]
    assert short_calls(admission, 51, 2_010_000) == [ACCOUNT_RATE]
    admission.reserve(F, 2)
    assert short_calls(admission, 21, 2_010_000) == [RESERVED_RATE], "a pool of its own, which nobody has used"
    assert admission.admit(G, "1", 2_010_000) == ACCOUNT_RATE
    assert not isinstance(admission.admit(G, "1", 2_010_000, queued=True), Refusal)
    assert ACCOUNT_RATE.reason == "FunctionInvocationRateLimitExceeded"
    assert RESERVED_RATE.reason == "ReservedFunctionInvocationRateLimitExceeded"


def test_what_is_provisioned_has_ten_requests_a_second_and_then_the_others():
    admission = Admission(Limits(5))
    admission.provision(F, "1", 2)
    assert short_calls(admission, 30, 0, "2") == []
    assert short_calls(admission, 21, 0) == [ACCOUNT_RATE]
    admission.reserve(F, 3)
    assert short_calls(admission, 11, 0, "2") == [RESERVED_RATE], "of the unit that no version has for itself"


def test_a_function_starts_so_many_environments_in_ten_seconds_and_is_told_when_there_are_more():
    admission = Admission(Limits(scale_out_per_10_s=3))
    for now in (0, 4_000_000, 4_000_001):
        assert admission.scale_out(F, now) is None
    assert admission.scale_out(F, 7_500_000) == Refusal("FunctionInvocationRateLimitExceeded", 3)
    assert admission.scale_out(G, 7_500_000) is None
    assert admission.scale_out(F, 9_999_999) == Refusal("FunctionInvocationRateLimitExceeded", 1)
    assert admission.scale_out(F, 10_000_000) is None
    admission.reserve(F, 1)
    assert admission.scale_out(F, 10_000_000) == Refusal("ReservedFunctionInvocationRateLimitExceeded", 4)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.core.admission import ACCOUNT_LIMIT, RESERVED_LIMIT, Admission, Share
from lambent.core.function import FunctionName

F, G, H = (FunctionName("111122223333", "us-east-1", name) for name in "fgh")
ELSEWHERE = FunctionName("111122223333", "eu-west-1", "f")


def taken(admission: Admission, function: FunctionName, count: int = 1) -> list[Share]:
    units = [admission.admit(function) for _ in range(count)]
    assert all(isinstance(unit, Share) for unit in units), units
    return [unit for unit in units if isinstance(unit, Share)]


def test_functions_without_a_reservation_share_what_is_left():
    admission = Admission(5)
    admission.reserve(F, 2)
    taken(admission, G, 2)
    taken(admission, H)
    assert admission.admit(G) == ACCOUNT_LIMIT
    assert admission.admit(H) == ACCOUNT_LIMIT
    taken(admission, F, 2)
    assert admission.admit(F) == RESERVED_LIMIT
    taken(admission, ELSEWHERE, 5)


def test_a_function_with_nothing_reserved_for_it_is_stopped():
    admission = Admission(5)
    admission.reserve(F, 0)
    assert admission.admit(F) == RESERVED_LIMIT
    admission.reserve(F, None)
    taken(admission, F, 5)


def test_a_unit_is_there_again_with_the_answer():
    admission = Admission(5)
    admission.reserve(F, 1)
    for _ in range(3):
        (unit,) = taken(admission, F)
        assert admission.admit(F) == RESERVED_LIMIT
        admission.answered(unit)
        (early,) = taken(admission, F)
        admission.over(unit)
        admission.release(early)


def test_no_more_environments_work_on_after_their_answers_than_there_are_units():
    admission = Admission(5)
    admission.reserve(F, 1)
    (first,) = taken(admission, F)
    admission.answered(first)
    (second,) = taken(admission, F)
    admission.answered(second)
    assert admission.admit(F) == RESERVED_LIMIT
    admission.over(first)
    taken(admission, F)


def test_a_new_reservation_counts_what_runs_already_and_ends_nothing_of_it():
    admission = Admission(5)
    running = taken(admission, F, 3)
    admission.reserve(F, 2)
    assert admission.admit(F) == RESERVED_LIMIT
    taken(admission, G, 3)
    assert admission.admit(G) == ACCOUNT_LIMIT
    for unit in running[:2]:
        admission.release(unit)
    taken(admission, F)
    assert admission.admit(F) == RESERVED_LIMIT


def test_what_a_deleted_function_still_runs_counts_as_unreserved():
    admission = Admission(3)
    admission.reserve(F, 2)
    units = taken(admission, F, 2)
    admission.forget(F)
    taken(admission, F)  # a new function of the same name
    assert admission.admit(G) == ACCOUNT_LIMIT
    for unit in units:
        admission.release(unit)
    taken(admission, G, 2)
    assert admission.admit(F) == ACCOUNT_LIMIT


def test_a_unit_is_not_given_back_twice():
    admission = Admission(3)
    (unit,) = taken(admission, F)
    admission.release(unit)
    with pytest.raises(AssertionError):
        admission.release(unit)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["admit", "answer", "end", "forget"]), st.sampled_from([F, G, H])),
            st.tuples(st.sampled_from([F, G, H]), st.one_of(st.none(), st.integers(0, 4))),
        ),
        max_size=60,
    )
)
def test_no_pool_grants_more_than_it_has_and_all_comes_to_rest(steps):
    admission = Admission(6)
    reserved: dict[FunctionName, int] = {}
    working: list[tuple[FunctionName, Share]] = []
    lingering: list[Share] = []
    for step, of in steps:
        if isinstance(step, FunctionName):
            others = sum(count for function, count in reserved.items() if function != step)
            if of is None:
                reserved.pop(step, None)
            elif others + of <= 6:
                reserved[step] = of
            else:
                continue
            admission.reserve(step, of)
        elif step == "forget":
            reserved.pop(of, None)
            admission.forget(of)
        elif step == "admit":
            unit = admission.admit(of)
            pool = [one for one, _ in working if (one == of if of in reserved else one not in reserved)]
            limit = reserved.get(of, 6 - sum(reserved.values()))
            if isinstance(unit, Share):
                assert len(pool) < limit or of not in reserved
                working.append((of, unit))
            else:
                assert unit == (RESERVED_LIMIT if of in reserved else ACCOUNT_LIMIT)
                assert len(pool) + len(lingering) >= limit
        elif working:
            _, unit = working.pop(0)
            if step == "answer":
                admission.answered(unit)
                lingering.append(unit)
            else:
                admission.release(unit)
    for _, unit in working:
        admission.release(unit)
    for unit in lingering:
        admission.over(unit)
    for function in (F, G, H):
        admission.reserve(function, None)
    taken(admission, F, 6)
    assert admission.admit(G) == ACCOUNT_LIMIT

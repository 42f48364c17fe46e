import pytest

from lambent.core.concurrency import check_reservation
from lambent.core.errors import InvalidParameterValueException


@pytest.mark.parametrize(
    ("wanted", "before", "unreserved"),
    [(900, 0, 1000), (900, 100, 900), (0, 0, 7), (5, 5, 95), (4, 5, 95)],
)
def test_what_leaves_a_hundred_to_the_others_or_takes_nothing_is_granted(wanted, before, unreserved):
    check_reservation(wanted, before, unreserved)


@pytest.mark.parametrize(("wanted", "before", "unreserved"), [(901, 0, 1000), (1, 0, 100), (6, 5, 100), (1, 0, 7)])
def test_what_leaves_less_is_refused(wanted, before, unreserved):
    with pytest.raises(InvalidParameterValueException, match=r"below its minimum value of \[100\]\."):
        check_reservation(wanted, before, unreserved)

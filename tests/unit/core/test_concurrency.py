import pytest

from lambent.core.concurrency import check_provisioned, check_reservation
from lambent.core.errors import InvalidParameterValueException


@pytest.mark.parametrize(
    ("wanted", "reserved", "provisioned", "unreserved"),
    [(900, None, 0, 1000), (900, 100, 0, 900), (0, None, 0, 7), (5, 5, 0, 95), (4, 5, 4, 95), (20, None, 20, 100)],
)
def test_a_reservation_that_leaves_a_hundred_to_the_others_or_takes_nothing_is_granted(
    wanted, reserved, provisioned, unreserved
):
    check_reservation(wanted, reserved, provisioned=provisioned, unreserved=unreserved)


@pytest.mark.parametrize(
    ("wanted", "reserved", "provisioned", "unreserved"),
    [(901, None, 0, 1000), (1, None, 0, 100), (6, 5, 0, 100), (1, None, 0, 7), (21, None, 20, 100)],
)
def test_a_reservation_that_leaves_less_is_refused(wanted, reserved, provisioned, unreserved):
    with pytest.raises(InvalidParameterValueException, match=r"below its minimum value of \[100\]\."):
        check_reservation(wanted, reserved, provisioned=provisioned, unreserved=unreserved)


def test_a_reservation_below_what_is_provisioned_is_refused_without_a_type():
    with pytest.raises(InvalidParameterValueException) as raised:
        check_reservation(1, None, provisioned=2, unreserved=500)
    assert raised.value.message == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    assert raised.value.members == {}


@pytest.mark.parametrize(
    ("wanted", "before", "reserved", "provisioned", "unreserved", "text"),
    [
        (3, 0, 4, 2, 900, "should not be greater than the reservedConcurrentExecution for function"),
        (1, 0, 0, 0, 900, "should not be greater than the reservedConcurrentExecution for function"),
        (201, 10, None, 10, 190, r"greater than account's unreserved concurrency \[200\]\."),
        (101, 10, None, 10, 190, r"below its minimum value of \[100\]\."),
        (1, 0, None, 0, 100, r"below its minimum value of \[100\]\."),
    ],
)
def test_provisioned_concurrency_beyond_what_there_is_is_refused(
    wanted, before, reserved, provisioned, unreserved, text
):
    with pytest.raises(InvalidParameterValueException, match=text):
        check_provisioned(wanted, before, reserved=reserved, provisioned=provisioned, unreserved=unreserved)


@pytest.mark.parametrize(
    ("wanted", "before", "reserved", "provisioned", "unreserved"),
    [(2, 0, 4, 2, 0), (4, 2, 4, 2, 0), (100, 10, None, 10, 190), (5, 10, None, 10, 7)],
)
def test_provisioned_concurrency_that_there_is_room_for_is_granted(wanted, before, reserved, provisioned, unreserved):
    check_provisioned(wanted, before, reserved=reserved, provisioned=provisioned, unreserved=unreserved)

import itertools

import pytest

from lambent.core.alias import Alias, Routing
from lambent.core.function import FunctionName
from lambent.core.provisioned_concurrency import (
    FUNCTION_FAILED,
    PARALLEL_STARTS,
    Goals,
    Progress,
    shares,
    status,
)

FUNCTION = FunctionName("111122223333", "us-east-1", "f")


class Begun:
    """Goals with one of this size."""

    def __init__(self, count: int) -> None:
        numbers = itertools.count(1)
        self.new_id = lambda: f"e{next(numbers)}"
        self.goals = Goals()
        assert self.goals.want("p", count) == []

    def start(self) -> list[str]:
        return self.goals.to_start("p", self.new_id)


def test_a_few_are_started_at_a_time_and_the_next_ones_as_those_are_initialised():
    begun = Begun(PARALLEL_STARTS + 2)
    first = begun.start()
    assert len(first) == PARALLEL_STARTS
    assert begun.start() == []
    for number, environment in enumerate(first, 1):
        assert begun.goals.initialised(environment) == "p"
        assert len(begun.start()) == (1 if number <= 2 else 0)
    assert begun.goals.progress("p") == Progress(PARALLEL_STARTS + 2, PARALLEL_STARTS)


def test_a_function_that_can_not_be_initialised_is_not_tried_again_until_the_goal_is_set_anew():
    begun = Begun(9)
    first = begun.start()
    begun.goals.failed(first[0])
    begun.goals.gone(first[1], "no sandbox")
    begun.goals.retry("p")
    assert begun.start() == []
    assert begun.goals.progress("p") == Progress(PARALLEL_STARTS - 2, 0, FUNCTION_FAILED)
    begun.goals.want("p", 9)
    assert len(begun.start()) == 2


def test_what_the_machine_has_failed_at_is_tried_again_when_time_has_passed():
    begun = Begun(1)
    (environment,) = begun.start()
    begun.goals.gone(environment, "no sandbox")
    assert begun.start() == []
    assert begun.goals.progress("p") == Progress(0, 0, "no sandbox")
    begun.goals.retry("p")
    assert len(begun.start()) == 1


def test_an_initialised_environment_that_is_lost_is_missing_and_no_failure():
    begun = Begun(1)
    (environment,) = begun.start()
    begun.goals.initialised(environment)
    begun.goals.gone(environment, "the worker was lost")
    assert environment not in begun.goals
    assert begun.goals.progress("p") == Progress()
    assert len(begun.start()) == 1


def test_a_smaller_goal_gives_up_first_what_is_still_starting():
    begun = Begun(3)
    ready, *starting = begun.start()
    begun.goals.initialised(ready)
    assert set(begun.goals.want("p", 1)) == set(starting)
    assert begun.goals.progress("p") == Progress(1, 1)
    assert begun.goals.want("p", 0) == [ready]
    assert begun.goals.pools() == []


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(), "IN_PROGRESS"),
        (Progress(2, 1), "IN_PROGRESS"),
        (Progress(2, 2), "READY"),
        (Progress(2, 1, FUNCTION_FAILED), "FAILED"),
    ],
)
def test_the_status_is_that_of_the_environments(progress, expected):
    assert status(2, progress) == expected


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        (None, {"1": 10}),
        (Routing("2", 0.25), {"1": 8, "2": 2}),
        (Routing("2", 0.0), {"1": 10, "2": 0}),
        (Routing("2", 1.0), {"1": 0, "2": 10}),
    ],
)
def test_an_alias_has_its_environments_where_its_invocations_go(routing, expected):
    assert shares(10, "live", Alias(FUNCTION, "live", "1", "r", routing=routing)) == expected


def test_a_version_has_all_of_its_own():
    assert shares(10, "7", None) == {"7": 10}

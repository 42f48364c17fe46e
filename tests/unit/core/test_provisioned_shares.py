import itertools

import pytest

from lambent.core.alias import Alias, Routing
from lambent.core.function import FunctionName
from lambent.core.provisioned_concurrency import (
    FIRST_RETRY_US,
    FUNCTION_FAILED,
    LAST_RETRY_US,
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
        self.now = 0
        assert self.goals.want("p", count) == []

    def start(self) -> list[str]:
        return self.goals.to_start("p", self.new_id, self.now)


def test_a_few_are_started_at_a_time_and_the_next_ones_as_those_are_initialised():
    begun = Begun(PARALLEL_STARTS + 2)
    first = begun.start()
    assert len(first) == PARALLEL_STARTS
    assert begun.start() == []
    for number, environment in enumerate(first, 1):
        assert begun.goals.initialised(environment) == "p"
        assert len(begun.start()) == (1 if number <= 2 else 0)
    assert begun.goals.progress("p") == Progress(PARALLEL_STARTS + 2, PARALLEL_STARTS)


def test_a_function_that_can_not_be_initialised_is_not_tried_again_at_once_unless_the_goal_is_set_anew():
    begun = Begun(9)
    first = begun.start()
    begun.goals.failed(first[0], begun.now)
    begun.goals.gone(first[1], "no sandbox")
    assert begun.start() == []
    assert begun.goals.progress("p") == Progress(PARALLEL_STARTS - 2, 0, FUNCTION_FAILED)
    begun.goals.want("p", 9)
    assert len(begun.start()) == 2


def test_a_function_that_can_not_be_initialised_is_tried_ever_more_rarely_until_it_can():
    begun = Begun(2)
    for environment in begun.start():
        begun.goals.initialised(environment)
        begun.goals.gone(environment, "")
    tried_us = []
    while len(tried_us) < 12:
        if failing := begun.start():
            assert len(failing) == 2
            tried_us.append(begun.now)
        for environment in failing:
            begun.goals.failed(environment, begun.now)
        assert begun.goals.progress("p") == Progress(0, 0, FUNCTION_FAILED)
        begun.now += FIRST_RETRY_US
    pauses = [(later - sooner) // FIRST_RETRY_US for sooner, later in itertools.pairwise(tried_us)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    begun.now += LAST_RETRY_US
    first, second = begun.start()
    assert begun.goals.progress("p") == Progress(2, 0, FUNCTION_FAILED), "it is told until it is over"
    begun.goals.initialised(first)
    begun.goals.failed(second, begun.now)
    begun.now += FIRST_RETRY_US
    (second,) = begun.start()
    begun.goals.initialised(second)
    assert begun.goals.progress("p") == Progress(2, 2)


def test_what_the_machine_has_failed_at_is_tried_again_at_the_next_look():
    begun = Begun(1)
    (environment,) = begun.start()
    begun.goals.gone(environment, "no sandbox")
    assert begun.goals.progress("p") == Progress(0, 0, "no sandbox")
    (environment,) = begun.start()
    assert begun.goals.progress("p") == Progress(1, 0, "no sandbox")
    begun.goals.initialised(environment)
    assert begun.goals.progress("p") == Progress(1, 1)


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

"""What the assignment service and the goals of provisioned concurrency do with an environment that is too old."""

import itertools

import pytest

from lambent.core.assignment import Assignment, Outlived, StartOne, Use, Wait
from lambent.core.provisioned_concurrency import Goals, Progress


@pytest.fixture
def new_id():
    numbers = itertools.count(1)
    return lambda: f"e{next(numbers)}"


@pytest.fixture
def assignment(new_id):
    """With one environment, e1, that was started at 0 and serves r1."""
    made = Assignment()
    assert made.arrive("pool", "r1", new_id, 0) == StartOne("e1", "r1")
    assert made.outlived(1_000) == Outlived((), ()), "one that starts has not lived yet"
    assert made.available("e1", 10) == "r1"
    return made


def test_an_idle_one_is_retired_and_never_used_again(assignment, new_id):
    assignment.answered("e1", 20)
    assert assignment.available("e1", 30) is None
    assert assignment.outlived(0) == Outlived((), ())
    assert assignment.outlived(1) == Outlived(("e1",), ())
    assert assignment.outlived(1) == Outlived((), ()), "it is retired once"
    assert assignment.arrive("pool", "r2", new_id, 40) == StartOne("e2", "r2")


def test_one_at_work_is_retired_and_given_nothing_that_comes_or_waits(assignment, new_id):
    assert assignment.outlived(1) == Outlived(("e1",), ())
    assert assignment.arrive("pool", "r2", new_id, 40) == StartOne("e2", "r2")
    assert assignment.available("e1", 50) is None, "said before it was told to end"
    assert assignment.gone("e1") is None
    assert assignment.available("e2", 60) == "r2"


@pytest.mark.parametrize("answered_first", [True, False])
def test_nobody_waits_for_one_that_is_answered_and_retired(assignment, new_id, answered_first):
    if answered_first:
        assignment.answered("e1", 20)
    assert assignment.outlived(1) == Outlived(("e1",), ())
    if not answered_first:
        assignment.answered("e1", 20)
    assert assignment.arrive("pool", "r2", new_id, 30) == StartOne("e2", "r2")


def test_who_waits_already_for_one_that_is_retired_has_another_when_it_looks_again(assignment, new_id):
    assignment.answered("e1", 20)
    waits = assignment.arrive("pool", "r2", new_id, 30)
    assert isinstance(waits, Wait)
    assert assignment.outlived(1) == Outlived(("e1",), ())
    assert assignment.recheck("pool", new_id, waits.recheck_us) == StartOne("e2", "r2")


def test_one_that_stays_is_named_and_serves_until_it_need_not_stay(assignment, new_id):
    assignment.start_ahead("pool", "ahead", 5)
    assert assignment.outlived(100) == Outlived(("e1",), ()), "one that starts ahead has not lived yet"
    assignment.available("ahead", 200)
    assert assignment.outlived(100) == Outlived((), ("ahead",))
    assert assignment.arrive("pool", "r2", new_id, 210) == Use("ahead")
    assert assignment.unprovision("ahead") is False
    assert assignment.outlived(100) == Outlived(("ahead",), ())


def test_a_goal_has_another_one_before_it_gives_up_an_old_one(new_id):
    goals = Goals()
    goals.want("pool", 2)
    for environment_id in goals.to_start("pool", new_id, 0):
        goals.initialised(environment_id)
    assert goals.to_start("pool", new_id, 0) == []
    goals.outlived("e1")
    goals.outlived("e2")
    assert goals.replaced("pool") == []
    assert goals.to_start("pool", new_id, 0) == ["e3", "e4"]
    assert goals.progress("pool") == Progress(2, 2)
    goals.initialised("e3")
    assert len(goals.replaced("pool")) == 1
    assert goals.progress("pool") == Progress(2, 2)
    goals.initialised("e4")
    goals.replaced("pool")
    assert [environment_id for environment_id in ("e1", "e2", "e3", "e4") if environment_id in goals] == ["e3", "e4"]
    assert goals.to_start("pool", new_id, 0) == []


def test_an_old_one_is_kept_where_another_one_can_not_be_initialised(new_id):
    goals = Goals()
    goals.want("pool", 1)
    goals.initialised(*goals.to_start("pool", new_id, 0))
    goals.outlived("e1")
    assert goals.to_start("pool", new_id, 0) == ["e2"]
    goals.failed("e2", 0)
    assert goals.to_start("pool", new_id, 0) == []
    assert "e1" in goals
    assert goals.replaced("pool") == []


def test_of_fewer_that_are_wanted_the_old_ones_go_first(new_id):
    goals = Goals()
    goals.want("pool", 3)
    for environment_id in goals.to_start("pool", new_id, 0):
        goals.initialised(environment_id)
    goals.outlived("e2")
    assert goals.want("pool", 2) == ["e2"]
    assert goals.to_start("pool", new_id, 0) == []

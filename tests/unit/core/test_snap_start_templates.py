"""From which template an environment is restored, and what becomes of those that wait for one."""

import itertools

import pytest

from lambent.core.snap_start import (
    MADE_AT_ONCE,
    Hold,
    Initialise,
    Released,
    RestoreFrom,
    Snapshot,
    Templates,
)


@pytest.fixture
def new_id():
    numbers = itertools.count(1)
    return lambda: f"t{next(numbers)}"


def test_the_first_environment_has_the_template_made_and_the_others_wait_with_it(new_id):
    templates = Templates()
    assert templates.want("pool") is None
    assert templates.start("pool", "e1", new_id) == Hold("t1")
    assert templates.start("pool", "e2", new_id) == Hold()
    assert templates.made("t1") == ("e1", "e2")
    assert templates.start("pool", "e3", new_id) == RestoreFrom("t1")
    assert templates.want("pool") is Snapshot.MADE


def test_what_is_lost_is_made_anew_at_the_next_look_and_under_another_id(new_id):
    templates = Templates()
    templates.want("pool")
    assert templates.to_make(new_id) == [("pool", "t1")]
    assert templates.to_make(new_id) == []
    templates.made("t1")
    assert templates.gone("t1") == ()
    assert templates.pool_of("t1") is None
    assert templates.to_make(new_id) == [("pool", "t2")]


def test_what_the_function_fails_at_is_tried_again_for_who_needs_it_and_not_before(new_id):
    templates = Templates()
    templates.want("pool")
    templates.start("pool", "e1", new_id)
    assert templates.failed("t1") == ("e1",)
    assert templates.to_make(new_id) == []
    assert templates.start("pool", "e2", new_id) == Hold("t2")
    assert templates.made("t2") == ("e2",)


def test_where_there_are_no_templates_environments_are_initialised_as_ever(new_id):
    templates = Templates()
    templates.want("pool")
    templates.start("pool", "e1", new_id)
    assert templates.impossible("t1") == ("e1",)
    assert templates.start("pool", "e2", new_id) == Initialise()
    assert templates.to_make(new_id) == []


def test_templates_that_nobody_waits_for_are_made_a_few_at_a_time(new_id):
    templates = Templates()
    for number in range(MADE_AT_ONCE + 1):
        templates.want(f"pool{number}")
    made = templates.to_make(new_id)
    assert len(made) == MADE_AT_ONCE
    # One that an invocation waits for is made in any case.
    assert templates.start(f"pool{MADE_AT_ONCE}", "e1", new_id) == Hold(f"t{MADE_AT_ONCE + 1}")


def test_a_version_that_goes_leaves_its_template_and_those_that_waited(new_id):
    templates = Templates()
    templates.want("pool")
    templates.start("pool", "e1", new_id)
    assert templates.release("pool") == Released("t1", ("e1",))
    assert "pool" not in templates
    assert templates.pool_of("t1") is None
    assert templates.release("pool") == Released()

import itertools

import pytest

from lambent.core.event_source_state import (
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
    asked,
    first_state,
    is_unfinished,
    settling,
    step,
)

CALLERS = (Event.ENABLE_ASKED, Event.DISABLE_ASKED, Event.CHANGE_ASKED, Event.DELETE_ASKED)
SETTLED = (State.ENABLED, State.DISABLED)


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (State.ENABLED, asked(None), State.UPDATING),
        (State.ENABLED, asked(True), State.UPDATING),
        (State.ENABLED, asked(False), State.DISABLING),
        (State.DISABLED, asked(None), State.UPDATING),
        (State.DISABLED, asked(False), State.UPDATING),
        (State.DISABLED, asked(True), State.ENABLING),
        (State.ENABLED, Event.DELETE_ASKED, State.DELETING),
        (State.DISABLED, Event.DELETE_ASKED, State.DELETING),
    ],
)
def test_a_request_leads_to_a_state_on_the_way(state: State, event: Event, after: State) -> None:
    assert step(state, event) is after
    assert is_unfinished(after)


@pytest.mark.parametrize("enabled", [True, False])
def test_every_state_that_a_request_leads_to_is_settled_by_what_the_mapping_asks_for(enabled: bool) -> None:
    created = first_state(enabled, is_queue=False)
    updated = {step(state, event) for state, event in itertools.product(SETTLED, (asked(None), asked(enabled)))}
    for state in (created, *(updated - ({State.DISABLING} if enabled else {State.ENABLING}))):
        settled = step(state, settling(state, enabled=enabled))
        assert settled is (State.ENABLED if enabled else State.DISABLED)
    assert step(State.DELETING, settling(State.DELETING, enabled=enabled)) is State.GONE


def test_only_a_queue_that_is_not_to_be_read_starts_settled() -> None:
    assert first_state(True, is_queue=True) is State.CREATING
    assert first_state(False, is_queue=False) is State.CREATING
    assert first_state(False, is_queue=True) is State.DISABLED
    assert not is_unfinished(State.DISABLED)


def test_no_request_is_taken_in_a_state_on_the_way_and_nothing_settles_twice() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in TRANSITIONS:
            assert is_unfinished(state) is (event not in CALLERS)
        else:
            with pytest.raises(IllegalTransition):
                step(state, event)

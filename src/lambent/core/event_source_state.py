"""`State` of an event source mapping: one table, pure.

A caller's request leads to a state that ends in "-ing"; that the mapping's work has been taken up as asked, or let go
of, leads out of it. Until then AWS refuses further changes (`is_unfinished`). An event that a state does not know
raises `IllegalTransition`.

Source of the states: API reference, EventSourceMappingConfiguration, and the errors of UpdateEventSourceMapping.
"""

from enum import StrEnum


class State(StrEnum):
    """The names on the wire. GONE is never shown: the record is removed."""

    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"
    GONE = "Gone"


class Event(StrEnum):
    """The first four are a caller's. TAKEN_UP: the source is read as the mapping now says. LET_GO: nothing reads the
    source for the mapping."""

    ENABLE_ASKED = "ENABLE_ASKED"
    DISABLE_ASKED = "DISABLE_ASKED"
    CHANGE_ASKED = "CHANGE_ASKED"
    DELETE_ASKED = "DELETE_ASKED"
    TAKEN_UP = "TAKEN_UP"
    LET_GO = "LET_GO"


class IllegalTransition(Exception):
    """An event came that the state does not know: a bug of the caller."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CREATING, Event.TAKEN_UP): State.ENABLED,
    (State.CREATING, Event.LET_GO): State.DISABLED,
    (State.ENABLED, Event.ENABLE_ASKED): State.UPDATING,
    (State.ENABLED, Event.DISABLE_ASKED): State.DISABLING,
    (State.ENABLED, Event.CHANGE_ASKED): State.UPDATING,
    (State.ENABLED, Event.DELETE_ASKED): State.DELETING,
    (State.DISABLED, Event.ENABLE_ASKED): State.ENABLING,
    (State.DISABLED, Event.DISABLE_ASKED): State.UPDATING,
    (State.DISABLED, Event.CHANGE_ASKED): State.UPDATING,
    (State.DISABLED, Event.DELETE_ASKED): State.DELETING,
    (State.UPDATING, Event.TAKEN_UP): State.ENABLED,
    (State.UPDATING, Event.LET_GO): State.DISABLED,
    (State.ENABLING, Event.TAKEN_UP): State.ENABLED,
    (State.DISABLING, Event.LET_GO): State.DISABLED,
    (State.DELETING, Event.LET_GO): State.GONE,
}

_SETTLED = (State.ENABLED, State.DISABLED, State.GONE)


def step(state: State, event: Event) -> State:
    """Where the event leads. Raises IllegalTransition."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise IllegalTransition(f"{event} in {state}")
    return after


def is_unfinished(state: State) -> bool:
    """Something must settle the state before the mapping can change again."""
    return state not in _SETTLED


def first_state(enabled: bool, *, is_queue: bool) -> State:
    """Of a new mapping. AWS answers Disabled at once for a queue that is not to be read yet."""
    return State.DISABLED if is_queue and not enabled else State.CREATING


def asked(enabled: bool | None) -> Event:
    """The event of an update, by its `Enabled`."""
    if enabled is None:
        return Event.CHANGE_ASKED
    return Event.ENABLE_ASKED if enabled else Event.DISABLE_ASKED


def settling(state: State, *, enabled: bool) -> Event:
    """What settles an unfinished state: whether the source is to be read from now on."""
    return Event.TAKEN_UP if enabled and state is not State.DELETING else Event.LET_GO

"""Where memory is short, every function has its turn: one that is called, one whose events are queued, and one beside
which another has a backlog."""

from collections.abc import Callable
from typing import Any

import pytest
from simulation_messages import is_the_message

from lambent.core.assignment import Assignment
from lambent.core.errors import ServiceException
from lambent.core.placement import Placement
from lambent.invoke import dispatcher
from lambent.invoke.dispatcher import Dispatcher
from lambent.invoke.events import EventInvocations
from lambent.testing.simulation.checks import Violation
from lambent.testing.simulation.shortage import Shortage

SEEDS = 4
SECONDS = 120

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_function_has_its_turn(seed: int) -> None:
    Shortage(seed).run(SECONDS)


def _events_are_given_up_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatcher, "EVENT_WAIT_US", 0)


def _backlog_goes_first(patch: pytest.MonkeyPatch) -> None:
    """An environment goes on with its function's events while there are any."""
    patch.setattr(Placement, "gives_way", lambda self, environment_id, now: False)


def _a_place_is_left_with_what_is_left_of_its_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Assignment, "hand_on", lambda self, environment_id, request_id: None)


def _event_that_is_on_disk_is_refused(patch: pytest.MonkeyPatch) -> None:
    original = EventInvocations.accept

    def accept(self: EventInvocations, event: Any, tell: Any) -> None:
        original(self, event, lambda _: tell(ServiceException("The event could not be stored.")))

    patch.setattr(EventInvocations, "accept", accept)


def _caller_waits_for_twice_its_time(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher.__init__

    def init(self: Dispatcher, **how: Any) -> None:
        original(self, **how)
        self._wait_us *= 2

    patch.setattr(Dispatcher, "__init__", init)


PLANTED: list[tuple[Plant, str]] = [
    (_events_are_given_up_at_once, "{} has had no turn for {} s"),
    (_backlog_goes_first, "{} has had no turn for {} s"),
    (_a_place_is_left_with_what_is_left_of_its_time, "{} is refused after {} s"),
    (_caller_waits_for_twice_its_time, "{} is refused after {} s"),
    (_event_that_is_on_disk_is_refused, "not accepted: {}"),
]
"""With the whole message."""


@pytest.mark.parametrize(("plant", "caught"), PLANTED)
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, plant: Plant, caught: str) -> None:
    plant(monkeypatch)

    def run() -> None:
        for seed in range(SEEDS):
            Shortage(seed).run(SECONDS)

    with pytest.raises(Violation) as violation:
        run()
    assert is_the_message(caught, str(violation.value))

"""Where memory is short, every function has its turn: one that is called, one whose events are queued, and one beside
which another has a backlog."""

from collections.abc import Callable

import pytest

from lambent.core.assignment import Assignment
from lambent.core.placement import Placement
from lambent.invoke import dispatcher
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


@pytest.mark.parametrize(
    ("plant", "caught"),
    [
        (_events_are_given_up_at_once, "has had no turn"),
        (_backlog_goes_first, "has had no turn"),
        (_a_place_is_left_with_what_is_left_of_its_time, "is refused after"),
    ],
)
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, plant: Plant, caught: str) -> None:
    plant(monkeypatch)

    def run() -> None:
        for seed in range(SEEDS):
            Shortage(seed).run(SECONDS)

    with pytest.raises(Violation, match=caught):
        run()

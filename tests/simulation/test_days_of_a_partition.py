"""The dispatcher and the state machines of `core`, run through days that a seed decides. To replay one that failed:
`Day(SEED, INVOCATIONS).run()`, with the seed that the failure names."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

import lambent.testing.simulation.scenario as scenario
from lambent.core.admission import Admission, Share
from lambent.core.assignment import Assignment, Outlived, Use
from lambent.core.delivery_queue import DeliveryQueue
from lambent.core.event_invoke import EventInvokeConfig
from lambent.core.placement import Placement
from lambent.invoke import dispatcher, event_deliveries, events
from lambent.invoke.attempts import Attempts
from lambent.invoke.dispatcher import Dispatcher
from lambent.invoke.events import EventInvocations
from lambent.invoke.launching import Launching
from lambent.observe.ledger import Ended
from lambent.testing.simulation import hour
from lambent.testing.simulation.checks import Violation
from lambent.testing.simulation.scenario import Day

INVOCATIONS = 2_000
SEEDS = 200
AT_A_TIME = 20


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What the operator would be told of is drawn by the thousand."""
    caplog.set_level(logging.CRITICAL, "lambent")


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_what_must_hold_holds(first: int) -> None:
    days = [Day(seed, INVOCATIONS).run() for seed in range(first, first + AT_A_TIME)]
    # That it holds is worth something: much was started, refused and lost.
    assert sum(day.starts for day in days) > 20 * AT_A_TIME
    assert any(day.throttled for day in days)
    assert any(day.faulted for day in days)


def test_a_seed_replays_exactly() -> None:
    """Also in another process, where the hashes of texts are others."""
    replay = "from lambent.testing.simulation.scenario import Day; print([Day(seed, 500).run() for seed in (7, 8)])"
    told = [
        subprocess.run(
            (sys.executable, "-c", replay),
            env={**os.environ, "PYTHONHASHSEED": hashes},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1]
    assert Day(7, 500).run().digest != Day(8, 500).run().digest


@pytest.mark.parametrize("first", range(0, 40, AT_A_TIME))
def test_without_faults_nobody_is_told_of_one(first: int) -> None:
    """Whatever else happens: functions are changed and deleted, and versions with SnapStart."""
    days = [Day(seed, INVOCATIONS, faults=False).run() for seed in range(first, first + AT_A_TIME)]
    assert not [day for day in days if day.faulted]


def test_an_hour_in_small_has_fewer_starts_the_longer_environments_are_kept() -> None:
    kept, longer, ended = [hour.run(policy, 3, functions=40, seconds=120) for policy in hour.POLICIES]
    assert kept.invocations == longer.invocations == ended.invocations > 0
    assert longer.cold_share <= kept.cold_share < ended.cold_share
    assert ended.memory_gib_h < kept.memory_gib_h <= longer.memory_gib_h


# Bugs, each planted for what is to catch it --------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def _unit_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Share, "release", lambda self: None)


def _reservation_is_not_heard_of(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Admission, "reserve", lambda self, function, reserved: None)


def _limit_is_twice_as_high(patch: pytest.MonkeyPatch) -> None:
    original = Admission.__init__
    twice = {"concurrency": 2 * scenario.RULES.limits.concurrency}
    patch.setattr(Admission, "__init__", lambda self, limits: original(self, replace(limits, **twice)))


def _busy_environment_is_given_again(patch: pytest.MonkeyPatch) -> None:
    original = Assignment.arrive

    def arrive(self: Assignment, pool_id: str, *rest: Any) -> Any:
        pool = self._pools.get(pool_id)
        if pool is not None and pool.busy and not pool.idle:
            return Use(min(pool.busy))
        return original(self, pool_id, *rest)

    patch.setattr(Assignment, "arrive", arrive)


def _revisions_share_a_pool(patch: pytest.MonkeyPatch) -> None:
    original = scenario.serving_of

    def serving_of(version: Any) -> Any:
        serving = original(version)
        return type(serving)(version, serving.pool_id.rpartition("/")[0], serving.arn)

    patch.setattr(scenario, "serving_of", serving_of)


def _tenants_share_a_pool(patch: pytest.MonkeyPatch) -> None:
    serving = dispatcher.Serving
    patch.setattr(serving, "for_tenant", lambda self, tenant: serving(self.version, self.pool_id, self.arn, tenant))


def _caller_is_told_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatcher, "_tell", lambda entry, result: entry.tell(result))


def _who_waits_for_what_is_lost_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Assignment.gone

    def gone(self: Assignment, environment_id: str) -> None:
        original(self, environment_id)

    patch.setattr(Assignment, "gone", gone)


def _event_is_handed_out_twice(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._run

    def run(self: Dispatcher, entry: Any, environment_id: str) -> None:
        original(self, entry, environment_id)
        original(self, entry, environment_id)

    patch.setattr(Dispatcher, "_run", run)


def _end_is_not_written_down(patch: pytest.MonkeyPatch) -> None:
    original = Attempts._note

    def note(self: Attempts, entry: Any) -> None:
        if not isinstance(entry, Ended) or entry.outcome != "success":
            original(self, entry)

    patch.setattr(Attempts, "_note", note)


def _unwritten_end_is_lost_with_its_worker(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._gone

    def gone(self: Dispatcher, event: Any) -> None:
        self._attempts._unwritten.pop(event.environment_id, None)
        original(self, event)

    patch.setattr(Dispatcher, "_gone", gone)


def _idle_environments_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Assignment, "expired", lambda self, before: [])
    patch.setattr(Assignment, "outlived", lambda self, before: Outlived((), ()))


def _session_outlives_its_environment(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Launching, "revoke", lambda self, environment_id: None)


def _memory_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Placement, "_fits", lambda self, environment: True)


def _one_that_has_its_memory_is_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Placement, "__contains__", lambda self, environment_id: True)


def _event_is_accepted_before_it_is_on_disk(patch: pytest.MonkeyPatch) -> None:
    original = EventInvocations.accept

    def accept(self: EventInvocations, event: Any, tell: Any) -> None:
        tell(None)
        original(self, event, lambda error: None)

    patch.setattr(EventInvocations, "accept", accept)


def _event_is_tried_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EventInvokeConfig, "retries", lambda self: 100)


def _event_is_told_twice(patch: pytest.MonkeyPatch) -> None:
    original = events.deliveries_of
    patch.setattr(events, "deliveries_of", lambda *about: 2 * original(*about))


def _event_that_went_well_waits_again(patch: pytest.MonkeyPatch) -> None:
    def end(self: EventInvocations, event_id: int, event: Any, *_: Any) -> None:
        self._wait_again(event_id, event, self._clock.wall_ms())

    patch.setattr(EventInvocations, "_end", end)


def _event_that_waits_again_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def wait_again(self: EventInvocations, event_id: int, event: Any, *_: Any, **__: Any) -> None:
        self._let_go(event_id, event)
        self._leave_place(event)

    patch.setattr(EventInvocations, "_wait_again", wait_again)


def _answer_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    original = EventInvocations._wait_again

    def wait_again(self: EventInvocations, event_id: int, event: Any, due_ms: int, answer: Any = None, **how: Any):
        original(self, event_id, event, due_ms, None, **how)

    patch.setattr(EventInvocations, "_wait_again", wait_again)


def _delivery_that_failed_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event_deliveries, "after_failed_delivery", lambda delivery, event_id, **_: None)


def _place_at_an_endpoint_is_kept(patch: pytest.MonkeyPatch) -> None:
    original = DeliveryQueue.over

    def over(self: DeliveryQueue, lane: Any) -> None:
        original(self, lane)
        self._lines[lane.service, lane.function.account].free -= 1

    patch.setattr(DeliveryQueue, "over", over)


def _disk_that_catches_up_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    def let_go(self: EventInvocations, event_id: int, event: Any) -> None:
        self._held[event.function].remove(event_id)
        self._held_count -= 1

    patch.setattr(EventInvocations, "_let_go", let_go)


@pytest.mark.parametrize(
    ("plant", "caught"),
    [
        (_unit_is_kept, "units of concurrency in use"),
        (_reservation_is_not_heard_of, "more than its reserved|more runs than the account"),
        (_limit_is_twice_as_high, "more runs than the account may have"),
        (_busy_environment_is_given_again, "two invocations at a time|did not ask for an event"),
        (_revisions_share_a_pool, "another function, version, revision or tenant"),
        (_tenants_share_a_pool, "another function, version, revision or tenant"),
        (_caller_is_told_again, "told twice"),
        (_who_waits_for_what_is_lost_is_forgotten, "never over|does not come to rest"),
        (_event_is_handed_out_twice, "runs twice"),
        (_end_is_not_written_down, "are open in the ledger"),
        (_unwritten_end_is_lost_with_its_worker, "never over"),
        (_idle_environments_stay, "still there"),
        (_memory_is_not_looked_at, "placed where there is no room"),
        (_one_that_has_its_memory_is_given_up, "placed where there is no room|the dispatcher has failed"),
        (_event_is_accepted_before_it_is_on_disk, "accepted, and never over"),
        (_event_is_tried_without_end, "is tried too often"),
        (_event_is_told_twice, "is told twice to"),
        (_event_that_went_well_waits_again, "runs again after it went well"),
        (_event_that_waits_again_is_forgotten, "the queue does not come to rest"),
        (_answer_is_not_kept, "is told without its answer"),
        (_delivery_that_failed_is_forgotten, "was not told"),
        (_place_at_an_endpoint_is_kept, "the queue does not come to rest"),
        (_disk_that_catches_up_wakes_nobody, "the queue does not come to rest"),
        (_session_outlives_its_environment, "sessions of nobody"),
    ],
)
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, plant: Plant, caught: str) -> None:
    plant(monkeypatch)

    def run() -> None:
        for seed in range(SEEDS):
            Day(seed, INVOCATIONS).run()

    with pytest.raises(Violation, match=caught):
        run()

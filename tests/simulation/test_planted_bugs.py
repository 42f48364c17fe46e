"""That each thing which must hold is seen where it does not: bugs, each planted for what is to catch it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from simulation_messages import is_the_message, messages
from test_shortage_of_memory import PLANTED as PLANTED_WHERE_MEMORY_IS_SHORT

import lambent.testing.simulation.scenario as scenario
import lambent.testing.simulation.worker as worker
from lambent.core import environment
from lambent.core.admission import Admission, Share
from lambent.core.assignment import Assignment, Outlived, Use, Wait
from lambent.core.delivery_queue import DeliveryQueue
from lambent.core.errors import ModelledError
from lambent.core.event_invoke import EventInvokeConfig, GiveUp, Trials
from lambent.core.invocation import Answer
from lambent.core.invocation_record import Condition
from lambent.core.placement import Placement
from lambent.invoke import dispatcher, event_deliveries, events
from lambent.invoke.attempts import Attempts
from lambent.invoke.dispatcher import Completed, Dispatcher
from lambent.invoke.events import EventInvocations
from lambent.invoke.launching import Launching
from lambent.observe.ledger import Began, Ended
from lambent.testing.simulation.checks import Violation
from lambent.testing.simulation.scenario import Day
from lambent.worker.messages import Answered, Available

SEEDS, INVOCATIONS = 200, 2_000


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What the operator would be told of is drawn by the thousand."""
    caplog.set_level(logging.CRITICAL, "lambent")


Plant = Callable[[pytest.MonkeyPatch], None]


def _unit_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Share, "release", lambda self: None)


def _reservation_is_not_heard_of(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Admission, "reserve", lambda self, function, reserved: None)


def _limit_is_twice_as_high_where_some_is_claimed(patch: pytest.MonkeyPatch) -> None:
    _have_the_limit_be_twice_as_high(patch, where_claimed=True)


def _limit_is_twice_as_high_where_nothing_is_claimed(patch: pytest.MonkeyPatch) -> None:
    _have_the_limit_be_twice_as_high(patch, where_claimed=False)


def _have_the_limit_be_twice_as_high(patch: pytest.MonkeyPatch, *, where_claimed: bool) -> None:
    original = Admission.admit

    def admit(self: Admission, function: Any, *about: Any, **how: Any) -> Any:
        is_claimed = any(share.reserved is not None or share.provisions for share in self._shares.values())
        more = scenario.RULES.limits.concurrency if is_claimed is where_claimed else 0
        account = self._share(function).account
        account.limit += more
        unit = original(self, function, *about, **how)
        account.limit -= more
        return unit

    patch.setattr(Admission, "admit", admit)


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


def _look_ahead_asks_for_another_at_once(patch: pytest.MonkeyPatch) -> None:
    original = Assignment.recheck

    def recheck(self: Assignment, pool_id: str, new_environment_id: Any, now: int) -> Any:
        decision = original(self, pool_id, new_environment_id, now)
        return Wait(now) if isinstance(decision, Wait) else decision

    patch.setattr(Assignment, "recheck", recheck)


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

    def over(self: DeliveryQueue, lane: Any, content_bytes: int) -> None:
        original(self, lane, content_bytes)
        self._lines[lane.service, lane.function.account].under_way += 1

    patch.setattr(DeliveryQueue, "over", over)


def _disk_that_catches_up_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    def let_go(self: EventInvocations, event_id: int, event: Any) -> None:
        self._held[event.function].remove(event_id)
        self._held_count -= 1

    patch.setattr(EventInvocations, "_let_go", let_go)


def _caller_is_told_and_it_runs_again(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._run

    def run(self: Dispatcher, entry: Any, environment_id: str) -> None:
        original(self, entry, environment_id)
        entry.told = True
        entry.tell(Completed(Answer(b"")))
        original(self, entry, environment_id)

    patch.setattr(Dispatcher, "_run", run)


def _who_is_refused_is_told_as_well(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher.invoke

    def invoke(self: Dispatcher, serving: Any, invocation: Any, tell: Any, **how: Any) -> None:
        try:
            original(self, serving, invocation, tell, **how)
        except ModelledError as error:
            tell(error)
            raise

    patch.setattr(Dispatcher, "invoke", invoke)


def _idle_environment_that_is_gone_is_used(patch: pytest.MonkeyPatch) -> None:
    original = Assignment.gone

    def gone(self: Assignment, environment_id: str) -> str | None:
        pool_id = self._pool_of.get(environment_id)
        if pool_id is not None and environment_id in self._pools[pool_id].idle_since:
            return None
        return original(self, environment_id)

    patch.setattr(Assignment, "gone", gone)


def _busy_environment_that_is_gone_is_believed_in(patch: pytest.MonkeyPatch) -> None:
    original = Assignment.gone

    def gone(self: Assignment, environment_id: str) -> str | None:
        pool_id = self._pool_of.get(environment_id)
        if pool_id is not None and environment_id in self._pools[pool_id].busy:
            return None
        return original(self, environment_id)

    patch.setattr(Assignment, "gone", gone)


def _environment_that_did_not_ask_is_idle(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._answered

    def answered(self: Dispatcher, event: Any) -> None:
        original(self, event)
        self.on_event(Available(event.environment_id))

    patch.setattr(Dispatcher, "_answered", answered)


def _environment_is_started_twice(patch: pytest.MonkeyPatch) -> None:
    original = Launching.initialise

    def initialise(self: Launching, *about: Any) -> None:
        original(self, *about)
        original(self, *about)

    patch.setattr(Launching, "initialise", initialise)


def _beginning_is_written_down_twice(patch: pytest.MonkeyPatch) -> None:
    original = Attempts._note

    def note(self: Attempts, entry: Any) -> None:
        original(self, entry)
        if isinstance(entry, Began):
            original(self, entry)

    patch.setattr(Attempts, "_note", note)


def _beginning_is_not_written_down(patch: pytest.MonkeyPatch) -> None:
    original = Attempts._note

    def note(self: Attempts, entry: Any) -> None:
        if not isinstance(entry, Began):
            original(self, entry)

    patch.setattr(Attempts, "_note", note)


def _what_is_over_is_remembered(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._leave

    def leave(self: Dispatcher, request_id: str) -> Any:
        entry = original(self, request_id)
        self._in_flight[request_id] = entry
        return entry

    patch.setattr(Dispatcher, "_leave", leave)


def _empty_pool_is_remembered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Assignment, "_close", lambda self, pool_id: None)


def _event_begins_before_it_is_on_disk(patch: pytest.MonkeyPatch) -> None:
    def accept(self: EventInvocations, event: Any, tell: Any) -> None:
        event_id = self._store.put(event, event.trials.accepted_ms, tell)
        self._arrived(event_id, event)

    patch.setattr(EventInvocations, "accept", accept)


def _event_that_is_over_is_put_back(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """One that was given up, and that nobody was told of, is in the queue again."""
    original = EventInvocations._remove

    def remove(self: EventInvocations, event_id: int, event: Any, answer: Any) -> None:
        original(self, event_id, event, answer)
        can_run = self._configuration.reserved(event.function) != 0 and self._version_of(event) is not None
        if (answer is None or answer.error_type is not None) and can_run == bool(changes):
            now = self._clock.wall_ms()

            def told(_: Exception | None) -> None:
                self._queues.queued(event.function, 1, now, now)
                self._wake()

            self._store.put(replace(event, **changes), now, told)

    patch.setattr(EventInvocations, "_remove", remove)


def _event_that_is_over_is_run_again(patch: pytest.MonkeyPatch) -> None:
    _event_that_is_over_is_put_back(patch, trials=Trials(10**15))


def _failure_is_told_as_a_success(patch: pytest.MonkeyPatch) -> None:
    original = events.after_function_error
    success = {"condition": Condition.SUCCESS}

    def after(*about: Any) -> Any:
        decision = original(*about)
        return replace(decision, **success) if isinstance(decision, GiveUp) else decision

    patch.setattr(events, "after_function_error", after)


def _run_is_not_told(patch: pytest.MonkeyPatch) -> None:
    original = events.ended_as
    patch.setattr(events, "ended_as", lambda event, *about: original(replace(event, last_run=None), *about))


def _answer_is_anothers(patch: pytest.MonkeyPatch) -> None:
    def answer(self: Any, answer: Answer) -> None:
        self._worker.emit(Answered(self._id, "another", answer))

    patch.setattr(worker._Environment, "_answer", answer)


def _commands_are_others(patch: pytest.MonkeyPatch, others: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    original = environment.step

    def step(*about: Any) -> Any:
        state, commands = original(*about)
        return state, others(commands)

    patch.setattr(environment, "step", step)


def _idle_environment_is_to_deliver(patch: pytest.MonkeyPatch) -> None:
    available, deliver = environment.BecomeAvailable(), environment.Deliver()
    _commands_are_others(patch, lambda commands: (*commands, deliver) if available in commands else commands)


def _end_comes_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    _commands_are_others(
        patch, lambda commands: tuple(sorted(commands, key=lambda one: not isinstance(one, environment.Finish)))
    )


def _fetch_waits_for_the_loop(patch: pytest.MonkeyPatch) -> None:
    original = EventInvocations._fetch

    async def fetch(self: EventInvocations, about: Any) -> None:
        await asyncio.sleep(0)
        await original(self, about)

    patch.setattr(EventInvocations, "_fetch", fetch)


PLANTED: list[tuple[Any, ...]] = [
    (_unit_is_kept, "units of concurrency in use {}, work in flight {}"),
    (_reservation_is_not_heard_of, "{} has more than its reserved concurrency"),
    (_limit_is_twice_as_high_where_some_is_claimed, "more runs than the account may have unreserved"),
    (_limit_is_twice_as_high_where_nothing_is_claimed, "more runs than the account may", 15),
    (_busy_environment_is_given_again, "{} has two invocations at a time"),
    (_revisions_share_a_pool, "{} is of another function, version, revision or tenant"),
    (_tenants_share_a_pool, "{} is of another function, version, revision or tenant"),
    (_caller_is_told_again, "{} was told twice"),
    (_who_waits_for_what_is_lost_is_forgotten, "the queue does not come to rest"),
    (_look_ahead_asks_for_another_at_once, "the partition does not come to rest"),
    (_event_is_handed_out_twice, "{} runs twice"),
    (_end_is_not_written_down, "{} attempts are open in the ledger, {} are"),
    (_unwritten_end_is_lost_with_its_worker, "never over: {}", 67),
    (_idle_environments_stay, "still there: {}"),
    (_memory_is_not_looked_at, "{} is placed where there is no room"),
    (_one_that_has_its_memory_is_given_up, "the dispatcher has failed: {} ({})"),
    (_event_is_accepted_before_it_is_on_disk, "accepted, and never over: {}"),
    (_event_is_tried_without_end, "{} is tried too often", 12),
    (_event_is_told_twice, "{} is told twice to {}"),
    (_event_that_went_well_waits_again, "{} runs again after it went well"),
    (_event_that_waits_again_is_forgotten, "the queue does not come to rest"),
    (_answer_is_not_kept, "{} is told without its answer"),
    (_delivery_that_failed_is_forgotten, "{} was not told"),
    (_place_at_an_endpoint_is_kept, "the queue does not come to rest"),
    (_disk_that_catches_up_wakes_nobody, "the queue does not come to rest", 71),
    (_caller_is_told_and_it_runs_again, "{} runs, and its caller has a result"),
    (_who_is_refused_is_told_as_well, "{} was refused, and more than that"),
    (_idle_environment_that_is_gone_is_used, "{} runs in {}, of which one is not there"),
    (_busy_environment_that_is_gone_is_believed_in, "believed in: {}"),
    (_environment_that_did_not_ask_is_idle, "{} did not ask for an event"),
    (_environment_is_started_twice, "{} is started twice"),
    (_beginning_is_written_down_twice, "{} began twice"),
    (_beginning_is_not_written_down, "{} ended without a beginning"),
    (_what_is_over_is_remembered, "{} are known, {} are not over"),
    (_empty_pool_is_remembered, "not at rest: {}"),
    (_event_begins_before_it_is_on_disk, "{} runs before it is accepted"),
    (_event_that_is_over_is_put_back, "{} is over twice"),
    (_event_that_is_over_is_run_again, "{} runs when it is over"),
    (_failure_is_told_as_a_success, "{} is told wrongly"),
    (_run_is_not_told, "{} is told without its run"),
    (_answer_is_anothers, "{} answers what it does not run"),
    (_session_outlives_its_environment, "sessions of nobody: {}"),
    (_idle_environment_is_to_deliver, "the dispatcher has failed: AssertionError('nothing to deliver') ({})"),
    (_end_comes_before_the_answer, "the dispatcher has failed: AssertionError('an answer to nothing') ({})"),
    (_fetch_waits_for_the_loop, "the dispatcher has failed: AssertionError('it waits for something') ({})"),
]
"""With the whole message, and the first seed where it is not 0: that it is late costs time."""


@pytest.mark.parametrize(("plant", "caught", "first"), [(*one, 0)[:3] for one in PLANTED])
def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch, plant: Plant, caught: str, first: int) -> None:
    plant(monkeypatch)

    def run() -> None:
        for seed in range(first, SEEDS):
            Day(seed, INVOCATIONS).run()

    with pytest.raises(Violation) as violation:
        run()
    assert is_the_message(caught, str(violation.value))


def test_each_message_has_a_bug_that_is_caught_by_it() -> None:
    """By no other one: the tests compare the whole text."""
    assert messages() == {one[1] for one in (*PLANTED, *PLANTED_WHERE_MEMORY_IS_SHORT)}

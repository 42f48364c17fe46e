"""What becomes of an event before and after an attempt."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.core import lineage
from lambent.core.errors import (
    RecursiveInvocationException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lambent.core.event_invoke import (
    DELIVERY_TRIES,
    Delivery,
    EventInvokeConfig,
    GiveUp,
    QueuedEvent,
    Retry,
    Trials,
    after_failed_delivery,
    after_function_error,
    after_refusal,
    backoff_ms,
    before_attempt,
    deliveries_of,
    ended_as,
    is_too_large,
)
from lambent.core.function import Configuration, FunctionName, FunctionVersion, Logging, Package, Status
from lambent.core.invocation import Answer
from lambent.core.invocation_record import Condition, Run, run_of

MINUTE = 60_000
HOUR = 60 * MINUTE


F = FunctionName("1", "r", "f")


def config(**settings) -> EventInvokeConfig:
    return EventInvokeConfig(F, "$LATEST", 0, **settings)


def version(dead_letter_arn: str | None) -> FunctionVersion:
    stored = {} if dead_letter_arn is None else {"DeadLetterConfig": {"TargetArn": dead_letter_arn}}
    return FunctionVersion(
        function=F,
        version="3",
        configuration=Configuration("role", "python3.13", "app.handler", logging=Logging("/g"), stored=stored),
        package=Package("0" * 64, 1),
        architectures=("x86_64",),
        revision_id="r",
        config_revision="c",
        last_modified_ms=0,
        state=Status("Active"),
        last_update=None,
    )


@pytest.mark.parametrize(("retries", "delays"), [(None, [1, 2]), (2, [1, 2]), (1, [1]), (0, [])])
def test_errors_of_the_function_are_retried_after_one_minute_and_then_two(retries: int | None, delays: list[int]):
    trials, now, waited = Trials(0), 5 * MINUTE, []
    while isinstance(decision := after_function_error(config(retry_attempts=retries), trials, now, MINUTE), Retry):
        waited.append((decision.due_ms - now) // MINUTE)
        trials, now = decision.trials, decision.due_ms
    assert waited == delays
    assert decision == GiveUp(Condition.RETRIES_EXHAUSTED, len(delays) + 1)


def test_throttles_and_faults_of_ours_back_off_to_five_minutes_until_the_event_is_six_hours_old():
    trials, now, waited = Trials(0), 0, []
    errors = [
        TooManyRequestsException("Rate Exceeded."),
        ServiceException("lost"),
        ResourceConflictException("Pending"),
    ]
    while before_attempt(config(), trials, None, now) is None:
        decision = after_refusal(config(), trials, errors[len(waited) % 3], now)
        assert isinstance(decision, Retry)
        waited.append((decision.due_ms - now) // 1000)
        trials, now = decision.trials, decision.due_ms
    assert waited[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert now == 6 * HOUR, "looked at again just when it is too old"
    assert before_attempt(config(), trials, None, now) == GiveUp(Condition.EVENT_AGE_EXCEEDED, 0)


def test_a_refusal_is_no_retry_and_an_attempt_ends_the_row_of_refusals():
    refused = after_refusal(config(), Trials(0, ran=1, refused=4), TooManyRequestsException(), 0)
    assert refused == Retry(16_000, Trials(0, ran=1, refused=5))
    failed = after_function_error(config(), refused.trials, 0, MINUTE)
    assert failed == Retry(2 * MINUTE, Trials(0, ran=2))


@pytest.mark.parametrize("error", [ResourceNotFoundException("gone"), RecursiveInvocationException("loop")])
def test_what_every_attempt_would_meet_again_ends_the_event(error: Exception):
    assert after_refusal(config(), Trials(0, ran=1), error, 0) == GiveUp(Condition.RETRIES_EXHAUSTED, 1)


def test_without_any_concurrency_the_event_is_given_up_without_an_attempt():
    assert before_attempt(config(), Trials(0), 0, 0) == GiveUp(Condition.ZERO_RESERVED, 0)
    assert before_attempt(config(), Trials(0), 1, 0) is None


def test_a_configuration_applies_to_what_is_queued_already():
    trials = Trials(0, ran=1)
    assert before_attempt(config(event_age_s=60), trials, None, 61_000) == GiveUp(Condition.EVENT_AGE_EXCEEDED, 1)
    assert before_attempt(config(event_age_s=120), trials, None, 61_000) is None
    assert isinstance(after_function_error(config(retry_attempts=0), trials, 0, MINUTE), GiveUp)


@given(
    st.integers(0, 2), st.integers(60, 21_600), st.integers(0, 3), st.integers(0, 100), st.integers(0, 10**9),
    st.booleans(),
)  # fmt: skip
def test_every_event_ends_and_none_waits_beyond_its_age(retries, age_s, ran, refused, now, is_throttled):
    given_config = config(retry_attempts=retries, event_age_s=age_s)
    trials = Trials(now, ran, refused)
    for _ in range(1000):
        if before_attempt(given_config, trials, None, now) is not None:
            return
        if is_throttled:
            decision = after_refusal(given_config, trials, ServiceException(), now)
        else:
            decision = after_function_error(given_config, trials, now, MINUTE)
        if isinstance(decision, GiveUp):
            return
        assert now < decision.due_ms <= trials.accepted_ms + 1000 * age_s
        trials, now = decision.trials, decision.due_ms
    raise AssertionError("it never ends")


def test_a_failure_is_told_to_destination_and_dead_letter_queue_and_a_success_to_its_destination():
    both = config(on_success="good", on_failure="bad")
    assert deliveries_of(both, version("queue"), Condition.SUCCESS) == (Delivery("good", is_dead_letter=False),)
    for condition in Condition:
        if condition is not Condition.SUCCESS:
            told = deliveries_of(both, version("queue"), condition)
            assert told == (Delivery("bad", is_dead_letter=False), Delivery("queue", is_dead_letter=True))
    assert deliveries_of(config(), version(None), Condition.RETRIES_EXHAUSTED) == ()


@pytest.mark.parametrize("event_id", range(1, 100, 7))
def test_a_delivery_is_tried_for_a_minute_or_two_and_not_again_where_that_is_in_vain(event_id: int):
    delivery = first = Delivery("queue", is_dead_letter=True)
    now = 0
    for failures in range(1, DELIVERY_TRIES):
        again = after_failed_delivery(delivery, event_id, is_transient=True, now_ms=now)
        assert again is not None
        assert backoff_ms(failures) / 2 <= again.due_ms - now <= backoff_ms(failures)
        delivery, now = again, again.due_ms
    assert after_failed_delivery(delivery, event_id, is_transient=True, now_ms=now) is None
    assert MINUTE <= now <= 127_000
    assert after_failed_delivery(first, event_id, is_transient=False, now_ms=0) is None


def test_what_has_failed_together_is_not_tried_again_together():
    first = Delivery("queue", is_dead_letter=True)
    again = [after_failed_delivery(first, event_id, is_transient=True, now_ms=0) for event_id in range(500, 1500)]
    tenths = Counter(one.due_ms // 50 for one in again if one is not None)
    assert len(tenths) >= 10
    assert max(tenths.values()) <= 120


SQS, SNS, BUS, FUNCTION, BUCKET = (
    f"arn:aws:{place}" for place in ("sqs:r:1:q", "sns:r:1:t", "events:r:1:b", "lambda:r:1:function:f", "s3:::b")
)


@pytest.mark.parametrize(
    ("target", "most"),
    [(SQS, 1_048_576), (SNS, 262_144), (BUS, 262_144), (FUNCTION, 1_048_576), (BUCKET, None), ("no ARN", None)],
)
def test_what_a_target_can_never_take_is_known_before_it_is_kept(target: str, most: int | None):
    to_destination = Delivery(target, is_dead_letter=False)
    for condition in Condition:
        if most is None or (target == SNS and condition is not Condition.SUCCESS):
            assert not is_too_large(to_destination, condition, 1_048_576, 6_291_556)
        else:
            assert not is_too_large(to_destination, condition, 100, most - 100)
            assert is_too_large(to_destination, condition, 100, most - 99)


def test_a_dead_letter_is_the_event_alone():
    for target, most in ((SQS, 1_048_576), (SNS, 262_144)):
        letter = Delivery(target, is_dead_letter=True)
        assert not is_too_large(letter, Condition.RETRIES_EXHAUSTED, most, 6_291_556)
        assert is_too_large(letter, Condition.RETRIES_EXHAUSTED, most + 1, 0)


def event(last_run: Run | None) -> QueuedEvent:
    return QueuedEvent("r", F, "live", "Root=1", Trials(0), b"{}", last_run=last_run)


def test_what_the_last_run_said_is_told_however_the_event_ends():
    run = run_of("3", Answer(b'{"errorMessage": "no stock"}', error_type="E"))
    told = ended_as(event(run), GiveUp(Condition.EVENT_AGE_EXCEEDED, 1), version(None), "Rate Exceeded.", 7)
    assert (told.executed_version, told.status_code, told.function_error) == ("3", 200, "Unhandled")
    assert told.error_message == "no stock"
    never = ended_as(event(None), GiveUp(Condition.RETRIES_EXHAUSTED, 0), version(None), "gone", 7)
    assert (never.executed_version, never.status_code, never.function_error) == (None, None, None)
    assert never.error_message == "gone"


def test_the_chain_that_follows_from_an_event_has_come_by_its_function():
    told = ended_as(event(None), GiveUp(Condition.ZERO_RESERVED, 0), version(None), "", 7)
    assert told.trace_id == f"Root=1;Lineage={lineage.mark_of(F)}:1"

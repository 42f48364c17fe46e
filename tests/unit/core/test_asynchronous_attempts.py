"""What becomes of an event before and after an attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Retry,
    Trials,
    after_failed_delivery,
    after_function_error,
    after_refusal,
    backoff_ms,
    before_attempt,
    deliveries_of,
)
from lambent.core.function import FunctionName
from lambent.core.invocation_record import Condition

MINUTE = 60_000
HOUR = 60 * MINUTE


def config(**settings) -> EventInvokeConfig:
    return EventInvokeConfig(FunctionName("1", "r", "f"), "$LATEST", 0, **settings)


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
    assert deliveries_of(both, "queue", Condition.SUCCESS) == (Delivery("good", is_dead_letter=False),)
    for condition in Condition:
        if condition is not Condition.SUCCESS:
            told = deliveries_of(both, "queue", condition)
            assert told == (Delivery("bad", is_dead_letter=False), Delivery("queue", is_dead_letter=True))
    assert deliveries_of(config(), None, Condition.RETRIES_EXHAUSTED) == ()


def test_a_delivery_is_tried_for_two_minutes_and_not_again_where_that_is_in_vain():
    delivery: Delivery | None = Delivery("queue", is_dead_letter=True)
    waited = 0
    for _ in range(DELIVERY_TRIES - 1):
        delivery = after_failed_delivery(delivery, is_transient=True)
        waited += backoff_ms(delivery.failures)
    assert after_failed_delivery(delivery, is_transient=True) is None
    assert waited == 127_000
    assert after_failed_delivery(Delivery("queue", is_dead_letter=True), is_transient=False) is None

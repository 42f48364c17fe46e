"""How the asynchronous invocations of a function, by one of its qualifiers, are to be treated; and what is to become of
one before and after an attempt: decisions over the configuration as it is at that time.

Source: developer guide, "Configuring error handling settings for Lambda asynchronous invocations", "Retain records of
Lambda asynchronous invocations" and "How Lambda handles errors and retries with asynchronous invocation".
"""

from msgspec.structs import replace

from lambent.core import lineage
from lambent.core.arn import function_arn
from lambent.core.errors import (
    InvalidParameterValueException,
    InvalidRequestContentException,
    ModelledError,
    RecursiveInvocationException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.core.invocation_record import Condition, Ended, Run
from lambent.core.limits import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    BUS_ENTRY_BYTES,
    EVENT_AGE_S,
    EVENT_REQUEST_BYTES,
    QUEUE_MESSAGE_BYTES,
    RETRY_ATTEMPTS,
    TOPIC_MESSAGE_BYTES,
)
from lambent.core.record import Record


class EventInvokeConfig(Record, frozen=True):
    """`qualifier` is a version or an alias. What the caller left to the defaults is None; destinations are ARNs."""

    function: FunctionName
    qualifier: str
    last_modified_ms: int
    retry_attempts: int | None = None
    event_age_s: int | None = None
    on_success: str | None = None
    on_failure: str | None = None

    def age_exceeded_ms(self, accepted_ms: int) -> int:
        """When an event that was accepted then is too old."""
        return accepted_ms + 1000 * (EVENT_AGE_S if self.event_age_s is None else self.event_age_s)

    def retries(self) -> int:
        return RETRY_ATTEMPTS if self.retry_attempts is None else self.retry_attempts


class Trials(Record, frozen=True):
    """What an event has behind it: `ran` attempts that ended in the function, and `refused` ones in a row that did not
    come to it, or were lost through no fault of its own."""

    accepted_ms: int
    ran: int = 0
    refused: int = 0


class Delivery(Record, frozen=True):
    """Of what has become of an event, or of the event as a dead letter, to whom it is still to be told, not before
    `due_ms`."""

    target_arn: str
    is_dead_letter: bool
    failures: int = 0
    due_ms: int = 0

    @property
    def service(self) -> str:
        """As the ARN names it; empty for what is none."""
        parts = self.target_arn.split(":", 5)
        return parts[2] if len(parts) == 6 else ""


class QueuedEvent(Record, frozen=True):
    """An asynchronous invocation that was accepted, until it is over. Every attempt has the same `request_id`;
    `qualifier` is resolved anew at each. `last_run` is there when one of them came to the function. When it `ended`,
    `deliveries` are what keeps it, the next one first."""

    request_id: str
    function: FunctionName
    qualifier: str | None
    trace_id: str
    trials: Trials
    payload: bytes = b""
    tenant_id: str | None = None
    last_run: Run | None = None
    ended: Ended | None = None
    deliveries: tuple[Delivery, ...] = ()


class Retry(Record, frozen=True):
    """Not before `due_ms`."""

    due_ms: int
    trials: Trials


class GiveUp(Record, frozen=True):
    condition: Condition
    invoke_count: int


NEVER_SUCCEEDS = (
    InvalidParameterValueException,
    InvalidRequestContentException,
    RecursiveInvocationException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
"""Errors that another attempt would meet again."""


def before_attempt(config: EventInvokeConfig, trials: Trials, reserved: int | None, now_ms: int) -> GiveUp | None:
    """What is to become of the event without an attempt, or None where there is to be one."""
    if reserved == 0:
        return GiveUp(Condition.ZERO_RESERVED, trials.ran)
    if now_ms >= config.age_exceeded_ms(trials.accepted_ms):
        return GiveUp(Condition.EVENT_AGE_EXCEEDED, trials.ran)
    if trials.ran > config.retries():
        return GiveUp(Condition.RETRIES_EXHAUSTED, trials.ran)
    return None


def after_function_error(config: EventInvokeConfig, trials: Trials, now_ms: int, retry_delay_ms: int) -> Retry | GiveUp:
    """The first retry comes after the delay, each further one after so much more."""
    ran = trials.ran + 1
    if ran > config.retries():
        return GiveUp(Condition.RETRIES_EXHAUSTED, ran)
    return _retry(config, Trials(trials.accepted_ms, ran), now_ms + ran * retry_delay_ms)


def after_refusal(config: EventInvokeConfig, trials: Trials, error: ModelledError, now_ms: int) -> Retry | GiveUp:
    """The function was not run, or was lost while it ran: that is no retry, and ends with the event's age alone."""
    if isinstance(error, NEVER_SUCCEEDS):
        return GiveUp(Condition.RETRIES_EXHAUSTED, trials.ran)
    refused = trials.refused + 1
    return _retry(config, Trials(trials.accepted_ms, trials.ran, refused), now_ms + backoff_ms(refused))


def deliveries_of(config: EventInvokeConfig, version: FunctionVersion, condition: Condition) -> tuple[Delivery, ...]:
    """To whom is to be told that the event ended so. A failure goes to both, where there are both."""
    if condition is Condition.SUCCESS:
        return () if config.on_success is None else (Delivery(config.on_success, is_dead_letter=False),)
    to_destination = () if config.on_failure is None else (Delivery(config.on_failure, is_dead_letter=False),)
    queue = version.configuration.stored.get("DeadLetterConfig")
    to_queue = (Delivery(queue["TargetArn"], is_dead_letter=True),) if isinstance(queue, dict) else ()
    return to_destination + to_queue


def ended_as(event: QueuedEvent, end: GiveUp, version: FunctionVersion, refusal: str, now_ms: int) -> Ended:
    """What is to be told, without the answer. `refusal` is why it was not run at last: where it never was, that is what
    is told."""
    run = event.last_run
    return Ended(
        request_id=event.request_id,
        function=event.function,
        function_arn=function_arn(event.function, event.qualifier or LATEST),
        condition=end.condition,
        invoke_count=end.invoke_count,
        payload=event.payload,
        at_ms=now_ms,
        trace_id=lineage.handed_on(event.trace_id, event.function),
        role=version.configuration.role,
        executed_version=None if run is None else run.executed_version,
        status_code=None if run is None else 200,
        function_error=None if run is None else run.function_error,
        error_message=refusal if run is None else run.error_message,
    )


def is_too_large(delivery: Delivery, condition: Condition, payload_bytes: int, response_bytes: int) -> bool:
    """Whether the target can never take it. Event and answer are in a record to the byte, or longer; a failure's record
    goes to SNS without them if need be."""
    if delivery.is_dead_letter:
        told = payload_bytes
    elif delivery.service == "sns" and condition is not Condition.SUCCESS:
        return False
    else:
        told = payload_bytes + response_bytes
    return told > _TAKES_BYTES.get(delivery.service, told)


def after_failed_delivery(delivery: Delivery, event_id: int, *, is_transient: bool, now_ms: int) -> Delivery | None:
    """The delivery as it is to be tried again; None where it is given up."""
    failures = delivery.failures + 1
    if not is_transient or failures >= DELIVERY_TRIES:
        return None
    return replace(delivery, failures=failures, due_ms=now_ms + spread_ms(backoff_ms(failures), event_id))


LONGEST_BACKOFF_MS = 1000 * BACKOFF_S_MAX


def backoff_ms(times: int) -> int:
    """How long to wait after something was refused so many times in a row, once at least."""
    return min(1000 * BACKOFF_S_MIN << min(times - 1, 32), LONGEST_BACKOFF_MS)


def spread_ms(wait_ms: int, key: int) -> int:
    """The wait or a part of it, half at least, that is another for each key: what has failed together is not tried
    again together."""
    return wait_ms - wait_ms * (key * _SPREADS_EVENLY % 65_536) // 131_072


def _retry(config: EventInvokeConfig, trials: Trials, due_ms: int) -> Retry:
    """An event that will be too old is looked at again when it is: its configuration may be another by then."""
    return Retry(min(due_ms, config.age_exceeded_ms(trials.accepted_ms)), trials)


_SPREADS_EVENLY = 40_503
"""65,536 by the golden ratio: keys that follow each other come far from each other."""
_TAKES_BYTES = {
    "lambda": EVENT_REQUEST_BYTES,
    "sqs": QUEUE_MESSAGE_BYTES,
    "sns": TOPIC_MESSAGE_BYTES,
    "events": BUS_ENTRY_BYTES,
}
DELIVERY_TRIES = 8
"""Within two minutes. AWS says that deliveries are tried again, not how often."""

DESTINATIONS_ON_SUCCESS = ("sqs", "sns", "lambda", "events")
DESTINATIONS_ON_FAILURE = (*DESTINATIONS_ON_SUCCESS, "s3")
"""The services, as ARNs name them, that a record of an invocation may go to."""
DEAD_LETTER_TARGETS = ("sqs", "sns")
"""Those that an event itself may go to, when it is given up."""


def is_destination(arn: str, services: tuple[str, ...]) -> bool:
    """Whether records can go there: to one of the services, and to no queue or topic that keeps an order."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] not in services:
        return False
    return not (parts[2] in ("sqs", "sns") and parts[5].endswith(".fifo"))

"""What has become of an asynchronous invocation, as those hear of it to whom it is told: destinations and dead-letter
queues.

Source: developer guide, "Retain records of Lambda asynchronous invocations".
"""

from enum import StrEnum

from lambent.core.function import FunctionName
from lambent.core.record import Record


class Condition(StrEnum):
    """`condition` of a record."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED = "ZeroReservedConcurrency"


class Ended(Record, frozen=True):
    """An asynchronous invocation that is over. `function_arn` is qualified; what tells of the last attempt is None
    where the function never ran. `error_message` is for the attribute of a dead letter."""

    request_id: str
    function: FunctionName
    function_arn: str
    condition: Condition
    invoke_count: int
    payload: bytes
    at_ms: int
    trace_id: str
    role: str
    executed_version: str | None = None
    status_code: int | None = None
    function_error: str | None = None
    response: bytes | None = None
    error_message: str = ""


class DeliveryFailed(Exception):
    """A record or a dead letter could not be delivered. When it `is_transient`, another try may do."""

    def __init__(self, message: str, *, is_transient: bool) -> None:
        super().__init__(message)
        self.is_transient = is_transient

"""How the asynchronous invocations of a function, by one of its qualifiers, are to be treated.

Source: developer guide, "Configuring error handling settings for Lambda asynchronous invocations" and "Retain records
of Lambda asynchronous invocations".
"""

from lambent.core.function import FunctionName
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

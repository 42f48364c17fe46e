"""An invocation: what is asked of a function, and what came of it. Plain data."""

from enum import StrEnum

from lambent.core.record import Record


class Outcome(StrEnum):
    """How an attempt ended, as the ledger and the REPORT line tell it."""

    SUCCESS = "success"
    FUNCTION_ERROR = "error"
    """The runtime reported an error through the Runtime API; the environment lives on."""
    CRASH = "crash"
    """The runtime's process ended, or could not be initialised; the environment is reset."""
    TIMEOUT = "timeout"
    LOST = "lost"
    """The worker or its sandbox was lost under the invocation: a fault of the platform."""


class Invocation(Record, frozen=True):
    """One event for one execution environment.

    `request_id` is a UUID. `deadline_ms` is computed by the worker from its own clock when the function starts:
    the time budget is `EnvironmentSpec.timeout_ms`. `client_context` is decoded JSON text; `trace_id` the
    `X-Amzn-Trace-Id` header's value. `invoked_arn` keeps the qualifier that the caller used.
    """

    request_id: str
    invoked_arn: str
    payload: bytes
    content_type: str = "application/json"
    client_context: str | None = None
    trace_id: str | None = None
    wants_tail: bool = False


class Answer(Record, frozen=True):
    """What the caller gets: the function's bytes, or the error document (`error_type` set)."""

    payload: bytes
    content_type: str = "application/json"
    error_type: str | None = None


class Restoration(Record, frozen=True):
    """How long it took to restore an environment: from the beginning, and since its processes ran. Microseconds.

    Source of the two: developer guide, "Monitoring for Lambda SnapStart", Restore Duration and Billed Restore Duration.
    """

    duration_us: int
    billed_us: int


class Report(Record, frozen=True):
    """The measures of one attempt: what the ledger keeps and the REPORT line shows.

    Durations are microseconds; `init_us` and `restoration` are set only on the attempt that paid for the init phase or
    the restore phase; `max_memory_mib` is the environment's high-water mark.
    """

    outcome: Outcome
    duration_us: int
    max_memory_mib: int
    init_us: int | None = None
    error_type: str | None = None
    tail: bytes = b""
    restoration: Restoration | None = None

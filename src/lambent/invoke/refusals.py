"""What a caller is told whose invocation has found no environment to run in."""

from lambent.core.admission import Refusal
from lambent.core.errors import (
    ModelledError,
    ServiceException,
    SnapStartException,
    SnapStartRegenerationFailureException,
    SnapStartTimeoutException,
    TooManyRequestsException,
)
from lambent.core.invocation import Outcome
from lambent.worker.messages import Gone


def too_many(refusal: Refusal) -> TooManyRequestsException:
    """Source: API reference, Invoke, TooManyRequestsException."""
    return TooManyRequestsException(
        "Rate Exceeded.", Reason=refusal.reason, retryAfterSeconds=str(refusal.retry_after_s)
    )


def not_started(event: Gone) -> ModelledError:
    """The environment that the invocation has waited for is gone."""
    match event.restoration:
        case None:
            return ServiceException(f"No execution environment could be started: {event.reason}")
        case Outcome.TIMEOUT:
            return SnapStartTimeoutException("Lambda couldn't restore the snapshot within the timeout limit.")
        case _:
            return SnapStartException(
                "The afterRestore() runtime hook encountered an error. For more information, check the Amazon "
                "CloudWatch logs."
            )


def not_regenerated() -> SnapStartRegenerationFailureException:
    """The template that its environment was to be restored from could not be made."""
    return SnapStartRegenerationFailureException(
        "Lambda couldn't regenerate the SnapStart snapshot for the function. Wait for Lambda to retry, or update the "
        "function's configuration to trigger a new snapshot."
    )

"""What is told of a runtime that fails or errs: to the caller, in the log, and to the runtime itself."""

import json
import signal

from lambent.core.environment import Failure, Phase
from lambent.core.invocation import Answer
from lambent.worker.runtime_api import Refusal
from lambent.worker.sandbox.driver import Exit

RESPONSE_TOO_LARGE = Answer(
    json.dumps(
        {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        },
        separators=(",", ":"),
    ).encode(),
    error_type="Function.ResponseSizeTooLarge",
)
"""For the caller, in place of the response."""

RESPONSE_REFUSED = Refusal(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")
"""The same, for the runtime."""

UNKNOWN_REQUEST = Refusal(400, "InvalidRequestID", "Invalid request ID")

NOT_AUTHORIZED = Refusal(401, "Unauthorized", "The authorization token is not valid")
NO_CREDENTIALS = Refusal(404, "InvalidRequest", "The credentials are in the environment variables")
"""For whoever asks for credentials. AWS does not tell its words."""

_RUNTIME_STATES = {
    Phase.STARTING: "Started",
    Phase.INIT: "Started",
    Phase.REINIT: "Started",
    Phase.TEMPLATE: "RestoreReady",
    Phase.RESTORE: "Restoring",
    Phase.READY: "Ready",
    Phase.INVOKE: "Running",
    Phase.DRAINING: "RuntimeResponseSentState",
    Phase.RESETTING: "InitError",
    Phase.BROKEN: "InitError",
    Phase.SHUTDOWN: "InitError",
    Phase.GONE: "InitError",
}
"""The runtime's states, as the Runtime API's error texts name them."""


def not_now(phase: Phase, wanted: str) -> Refusal:
    """For a runtime that calls out of turn."""
    message = (
        f"State transition from {_RUNTIME_STATES[phase]} to {wanted} failed for runtime. "
        "Error: State transition is not allowed"
    )
    return Refusal(403, "InvalidStateTransition", message)


def failure_of(ended: Exit) -> Failure:
    """Source of the texts: the errors that Lambda answers with for a runtime that ends."""
    if ended.launch_error is not None:
        return Failure("Runtime.InvalidEntrypoint", ended.launch_error)
    if ended.signal is not None:
        name = _SIGNAL_NAMES.get(ended.signal) or f"signal {ended.signal}"
        return Failure("Runtime.ExitError", f"Runtime exited with error: signal: {name}")
    if ended.code:
        return Failure("Runtime.ExitError", f"Runtime exited with error: exit status {ended.code}")
    return Failure("Runtime.ExitError", "Runtime exited without providing a reason")


_SIGNAL_NAMES: dict[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
    signal.SIGTERM: "terminated",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGSYS: "bad system call",
}
"""As Go names them, in which the platform's own supervisor is written."""

"""What is told of a runtime that fails or errs: to the caller, in the log, and to the runtime itself."""

import json
import signal

from lambent.core.environment import Failure, Phase
from lambent.core.invocation import Answer
from lambent.worker.runtime_api import Flaw, Refusal
from lambent.worker.sandbox.driver import Exit


def _instead_of_response(error_type: str, message: str) -> Answer:
    document = json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":"))
    return Answer(document.encode(), error_type=error_type)


FLAWED: dict[Flaw, tuple[Answer, Refusal]] = {
    Flaw.TOO_LARGE: (
        _instead_of_response(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        ),
        Refusal(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes)."),
    ),
    Flaw.BROKEN_OFF: (
        _instead_of_response("Runtime.TruncatedResponse", "HTTP request detected as truncated"),
        Refusal(400, "TruncatedHTTPRequest", "HTTP request detected as truncated"),
    ),
    Flaw.UNKNOWN_MODE: (
        _instead_of_response("Runtime.InvalidResponseModeHeader", "Invalid function response mode"),
        Refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode"),
    ),
}
"""For the caller in place of a response that can not be passed on, and for the runtime that has posted it. The caller's
words are AWS's for the first only."""

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
    if ended.fault:
        return Failure("Sandbox.Failure", ended.fault)
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

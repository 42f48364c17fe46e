"""The front end of the data plane: Invoke and InvokeAsync, from a parsed request to a result.

Resolves the qualifier in the snapshot, checks in the order in which AWS does, and hands over to the dispatcher, or to
the queue of asynchronous invocations. Whoever has an event for a function comes through here.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lambent.clock import Clock
from lambent.core import lineage
from lambent.core.alias import choose_version
from lambent.core.arn import function_arn, resolve_name
from lambent.core.errors import (
    InvalidParameterValueException,
    InvalidRequestContentException,
    KMSNotFoundException,
    ModelledError,
    RecursiveInvocationException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    SnapStartNotReadyException,
)
from lambent.core.event_invoke import QueuedEvent, Trials
from lambent.core.function import LATEST, FunctionName, State, has_snap_start
from lambent.core.invocation import Invocation
from lambent.core.json_text import is_json
from lambent.core.limits import EVENT_REQUEST_BYTES, INVOKE_ASYNC_REQUEST_BYTES, SYNC_REQUEST_BYTES
from lambent.ids import RandomIds
from lambent.invoke.client_context import decode_client_context
from lambent.invoke.configuration import Serving, ServingConfiguration
from lambent.invoke.dispatcher import Completed, Dispatcher
from lambent.wire.call import Call, Reply, Tell

TRACE_HEADER_CHARS = 1024
"""A root, a parent, a decision and the longest lineage take half of that."""

_UNPARSED = "Could not parse request body into json: Could not parse payload into json: "

_json_skim = msgspec.json.Decoder(msgspec.Raw)
"""Checks that bytes are JSON without building anything from them."""


Accept = Callable[[QueuedEvent, Callable[[ModelledError | None], None]], None]
"""Keeps an event, and tells when it is on disk, or why it is not kept."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """What Invoke needs. `draw` gives evenly distributed numbers in [0, 1), by which weighted aliases choose; `accept`
    takes asynchronous invocations."""

    configuration: ServingConfiguration
    dispatcher: Dispatcher
    clock: Clock
    ids: RandomIds
    draw: Callable[[], float]
    accept: Accept


def invoke(frontend: Frontend, call: Call, tell: Tell) -> None:
    """The Invoke operation. Source of the order of checks: `AWS Lambda API Reference`, Invoke, and its errors."""
    params = call.params
    kind = params.get("InvocationType") or "RequestResponse"
    function, qualifier = _named(call)
    serving, invoked_arn = resolve(frontend, function, qualifier)
    payload = params.get("Payload") or b"{}"
    _check_payload(payload, kind, EVENT_REQUEST_BYTES if kind == "Event" else SYNC_REQUEST_BYTES)
    tenant_id = params.get("TenantId")
    if serving.version.configuration.tenant_isolation_mode is not None or "TenantId" in params:
        serving = _of_tenant(serving, tenant_id)
    encoded = params.get("ClientContext")
    client_context = decode_client_context(encoded) if encoded else None
    if kind == "DryRun":
        tell(Reply({"StatusCode": 204}))
        return
    given = call.headers.get("x-amzn-trace-id")
    trace_id = given if given and _may_be_trace(given) else _new_trace_id(frontend)
    if kind == "Event":
        event = QueuedEvent(
            call.request_id, function, qualifier, trace_id, Trials(frontend.clock.wall_ms()), payload, tenant_id
        )
        frontend.accept(event, lambda error: tell(error or _accepted(trace_id)))
        return
    trace_id = _extended(frontend, function, trace_id)
    invocation = Invocation(
        request_id=call.request_id,
        invoked_arn=invoked_arn,
        payload=payload,
        # Whatever the request names: SDKs send application/octet-stream, and a runtime parses JSON only as such.
        content_type="application/json",
        client_context=client_context,
        trace_id=trace_id,
        wants_tail=params.get("LogType") == "Tail",
    )
    version = serving.version.version
    frontend.dispatcher.invoke(serving, invocation, lambda result: tell(_reply(version, trace_id, result)))


def invoke_async(frontend: Frontend, call: Call, tell: Tell) -> None:
    """The InvokeAsync operation, deprecated: an asynchronous invocation that is not handed the caller's trace."""
    function, qualifier = _named(call)
    serving, _ = resolve(frontend, function, qualifier)
    payload = call.params.get("InvokeArgs") or b"{}"
    _check_payload(payload, "Event", INVOKE_ASYNC_REQUEST_BYTES)
    if serving.version.configuration.tenant_isolation_mode is not None:
        serving = _of_tenant(serving, None)
    trials = Trials(frontend.clock.wall_ms())
    event = QueuedEvent(call.request_id, function, qualifier, _new_trace_id(frontend), trials, payload)
    frontend.accept(event, lambda error: tell(error or {"Status": 202}))


def attempt(frontend: Frontend, event: QueuedEvent, tell: Callable[[Serving, Completed | ModelledError], None]) -> None:
    """Run a queued event, with the checks that every invocation has; its client context is not kept. It does not begin
    when it is too old. Raises ModelledError, with nothing told."""
    serving, invoked_arn = resolve(frontend, event.function, event.qualifier)
    if serving.version.configuration.tenant_isolation_mode is not None or event.tenant_id is not None:
        serving = _of_tenant(serving, event.tenant_id)
    if frontend.dispatcher.knows(event.request_id):
        raise ServiceException("The attempt before this one is not over.")
    trace_id = _extended(frontend, event.function, event.trace_id)
    invocation = Invocation(event.request_id, invoked_arn, event.payload, trace_id=trace_id)
    config = frontend.configuration.event_invoke(event.function, event.qualifier)
    left_ms = config.age_exceeded_ms(event.trials.accepted_ms) - frontend.clock.wall_ms()
    frontend.dispatcher.invoke(
        serving, invocation, lambda result: tell(serving, result), queued=True, within_us=max(0, left_ms) * 1000
    )


async def accept_record(frontend: Frontend, account: str, arn: str, payload: bytes, trace_id: str) -> None:
    """Take an event for the account's function, which nobody's request brought. It is on disk when this returns. Raises
    ModelledError, as Invoke answers."""
    function, qualifier = resolve_name(arn, None, account=account, region=arn.split(":")[3])
    serving, _ = resolve(frontend, function, qualifier)
    _check_payload(payload, "Event", EVENT_REQUEST_BYTES)
    if lineage.was_stopped(lineage.passes(trace_id, lineage.mark_of(function))):
        _stop_loop(frontend, function)
    if serving.version.configuration.tenant_isolation_mode is not None:
        serving = _of_tenant(serving, None)
    accepted: asyncio.Future[ModelledError | None] = asyncio.get_running_loop().create_future()
    trials = Trials(frontend.clock.wall_ms())
    frontend.accept(
        QueuedEvent(frontend.ids.uuid(), function, qualifier, trace_id, trials, payload), accepted.set_result
    )
    error = await asyncio.shield(accepted)
    if error is not None:
        raise error


def _accepted(trace_id: str) -> Reply:
    return Reply({"StatusCode": 202}, (("X-Amzn-Trace-Id", trace_id), ("X-Amzn-Remapped-Content-Length", "0")))


def _extended(frontend: Frontend, function: FunctionName, trace_id: str) -> str:
    """The trace that the function is handed, with its lineage. Raises RecursiveInvocationException."""
    if lineage.is_loop(lineage.passes(trace_id, lineage.mark_of(function))):
        _stop_loop(frontend, function)
    return lineage.handed_on(trace_id, function)


def _stop_loop(frontend: Frontend, function: FunctionName) -> None:
    """Unless it is allowed. Raises RecursiveInvocationException."""
    latest = frontend.configuration.find(function)
    if latest is None or latest.current.recursive_loop == "Terminate":
        raise RecursiveInvocationException(
            "Lambda has detected your function being invoked in a recursive loop with other AWS resources and "
            "stopped your function's invocation."
        )


def _reply(version: str, trace_id: str, completed: Completed | ModelledError) -> Reply | ModelledError:
    """What the caller gets. Source: API reference, Invoke, "Response Syntax"."""
    if isinstance(completed, ModelledError):
        return completed
    answer = completed.answer
    result: dict[str, Any] = {
        "StatusCode": 200,
        "ExecutedVersion": version,
        "Payload": answer.payload,
    }
    if answer.error_type is not None:
        result["FunctionError"] = "Unhandled"
    if completed.tail is not None:
        result["LogResult"] = base64.b64encode(completed.tail).decode()
    headers = (
        ("Content-Type", "application/json"),
        ("X-Amzn-Trace-Id", trace_id),
        ("X-Amzn-Remapped-Content-Length", "0"),
    )
    return Reply(result, headers)


def _named(call: Call) -> tuple[FunctionName, str | None]:
    return resolve_name(
        call.params["FunctionName"], call.params.get("Qualifier"), account=call.caller.account, region=call.region
    )


def resolve(frontend: Frontend, function: FunctionName, qualifier: str | None) -> tuple[Serving, str]:
    """The version that is to run, and its ARN with the qualifier that the caller used. Raises ModelledError."""
    version = qualifier or LATEST
    alias = None if qualifier is None else frontend.configuration.alias(function, qualifier)
    if alias is not None:
        version = choose_version(alias, frontend.draw)
    snapshot = frontend.configuration.find(function, version)
    if snapshot is None:
        missing = function_arn(function, qualifier or LATEST)
        raise ResourceNotFoundException(f"Function not found: {missing}")
    serving = snapshot.serving
    if serving is None:
        state = State.FAILED if snapshot.current.state.value == State.FAILED else State.PENDING
        if state is State.PENDING and has_snap_start(snapshot.current):
            raise SnapStartNotReadyException(
                "Lambda is initializing your function. You can invoke the function when the function state becomes "
                "Active."
            )
        raise ResourceConflictException(
            f"The operation cannot be performed at this time. The function is currently in the following state: {state}"
        )
    configuration = serving.version.configuration
    if configuration.unreadable is not None:
        raise KMSNotFoundException(configuration.unreadable.message)
    return serving, serving.arn if qualifier is None else f"{serving.arn}:{qualifier}"


def _of_tenant(serving: Serving, tenant_id: str | None) -> Serving:
    """Source: developer guide, "Troubleshooting Lambda tenant isolation"."""
    if serving.version.configuration.tenant_isolation_mode is None:
        raise InvalidParameterValueException(
            "The invoked function is not enabled with tenancy configuration. "
            "Remove the tenant ID from your request and try again."
        )
    if tenant_id is None:
        raise InvalidParameterValueException(
            "The invoked function is enabled with tenancy configuration. "
            "Add a valid tenant ID in your request and try again."
        )
    return serving.for_tenant(tenant_id)


def _check_payload(payload: bytes, kind: str, limit: int) -> None:
    if len(payload) > limit:
        raise RequestTooLargeException(
            f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        )
    try:
        _json_skim.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not is_json(payload):
            raise InvalidRequestContentException(_parse_failure(payload)) from None
    except RecursionError:
        raise InvalidRequestContentException(f"{_UNPARSED}Document nesting is deeper than is read") from None


def _parse_failure(payload: bytes) -> str:
    """AWS's text for a payload that is not JSON: the position is told, never the content beyond one token."""
    text = payload.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        line, column, position = error.lineno, error.colno, error.pos
    except RecursionError:
        line, column, position = 1, 1, 0
    else:
        line, column, position = 1, 1, 0  # what Python forgives (NaN) and JSON does not have
    token = _token_at(text, position)
    if not text[position:].strip():
        reason = "Unexpected end-of-input"
    elif len(token) > 1 or token.isalpha():
        reason = (
            f"Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token "
            "'null', 'true' or 'false')"
        )
        column += len(token)
    else:
        reason = (
            f"Unexpected character ('{text[position]}' (code {ord(text[position])})): expected a valid value "
            "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
        )
    source = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
    return f"{_UNPARSED}{reason}\n at {source}; line: {line}, column: {column}]"


def _token_at(text: str, position: int) -> str:
    end = position
    while end < len(text) and end - position < 64 and (text[end].isalnum() or text[end] in "_$"):
        end += 1
    return text[position:end]


def _may_be_trace(given: str) -> bool:
    """Whether a runtime can be handed the caller's header: Python's client ends at one that is not ASCII."""
    return len(given) <= TRACE_HEADER_CHARS and given.isascii() and given.isprintable()


def _new_trace_id(frontend: Frontend) -> str:
    """A trace of our own, not sampled. Source: X-Ray developer guide, "Tracing header"."""
    digits = frontend.ids.hex(40)
    return f"Root=1-{frontend.clock.wall_ms() // 1000:08x}-{digits[:24]};Parent={digits[24:]};Sampled=0"


OPERATIONS: dict[str, Callable[[Frontend, Call, Tell], None]] = {"Invoke": invoke, "InvokeAsync": invoke_async}

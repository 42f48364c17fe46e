"""What is told of an asynchronous invocation that has ended: the record for a destination, and the event itself with
attributes for a dead-letter queue.

Source of the forms: developer guide, "Capturing records of Lambda asynchronous invocations".
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from lambent.core.function import FunctionName
from lambent.core.invocation import Answer
from lambent.core.json_text import is_json
from lambent.core.limits import DEAD_LETTER_ERROR_MESSAGE_BYTES, DEAD_LETTER_MESSAGE_CHARS, TOPIC_MESSAGE_BYTES
from lambent.core.record import Record


class Condition(StrEnum):
    """Why the record is sent."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED = "ZeroReservedConcurrency"


class Run(Record, frozen=True):
    """How an attempt that came to the function has ended. What it answered is kept apart: so many bytes."""

    executed_version: str
    function_error: str | None = None
    error_message: str = ""
    response_bytes: int = 0


class Ended(Record, frozen=True):
    """An event that is done with: it was handled, or is given up. `function_arn` is qualified; `at_ms` is of the wall
    clock; `trace_id` tells that the chain has come by this function, too; `role` is the function's. What comes of a run
    is None, and `error_message` empty, where there was none."""

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


class _ErrorDocument(msgspec.Struct):
    errorMessage: str = ""  # noqa: N815 as runtimes spell it


_read_error = msgspec.json.Decoder(_ErrorDocument).decode


def run_of(version: str, answer: Answer) -> Run:
    if answer.error_type is None:
        return Run(version, response_bytes=len(answer.payload))
    return Run(version, "Unhandled", _error_message(answer.payload), len(answer.payload))


def _error_message(document: bytes) -> str:
    """The function's own words, or nothing where it has none that can be read."""
    try:
        return _read_error(document).errorMessage[:DEAD_LETTER_MESSAGE_CHARS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


class DeliveryFailed(Exception):
    """A target did not take what it was sent. What `is_transient` may go well at another time. The message is for the
    operator: there is nothing in it of what was sent."""

    def __init__(self, message: str, *, is_transient: bool) -> None:
        super().__init__(message)
        self.is_transient = is_transient


class _RequestContext(Record, frozen=True, rename="camel"):
    request_id: str
    function_arn: str
    condition: Condition
    approximate_invoke_count: int


class _ResponseContext(Record, frozen=True, rename="camel", omit_defaults=True):
    status_code: int
    executed_version: str | None = None
    function_error: str | None = None


class _InvocationRecord(Record, frozen=True, rename="camel", omit_defaults=True):
    version: str
    timestamp: str
    request_context: _RequestContext
    request_payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    response_context: _ResponseContext | msgspec.UnsetType = msgspec.UNSET
    response_payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


def destination_record(ended: Ended, *, with_payloads: bool = True) -> str:
    """The record. The event and the function's answer are in it as they were sent, to the byte."""
    payloads: dict[str, msgspec.Raw] = {}
    if with_payloads:
        payloads["request_payload"] = _verbatim(ended.payload)
        if ended.response is not None:
            payloads["response_payload"] = _verbatim(ended.response)
    record = _InvocationRecord(
        version="1.0",
        timestamp=_moment(ended).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        request_context=_RequestContext(
            ended.request_id, ended.function_arn, ended.condition, approximate_invoke_count=ended.invoke_count
        ),
        response_context=msgspec.UNSET
        if ended.status_code is None
        else _ResponseContext(ended.status_code, ended.executed_version, ended.function_error),
        **payloads,
    )
    return _encode(record).decode()


def topic_record(ended: Ended) -> str:
    """The record for SNS, which takes no message beyond 256 KB: then one of a failure goes without the payloads.
    Source: API reference, OnFailure."""
    record = destination_record(ended)
    if ended.condition is Condition.SUCCESS or len(record.encode()) <= TOPIC_MESSAGE_BYTES:
        return record
    return destination_record(ended, with_payloads=False)


def event_bridge_entry(ended: Ended, event_bus_arn: str) -> dict[str, Any]:
    """The entry of PutEvents."""
    outcome = "Success" if ended.condition is Condition.SUCCESS else "Failure"
    entry = {
        "EventBusName": event_bus_arn,
        "Time": _moment(ended).replace(microsecond=0),
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {outcome}",
        "Resources": [event_bus_arn, ended.function_arn],
        "Detail": destination_record(ended),
    }
    return entry | ({"TraceHeader": ended.trace_id} if ended.trace_id else {})


def object_key(ended: Ended) -> str:
    """Where in its bucket the record is. AWS ends it with a random UUID; the request's is one, and who has to send the
    record twice writes the same object."""
    return f"aws/lambda/async/{ended.function.name}/{_moment(ended):%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{ended.request_id}"


def dead_letter(ended: Ended) -> str:
    """The event, as it was sent."""
    return ended.payload.decode("utf-8", "replace")


def queue_message(document: str) -> str:
    """The JSON document in the characters that a queue takes: any other becomes its escape, and the document says the
    same."""
    return _NO_CHARACTER_OF_A_MESSAGE.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def dead_letter_attributes(ended: Ended) -> dict[str, dict[str, str]]:
    """The attributes of a dead letter's message, in the form of SQS and SNS. One that has nothing to say is left out:
    neither service takes an empty value."""
    whole = _NO_CHARACTER_OF_A_MESSAGE.sub("\ufffd", ended.error_message)
    message = whole.encode()[:DEAD_LETTER_ERROR_MESSAGE_BYTES].decode("utf-8", "ignore")
    attributes = {"RequestID": ("String", ended.request_id)}
    if ended.status_code is not None:
        attributes["ErrorCode"] = ("Number", str(ended.status_code))
    if message:
        attributes["ErrorMessage"] = ("String", message)
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in attributes.items()}


_NO_CHARACTER_OF_A_MESSAGE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A message that has one is refused: no event is to be lost for a colour in an error's text. Source: SQS API reference,
SendMessage, MessageBody."""


def _verbatim(text: bytes) -> msgspec.Raw:
    """JSON as it is. What is none, as an answer may be that no client of AWS has made, becomes a string."""
    if not is_json(text):
        return msgspec.Raw(_encode(text.decode("utf-8", "replace")))
    return msgspec.Raw(text.decode("utf-8", "replace"))


def _moment(ended: Ended) -> datetime:
    return datetime.fromtimestamp(ended.at_ms / 1000, UTC)

"""Results and errors as HTTP responses."""

import json
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest

from lambent.core.errors import (
    AccessDeniedException,
    ModelledError,
    NotImplementedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
    ValidationException,
)
from lambent.wire import eventstream
from lambent.wire.call import Reply
from lambent.wire.catalog import Protocol, service
from lambent.wire.http import HttpResponse
from lambent.wire.malformed import SerializationException
from lambent.wire.routes import Routed
from lambent.wire.serialize import fail, respond

ID = "8f507cfc-aaaa-4697-b07a-ac58fc914c95"


class NoSuchEntityException(ModelledError):
    code = "NoSuchEntityException"


class NoSuchEntity(ModelledError):
    code = "NoSuchEntity"


def routed(of: str, name: str, protocol: Protocol | None = None) -> Routed:
    found = service(of)
    return Routed(found, protocol or found.protocols[0], found.operations[name])


def headers(answer: HttpResponse) -> dict[str, str]:
    names = [name.lower() for name, _ in answer.headers]
    assert len(names) == len(set(names)), "a header is there twice"
    return dict(answer.headers)


def document(answer: HttpResponse) -> Any:
    return json.loads(answer.body)


def test_an_invocations_result_goes_out_as_it_is() -> None:
    result = {"StatusCode": 200, "ExecutedVersion": "7", "LogResult": None, "Payload": b"\x00raw"}
    answer = respond(routed("lambda", "Invoke"), Reply(result, (("Content-Type", "application/json"),)), ID)
    assert (answer.status, answer.body) == (200, b"\x00raw")
    assert headers(answer) == {
        "Content-Type": "application/json",
        "X-Amz-Executed-Version": "7",
        "x-amzn-RequestId": ID,
    }


def test_the_status_is_the_members_then_the_models() -> None:
    assert respond(routed("lambda", "Invoke"), {"StatusCode": 202}, ID).status == 202
    assert respond(routed("lambda", "CreateFunction"), {}, ID).status == 201
    assert respond(routed("lambda", "CreateFunction"), Reply({}, status=200), ID).status == 200


def test_an_answer_without_content_has_no_body() -> None:
    answer = respond(routed("lambda", "DeleteFunction"), {"StatusCode": 204}, ID)
    assert (answer.status, answer.body, headers(answer)) == (204, b"", {"x-amzn-RequestId": ID})


def test_members_that_are_none_or_absent_are_not_sent() -> None:
    result = {"FunctionName": "f", "Handler": None, "Layers": [], "Environment": {"Variables": {}}}
    answer = respond(routed("lambda", "GetFunctionConfiguration"), result, ID)
    assert document(answer) == {"FunctionName": "f", "Layers": [], "Environment": {"Variables": {}}}
    assert headers(answer)["Content-Type"] == "application/json"


def test_timestamps_are_epoch_seconds_in_json() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    mapping = respond(routed("lambda", "GetEventSourceMapping"), {"LastModified": moment}, ID)
    assert document(mapping) == {"LastModified": 1767323045.678}
    assert document(respond(routed("lambda", "GetEventSourceMapping"), {"LastModified": 5.0}, ID)) == {
        "LastModified": 5
    }


def test_the_query_protocol_wraps_its_result() -> None:
    answer = respond(routed("sts", "GetCallerIdentity"), {"Account": "000000000000", "UserId": "<&>"}, ID)
    assert answer.body.decode() == (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        "<UserId>&lt;&amp;&gt;</UserId><Account>000000000000</Account></GetCallerIdentityResult>"
        f"<ResponseMetadata><RequestId>{ID}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
    assert headers(answer) == {"Content-Type": "text/xml", "x-amzn-RequestId": ID}


def test_an_operation_without_output_answers_nothing_in_json() -> None:
    answer = respond(routed("logs", "CreateLogGroup"), {}, ID)
    assert (answer.status, answer.body) == (200, b"")
    assert headers(answer)["Content-Type"] == "application/x-amz-json-1.1"


def test_an_event_stream_is_framed() -> None:
    events = [{"PayloadChunk": {"Payload": b"abc"}}, {"InvokeComplete": {"LogResult": "bG9n"}}]
    answer = respond(routed("lambda", "InvokeWithResponseStream"), {"StatusCode": 200, "EventStream": events}, ID)
    assert headers(answer)["Content-Type"] == "application/vnd.amazon.eventstream"
    chunk, complete = eventstream.decode(answer.body)
    assert (chunk.headers, chunk.payload) == (
        {
            ":message-type": "event",
            ":event-type": "PayloadChunk",
            ":content-type": "application/octet-stream",
        },
        b"abc",
    )
    assert complete.headers[":content-type"] == "application/json"
    assert json.loads(complete.payload) == {"LogResult": "bG9n"}


def test_a_lambda_error_has_its_type_and_the_spelling_of_its_message() -> None:
    answer = fail(routed("lambda", "GetFunction"), ResourceNotFoundException("Function not found: f"), ID)
    assert (answer.status, document(answer)) == (404, {"Type": "User", "Message": "Function not found: f"})
    assert headers(answer) == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "ResourceNotFoundException",
        "x-amzn-RequestId": ID,
    }
    small = document(fail(routed("lambda", "GetFunction"), ResourceConflictException("busy"), ID))
    assert small == {"Type": "User", "message": "busy"}


def test_members_of_an_error_travel_where_the_model_puts_them() -> None:
    error = TooManyRequestsException(
        "Rate Exceeded.", Reason="ReservedFunctionConcurrentInvocationLimitExceeded", retryAfterSeconds="1"
    )
    answer = fail(routed("lambda", "Invoke"), error, ID)
    assert answer.status == 429
    assert headers(answer)["Retry-After"] == "1"
    assert document(answer) == {
        "Type": "User",
        "message": "Rate Exceeded.",
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
    }


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (ValidationException("1 validation error detected"), 400, {"message": "1 validation error detected"}),
        (SerializationException(None), 400, {}),
        (NotImplementedException("not yet"), 501, {"Type": "Service", "message": "not yet"}),
        (ServiceException("oh"), 500, {"Type": "Service", "Message": "oh"}),
        (AccessDeniedException("no"), 403, {"Message": "no"}),
        (AccessDeniedException(), 403, {"Message": None}),
    ],
)
def test_framework_errors_of_lambda(error: ModelledError, status: int, body: dict[str, str | None]) -> None:
    answer = fail(routed("lambda", "Invoke"), error, ID)
    assert (answer.status, document(answer)) == (status, body)
    assert headers(answer)["x-amzn-ErrorType"] == error.code


def test_a_json_error_names_itself_in_its_body() -> None:
    answer = fail(routed("logs", "GetLogEvents"), ResourceNotFoundException("gone"), ID)
    assert (answer.status, document(answer)) == (400, {"__type": "ResourceNotFoundException", "message": "gone"})
    assert headers(answer)["Content-Type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize("error", [NoSuchEntityException("no role"), NoSuchEntity("no role")])
def test_a_query_error_has_the_code_that_the_model_spells(error: ModelledError) -> None:
    answer = fail(routed("iam", "GetRole"), error, ID)
    assert answer.status == 404
    assert answer.body.decode() == (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        f"<Code>NoSuchEntity</Code><Message>no role</Message></Error><RequestId>{ID}</RequestId></ErrorResponse>"
    )


def test_a_fault_of_ours_is_the_receivers() -> None:
    answer = fail(routed("sts", "GetCallerIdentity"), ServiceException("oh"), ID)
    assert answer.status == 500
    assert b"<Type>Receiver</Type><Code>InternalFailure</Code>" in answer.body


def test_a_broken_constraint_has_the_name_that_each_service_gives_it() -> None:
    error = ValidationException("1 validation error detected")
    assert document(fail(routed("logs", "GetLogEvents"), error, ID)) == {
        "__type": "InvalidParameterException",
        "message": "1 validation error detected",
    }
    assert b"<Code>ValidationError</Code>" in fail(routed("iam", "GetRole"), error, ID).body


def test_a_cbor_error_names_itself_in_its_body() -> None:
    answer = fail(routed("logs", "GetLogEvents", Protocol.CBOR), ResourceNotFoundException("gone"), ID)
    assert cbor2.loads(answer.body) == {"__type": "ResourceNotFoundException", "message": "gone"}
    assert headers(answer)["smithy-protocol"] == "rpc-v2-cbor"


def test_an_error_without_a_route_is_answered_all_the_same() -> None:
    assert fail(None, ServiceException("oh"), ID).status == 500

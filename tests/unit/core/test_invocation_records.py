"""What is told of an asynchronous invocation, in AWS's form."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lambent.core.function import FunctionName
from lambent.core.invocation_record import (
    Condition,
    Ended,
    dead_letter,
    dead_letter_attributes,
    destination_record,
    event_bridge_entry,
    object_key,
    queue_message,
    topic_record,
)

ARN = "arn:aws:lambda:us-east-1:111122223333:function:orders:$LATEST"
BUS = "arn:aws:events:us-east-1:111122223333:event-bus/results"

FAILED = Ended(
    request_id="e4b46cbf-b738-4c62-8880-a18cdf61200e",
    function=FunctionName("111122223333", "us-east-1", "orders"),
    function_arn=ARN,
    condition=Condition.RETRIES_EXHAUSTED,
    invoke_count=3,
    payload=b'{"amount": 1.50,  "amount": 12345678901234567890.10}',
    at_ms=1_573_755_365_568,
    trace_id="Root=1-5dcd9aa5-0123456789abcdef01234567;Sampled=0",
    role="arn:aws:iam::111122223333:role/function",
    executed_version="$LATEST",
    status_code=200,
    function_error="Unhandled",
    response=b'{"errorMessage": "no\\u0020stock" }',
    error_message="no stock",
)
NEVER_RAN = Ended(
    request_id=FAILED.request_id,
    function=FAILED.function,
    function_arn=ARN,
    condition=Condition.ZERO_RESERVED,
    invoke_count=0,
    payload=b"{}",
    at_ms=FAILED.at_ms,
    trace_id="",
    role=FAILED.role,
)


def test_a_failure_is_told_with_the_event_the_answer_and_what_became_of_it() -> None:
    assert destination_record(FAILED) == (
        '{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{'
        '"requestId":"e4b46cbf-b738-4c62-8880-a18cdf61200e",'
        f'"functionArn":"{ARN}","condition":"RetriesExhausted","approximateInvokeCount":3}},'
        '"requestPayload":{"amount": 1.50,  "amount": 12345678901234567890.10},'
        '"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},'
        '"responsePayload":{"errorMessage": "no\\u0020stock" }}'
    )


def test_a_success_has_no_function_error() -> None:
    told = json.loads(destination_record(replace(FAILED, condition=Condition.SUCCESS, function_error=None)))
    assert told["requestContext"]["condition"] == "Success"
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}


def test_of_a_function_that_never_ran_there_is_no_response() -> None:
    told = json.loads(destination_record(NEVER_RAN))
    assert told.keys() == {"version", "timestamp", "requestContext", "requestPayload"}
    assert told["requestContext"]["approximateInvokeCount"] == 0


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (b'{"n": NaN}', '{"n": NaN}'),
        (b"plain text", "plain text"),
        (b"", ""),
        (b"\xff", "\ufffd"),
        (b'"\xff"', "\ufffd"),
        (b'"\\ud800"', "\ud800"),
        (b"[" * 20_000, "[" * 20_000),
    ],
)
def test_an_answer_that_is_no_json_does_not_spoil_the_record(response: bytes, told: str) -> None:
    assert json.loads(destination_record(replace(FAILED, response=response)))["responsePayload"] == told


@given(st.binary())
def test_the_record_is_json_and_utf_8_whatever_a_function_answers(response: bytes) -> None:
    record = destination_record(replace(FAILED, response=response))
    record.encode()
    assert json.loads(record)["requestContext"]["requestId"] == FAILED.request_id


def with_record_of(size: int, ended: Ended) -> Ended:
    around = len(destination_record(replace(ended, payload=b"0"))) - 1
    return replace(ended, payload=b'"' + b"x" * (size - around - 2) + b'"')


def test_a_failure_too_large_for_a_topic_goes_without_the_payloads() -> None:
    fits = with_record_of(262_144, FAILED)
    assert topic_record(fits) == destination_record(fits)
    told = json.loads(topic_record(with_record_of(262_145, FAILED)))
    assert told.keys() == {"version", "timestamp", "requestContext", "responseContext"}


def test_a_success_too_large_for_a_topic_is_left_to_be_refused() -> None:
    success = with_record_of(262_145, replace(FAILED, condition=Condition.SUCCESS))
    assert topic_record(success) == destination_record(success)


def test_an_event_for_a_bus_names_the_outcome_and_both_resources() -> None:
    assert event_bridge_entry(FAILED, BUS) == {
        "EventBusName": BUS,
        "Time": datetime(2019, 11, 14, 18, 16, 5, tzinfo=UTC),
        "Source": "lambda",
        "DetailType": "Lambda Function Invocation Result - Failure",
        "Resources": [BUS, ARN],
        "Detail": destination_record(FAILED),
        "TraceHeader": FAILED.trace_id,
    }
    success = event_bridge_entry(replace(FAILED, condition=Condition.SUCCESS, trace_id=""), BUS)
    assert success["DetailType"] == "Lambda Function Invocation Result - Success"
    assert "TraceHeader" not in success


def test_an_object_is_named_by_function_second_and_request() -> None:
    assert object_key(FAILED) == (
        "aws/lambda/async/orders/2019/11/14/2019-11-14T18.16.05-e4b46cbf-b738-4c62-8880-a18cdf61200e"
    )


def test_a_dead_letter_is_the_event_with_the_error_in_attributes() -> None:
    assert dead_letter(FAILED).encode() == FAILED.payload
    assert dead_letter_attributes(FAILED) == {
        "RequestID": {"DataType": "String", "StringValue": FAILED.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": "no stock"},
    }
    assert dead_letter_attributes(NEVER_RAN).keys() == {"RequestID"}


def message_of(error_message: str) -> Any:
    return dead_letter_attributes(replace(FAILED, error_message=error_message))["ErrorMessage"]["StringValue"]


def test_of_an_error_message_the_first_kilobyte_is_told_in_whole_characters() -> None:
    assert message_of("x" * 5000) == "x" * 1024
    assert message_of("é" * 600) == "é" * 512
    assert message_of("x" + "é" * 600) == "x" + "é" * 511


def test_what_no_message_may_hold_is_told_as_something_that_it_may() -> None:
    assert message_of("\x1b[31mred\x00\uffff\ttab") == "\ufffd[31mred\ufffd\ufffd\ttab"
    assert message_of("\ud800") == "\ufffd"
    assert len(message_of("\x00" * 1024).encode()) <= 1024


@given(st.text(st.characters(codec="utf-8")))
def test_a_document_for_a_queue_says_the_same_in_characters_that_it_takes(text: str) -> None:
    document = json.dumps(text, ensure_ascii=False)
    message = queue_message(document)
    assert json.loads(message) == text
    assert not set(message) & {"\ufffe", "\uffff"}

"""What no invocation may ask for, in AWS's words, as boto3 is told by a running server; and what a dry run answers."""

import base64
import json
from typing import Any

import pytest
from lambda_api import ARNS, Refusal, make_function, not_found, refusal, shape, status, unique, zipped

LARGEST = 6 * 1024 * 1024
CONTEXT_BYTES = 3583
TELLS_CONTEXT = "def handler(event, context): return context.client_context and context.client_context.custom"


def unreadable(message: str) -> Refusal:
    return Refusal(400, "InvalidRequestContentException", message, "User")


NO_CONTEXT = unreadable("Client context must be a valid Base64-encoded JSON object.")


@pytest.fixture(scope="module")
def function(api: Any) -> Any:
    name = unique("invoked")
    make_function(api, name, Code={"ZipFile": zipped(TELLS_CONTEXT)})
    yield name
    api.delete_function(FunctionName=name)


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize("kind", ["RequestResponse", "DryRun"])
@pytest.mark.parametrize("payload", [b"{", b"x", b"{}{}", b'{"a": \xff}', b"'a'", b"[1,]", b"NaN"])
def test_a_payload_that_is_not_json_is_refused(api: Any, function: str, kind: str, payload: bytes) -> None:
    found = refusal(api.invoke, FunctionName=function, InvocationType=kind, Payload=payload)
    assert (found.status, found.code, found.fault) == (400, "InvalidRequestContentException", "User")
    assert found.message.startswith("Could not parse request body into json: Could not parse payload into json: ")
    assert " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: " in (
        found.message
    )


@pytest.mark.parametrize("kind", ["RequestResponse", "DryRun"])
def test_a_payload_has_six_megabytes_at_most(api: Any, function: str, kind: str) -> None:
    largest = b'"' + b"x" * (LARGEST - 2) + b'"'
    assert refusal(api.invoke, FunctionName=function, InvocationType=kind, Payload=largest + b" ") == Refusal(
        413,
        "RequestTooLargeException",
        f"{LARGEST + 1} byte payload is too large for the {kind} invocation type (limit {LARGEST} bytes)",
        "User",
    )
    assert status(api.invoke(FunctionName=function, InvocationType=kind, Payload=largest)) in (200, 204)


@pytest.mark.parametrize(
    "context",
    [
        "!",
        "e30",
        encoded([]),
        encoded("text"),
        encoded(1),
        *(base64.b64encode(text).decode() for text in (b"{", b'"\xff')),
    ],
)
def test_a_client_context_that_is_no_object_is_refused(api: Any, function: str, context: str) -> None:
    assert refusal(api.invoke, FunctionName=function, ClientContext=context) == NO_CONTEXT


def test_a_client_context_has_3583_bytes_at_most(api: Any, function: str) -> None:
    # Base64 has four characters for three bytes: 3,580 is the longest that there is.
    custom = {"k": "v" * (CONTEXT_BYTES // 4 * 3 - len('{"custom": {"k": ""}}'))}
    largest = encoded({"custom": custom})
    assert len(largest) == CONTEXT_BYTES // 4 * 4
    answer = api.invoke(FunctionName=function, ClientContext=largest)
    assert json.loads(answer["Payload"].read()) == custom
    larger = encoded({"custom": {"k": custom["k"] + "v"}})
    assert refusal(api.invoke, FunctionName=function, ClientContext=larger) == unreadable(
        f"Client context must be smaller than {CONTEXT_BYTES} bytes when base64-encoded"
    )


def test_a_dry_run_says_whether_there_is_something_to_run(api: Any, function: str) -> None:
    answer = api.invoke(FunctionName=function, InvocationType="DryRun", Payload=b"{}")
    payload = answer.pop("Payload").read()
    assert (status(answer), shape(answer), payload) == (204, {"StatusCode": 204}, b"")
    for qualifier in ("$LATEST", "1", "live"):
        name = f"{function}-absent"
        assert refusal(api.invoke, FunctionName=name, Qualifier=qualifier, InvocationType="DryRun") == not_found(
            f"Function not found: {ARNS}{name}:{qualifier}"
        )

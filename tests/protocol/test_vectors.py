"""Every protocol vector of botocore, run backwards, except those that `exceptions.toml` names with a reason."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import protocol_vectors as vectors
import pytest
from botocore.awsrequest import HeadersDict
from botocore.eventstream import EventStream
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import PROTOCOL_PARSERS
from protocol_vectors import CBOR_FILES, FILES, Vector

from lambent.core.errors import ModelledError
from lambent.wire import xml
from lambent.wire.catalog import Protocol
from lambent.wire.http import HttpResponse
from lambent.wire.parse import parse
from lambent.wire.routes import Routed, Router
from lambent.wire.serialize import fail, respond

EXCEPTIONS = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())


@pytest.fixture(scope="session")
def archive() -> Path:
    return vectors.source()


def judge(direction: str, file: str, archive: Path, subtests: Any, check: Callable[[Vector], None]) -> None:
    listed = EXCEPTIONS.get(direction, {}).get(file, {})
    found = vectors.load_all(archive)[direction, file]
    unknown = listed.keys() - {vector.id for vector in found}
    assert not unknown, "listed, but there is no such vector"
    for vector in found:
        with subtests.test(msg=vector.id):
            if vector.id not in listed:
                check(vector)
                continue
            with pytest.raises((AssertionError, ModelledError)):
                check(vector)


def test_exceptions_give_a_reason_each() -> None:
    reasons = [reason for files in EXCEPTIONS.values() for ids in files.values() for reason in ids.values()]
    assert reasons
    assert all(isinstance(reason, str) and len(reason) > 20 for reason in reasons)


@pytest.mark.parametrize("file", [*FILES, *CBOR_FILES])
def test_requests_of_the_vectors_parse_to_their_parameters(file: str, archive: Path, subtests: Any) -> None:
    judge("input", file, archive, subtests, check_input)


@pytest.mark.parametrize("file", [*FILES, *CBOR_FILES])
def test_results_of_the_vectors_serialize_to_their_responses(file: str, archive: Path, subtests: Any) -> None:
    judge("output", file, archive, subtests, check_output)


def check_input(vector: Vector) -> None:
    request = vector.request()
    routed = Router([vector.service()]).route(request)
    assert routed.operation.name == vector.case["given"]["name"]
    assert vectors.plain(parse(routed, request)) == vectors.plain(vector.case["params"])


def check_output(vector: Vector) -> None:
    service = vector.service()
    operation = service.operations[vector.case["given"]["name"]]
    routed = Routed(service, Protocol(vector.suite["metadata"]["protocol"]), operation)
    if "error" in vector.case:
        answer = fail(routed, the_error(vector), "foo-id")
    else:
        result = vector.case["result"]
        natural = result if operation.output is None else vectors.natural(result, operation.output)
        answer = respond(routed, natural, "foo-id")
    expected = vector.case["response"]
    assert answer.status == expected["status_code"]
    if not same_response(vector, answer):
        # Another right encoding: what botocore reads from it must be what the vector's own response says.
        assert understood(vector, answer) == meaning(vector)


def the_error(vector: Vector) -> ModelledError:
    (reference,) = vector.case["given"]["errors"]
    named = type("Named", (ModelledError,), {"code": reference["shape"]})
    error: ModelledError = named(vector.case.get("errorMessage"))
    error.members = dict(vector.case["error"])
    return error


def same_response(vector: Vector, answer: HttpResponse) -> bool:
    expected = vector.case["response"]
    headers = {name.lower(): value for name, value in answer.headers}
    # The listener adds the length.
    wanted = {name.lower(): value for name, value in expected.get("headers", {}).items()}
    if any(headers.get(name) != value for name, value in wanted.items() if name != "content-length"):
        return False
    if "body" not in expected:
        return True
    body = expected["body"]
    if vector.file in CBOR_FILES or not body or not answer.body:
        return body == "" and answer.body == b""
    if "json" in headers.get("content-type", ""):
        return bool(json.loads(body) == json.loads(answer.body))
    if "xml" in headers.get("content-type", ""):
        return stripped(xml.read(body.encode())) == stripped(xml.read(answer.body))
    return bool(body.encode() == answer.body)


def stripped(element: xml.Element) -> tuple[Any, ...]:
    """An element for comparison, without the white space between elements and what differs from call to call."""
    children = [stripped(child) for child in element.children if child.name not in ("RequestId", "ResponseMetadata")]
    attributes = {name: value for name, value in element.attributes.items() if not name.startswith("xmlns")}
    return element.name, sorted(attributes.items()), children, "" if children else element.text


class Raw:
    """A response's stream as urllib3 gives it to botocore."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Any:
        yield self._body


def understood(vector: Vector, answer: HttpResponse) -> Any:
    """What botocore's parser of the protocol reads from our answer."""
    model = ServiceModel(vector.model())
    operation = OperationModel(vector.case["given"], model)
    protocol = vector.suite["metadata"]["protocol"]
    output = operation.output_shape
    if protocol == "query" and output is not None and output.members:
        output.serialization["resultWrapper"] = f"{operation.name}Result"
    response = {
        "status_code": answer.status,
        "headers": HeadersDict(answer.headers),
        "body": Raw(answer.body) if operation.has_event_stream_output else answer.body,
        "context": {"operation_name": operation.name},
    }
    parser = PROTOCOL_PARSERS[protocol]()
    parsed = parser.parse(response, output)
    if "error" in vector.case:
        parsed.update(parser.parse(response, model.shape_for(vector.case["given"]["errors"][0]["shape"])))
    parsed.pop("ResponseMetadata", None)
    for name, value in parsed.items():
        if isinstance(value, EventStream):
            parsed[name] = list(value)
    if "Error" in parsed:
        parsed["Error"] = {name: parsed["Error"].get(name, "") for name in ("Code", "Message")}
    return vectors.plain(parsed)


def meaning(vector: Vector) -> Any:
    case = vector.case
    if "error" not in case:
        return vectors.plain(case["result"])
    error = {"Code": case.get("errorCode", ""), "Message": case.get("errorMessage", "")}
    return {"Error": error, **vectors.plain(case["error"])}

"""Reading requests: right ones against botocore's own client, wrong ones to SerializationException and nothing else."""

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambent.wire.catalog import Protocol, Shape, service
from lambent.wire.http import HttpRequest
from lambent.wire.malformed import SerializationException
from lambent.wire.parse import parse
from lambent.wire.routes import Routed, Router
from lambent.wire.serialize import respond

PATIENT = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""For machines that have more to do than this."""

SESSION = botocore.session.get_session()
ROUTER = Router(["lambda", "iam", "sts", "logs"])
FORM = {"content-type": "application/x-www-form-urlencoded"}


def routed(of: str, name: str, labels: dict[str, str] | None = None) -> Routed:
    found = service(of)
    return Routed(found, found.protocols[0], found.operations[name], labels or {})


def create_function(body: bytes) -> dict[str, Any]:
    return parse(routed("lambda", "CreateFunction"), HttpRequest("POST", "/2015-03-31/functions", "", {}, body))


def sent_by_botocore(of: str, name: str, params: dict[str, Any]) -> HttpRequest:
    model = SESSION.get_service_model(of)
    serializer = create_serializer(model.metadata["protocol"], include_validation=False)
    sent = serializer.serialize_to_request(params, model.operation_model(name))
    url = urlsplit(sent["url_path"])
    query = "&".join(f"{key}={quote(str(value))}" for key, value in (sent["query_string"] or {}).items())
    headers = {key.lower(): value for key, value in sent["headers"].items()}
    scope = f"000000000000/20260101/us-east-1/{model.signing_name}/aws4_request"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    body = sent["body"]
    if isinstance(body, dict):
        body = "&".join(f"{quote(key)}={quote(str(value))}" for key, value in body.items()).encode()
    return HttpRequest(sent["method"], url.path, "&".join(filter(None, (url.query, query))), headers, body or b"")


def quote(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def read_by_botocore(of: str, name: str, result: dict[str, Any]) -> dict[str, Any]:
    answer = respond(routed(of, name), result, "request-id")
    model = SESSION.get_service_model(of)
    response = {
        "status_code": answer.status,
        "headers": HeadersDict(answer.headers),
        "body": answer.body,
        "context": {},
    }
    parsed = create_parser(model.metadata["protocol"]).parse(response, model.operation_model(name).output_shape)
    parsed.pop("ResponseMetadata")
    return dict(parsed)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn")), max_size=20)
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
WHEN = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a shape, right by type; constraints are not looked at."""
    match shape.type:
        case "string":
            return st.sampled_from(shape.enum) if shape.enum else TEXT
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**63), 2**63 - 1)
        case "float" | "double":
            return st.floats(-1e6, 1e6, width=32)
        case "blob":
            return st.binary(max_size=40)
        case "timestamp":
            return WHEN
        case "list":
            # The query protocol has no form for an empty list within another value.
            return st.lists(values(shape.members["member"].shape, depth + 1), min_size=1, max_size=3)
        case "map":
            inner = values(shape.members["value"].shape, depth + 1)
            return st.dictionaries(NAME, inner, min_size=1, max_size=3)
        case _:
            return structures(shape, depth)


def structures(shape: Shape, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    members: dict[str, st.SearchStrategy[Any]] = {}
    for name, member in shape.members.items():
        outside = member.location in ("uri", "header") and member.shape.type == "string"
        if depth < 4:
            members[name] = NAME if outside else values(member.shape, depth + 1)
    required = {name: strategy for name, strategy in members.items() if shape.members[name].location == "uri"}
    optional = {name: strategy for name, strategy in members.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def without_empty(value: Any) -> Any:
    """Without the structures in which nothing is set, and lists of only such: a form can not show them."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(without_empty, value) if item != {}]
    return value


def input_of(of: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = service(of).operations[name].input
    assert shape is not None
    return structures(shape)


def output_of(of: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = service(of).operations[name].output
    assert shape is not None
    return structures(shape)


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("lambda", "CreateFunction"),
        ("lambda", "UpdateFunctionConfiguration"),
        ("lambda", "CreateEventSourceMapping"),
        ("lambda", "ListFunctions"),
        ("lambda", "Invoke"),
        ("logs", "FilterLogEvents"),
        ("logs", "PutLogEvents"),
    ],
)
@PATIENT
@given(data=st.data())
def test_what_botocore_sends_is_what_we_read(of: str, name: str, data: st.DataObject) -> None:
    params = data.draw(input_of(of, name))
    request = sent_by_botocore(of, name, params)
    found = ROUTER.route(request)
    assert found.operation.name == name
    if params.get("Payload") == b"":
        del params["Payload"]
    assert parse(found, request) == params


@pytest.mark.parametrize(("of", "name"), [("iam", "CreateRole"), ("sts", "AssumeRole")])
@PATIENT
@given(data=st.data())
def test_what_botocore_sends_as_a_form_is_what_we_read(of: str, name: str, data: st.DataObject) -> None:
    params = data.draw(input_of(of, name))
    request = sent_by_botocore(of, name, params)
    found = ROUTER.route(request)
    assert without_empty(parse(found, request)) == without_empty(params)


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("lambda", "GetFunction"),
        ("lambda", "GetFunctionConfiguration"),
        ("lambda", "ListFunctions"),
        ("lambda", "GetEventSourceMapping"),
        ("iam", "GetRole"),
        ("iam", "ListRoles"),
        ("sts", "GetCallerIdentity"),
        ("logs", "DescribeLogGroups"),
        ("logs", "FilterLogEvents"),
    ],
)
@PATIENT
@given(data=st.data())
def test_what_we_answer_is_what_botocore_reads(of: str, name: str, data: st.DataObject) -> None:
    result = data.draw(output_of(of, name))
    assert read_by_botocore(of, name, result) == result


def test_a_payload_is_not_looked_into() -> None:
    request = HttpRequest("POST", "/2015-03-31/functions/f/invocations", "", {"x-amz-log-type": "Tail"}, b"{not json")
    params = parse(routed("lambda", "Invoke", {"FunctionName": "f"}), request)
    assert params == {"FunctionName": "f", "LogType": "Tail", "Payload": b"{not json"}


def test_null_and_unknown_members_are_left_out() -> None:
    assert create_function(b'{"FunctionName": "f", "Handler": null, "Nothing": 1}') == {"FunctionName": "f"}


def test_a_zip_file_is_bytes() -> None:
    body = b'{"Code": {"ZipFile": "%s"}}' % base64.b64encode(b"PK\x03\x04")
    assert create_function(body) == {"Code": {"ZipFile": b"PK\x03\x04"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"[]", "Start of list found where not expected."),
        (b'"x"', "Unexpected value where a structure or map was expected"),
        (b'{"FunctionName": 1}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"FunctionName": true}', "TRUE_VALUE can not be converted to a String"),
        (b'{"FunctionName": {}}', "Start of structure or map found where not expected."),
        (b'{"Timeout": "3"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"Timeout": 3.5}', "NUMBER_VALUE can not be converted to an Integer"),
        (b'{"Timeout": 99999999999}', "NUMBER_VALUE can not be converted to an Integer"),
        (b'{"Publish": "yes"}', "STRING_VALUE can not be converted to a Boolean"),
        (b'{"Layers": "x"}', "Expected list or null"),
        (b'{"Tags": []}', "Start of list found where not expected."),
        (b'{"Code": {"ZipFile": "!"}}', "not valid Base64"),
        (b'{"Code": {"ZipFile": "YQ"}}', "not valid Base64"),
    ],
)
def test_a_body_of_another_form_can_not_be_read(body: bytes, expected: str | None) -> None:
    with pytest.raises(SerializationException) as caught:
        create_function(body)
    if expected is not None:
        assert caught.value.message == expected


@pytest.mark.parametrize("query", ["MaxItems=ten", "MaxItems=1_0", "MaxItems=99999999999", "Marker=%ff"])
def test_a_query_of_another_form_can_not_be_read(query: str) -> None:
    with pytest.raises(SerializationException):
        parse(routed("lambda", "ListFunctions"), HttpRequest("GET", "/2015-03-31/functions", query, {}))


@pytest.mark.parametrize(
    "body",
    [
        b"Tags.member.x.Key=a",
        b"Tags..Key=a",
        b"RoleName.x=a",
        b"MaxSessionDuration=long",
        b"RoleName=%ff",
        b"RoleName=\xff",
    ],
)
def test_a_form_of_another_form_can_not_be_read(body: bytes) -> None:
    with pytest.raises(SerializationException):
        parse(routed("iam", "CreateRole"), HttpRequest("POST", "/", "", FORM, body))


def cbor_and_xml() -> list[Routed]:
    """An operation with some of everything, in the protocols that none of our own services speaks."""
    operation = service("lambda").operations["CreateFunction"]
    return [Routed(operation.service, protocol, operation) for protocol in (Protocol.CBOR, Protocol.REST_XML)]


@PATIENT
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(str.encode),
        st.sampled_from(
            [b"<a>" * 1000, b"<!DOCTYPE a []><a/>", b'<?xml version="1.0" encoding="x"?><a/>', b"\xc1\x18"]
        ),
    )
)
def test_whatever_comes_in_is_read_or_refused(body: bytes) -> None:
    for found in (
        routed("lambda", "CreateFunction"),
        routed("logs", "PutLogEvents"),
        routed("iam", "CreateRole"),
        *cbor_and_xml(),
    ):
        try:
            params = parse(found, HttpRequest("POST", "/", "", FORM, body))
        except SerializationException:
            continue
        assert isinstance(params, dict)


def test_entities_are_refused() -> None:
    body = b'<!DOCTYPE a [<!ENTITY b "c">]><CreateFunctionRequest><Handler>&b;</Handler></CreateFunctionRequest>'
    with pytest.raises(SerializationException, match="document type"):
        parse(cbor_and_xml()[1], HttpRequest("POST", "/", "", {}, body))

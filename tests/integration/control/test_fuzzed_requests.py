"""Requests that mean nothing, or harm: each is answered or refused, and what is refused changes nothing."""

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lambda_api import ACCOUNT, OTHER_ACCOUNT, REGION, clients
from lambda_constraints import sample
from lambda_requests import World, make, requests
from lambda_wire import AUTHORIZATION, Answered, Wired, connect, send, wired
from stored_state import StoredState, changes, stored_state

MANY = settings(database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""Of a server on a machine that has other work too. In continuous integration the same examples come each time."""

DEEP = 100_000
LONG = 10_000_000
LAYERS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:"
MODEL = botocore.session.get_session().get_service_model("lambda")
NAMES = list(requests(World(), World()))
"""What takes away comes last."""


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """It has not failed at any request when all is over, by its own account."""
    with new_server() as server:
        yield server
        assert server.process.poll() is None
        assert "request failed" not in server.log.read_text()


@pytest.fixture(scope="module")
def worlds(own_server: Any) -> tuple[World, World]:
    made = (World(), World())
    for world in made:
        make(clients(own_server), world)
    return made


@pytest.fixture(scope="module")
def fair_game(worlds: tuple[World, World]) -> World:
    """Its names are in made-up requests, and some of these take away what they name."""
    return worlds[0]


@pytest.fixture(scope="module")
def world(worlds: tuple[World, World]) -> World:
    """No made-up request has its names."""
    return worlds[1]


@pytest.fixture(scope="module")
def server_asked(own_server: Any, worlds: tuple[World, World]) -> Iterator["Asked"]:
    with stored_state(own_server.data_dir) as stored, closing(connect(own_server.url)) as connection:
        yield Asked(stored, connection)


class Asked:
    """A server, and whether it does with a request what it may."""

    def __init__(self, stored: StoredState, connection: Any) -> None:
        self._stored = stored
        self._connection = connection
        self._before = stored.at_rest()

    def __call__(self, request: Wired) -> Answered:
        answer = send(self._connection, request)
        said = (
            f"{request.method} {request.path[:500]} {request.headers} {request.body[:500]!r} -> {answer.body[:500]!r}"
        )
        assert answer.status < 500 or (answer.status, answer.code) == (501, "NotImplementedException"), said
        if answer.status < 400:
            self._before = self._stored.at_rest()
            return answer
        assert answer.code, said
        if answer.body and answer.code != "UnknownOperationException":
            assert isinstance(answer.document, dict), said
        after = self._stored.rows()
        assert changes(self._before, after) == {}, said
        return answer


# Over the shapes of the model -----------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "\x7f", "\r\n", "%00", "../..", "$LATEST"]
    ),
    st.sampled_from(["null", "NaN", "-1", "1e999", "{}", "[]", '"', "\\", "'", "a" * 300, "\N{PILE OF POO}" * 40]),
    st.text(max_size=12),
)
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e308, 5e-324]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.integers(),
    st.floats(),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
"""Any value of JSON, and a few that JSON has not."""

WORDS = [
    "Version",
    "Statement",
    "Effect",
    "Allow",
    "Principal",
    "Action",
    "Resource",
    "Sid",
    "AWS",
    "*",
    "body",
    "exists",
]
WORDY = st.recursive(
    st.one_of(st.sampled_from(WORDS), st.none(), st.booleans(), NUMBERS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*WORDS, "numeric", "prefix", ""]), inner, max_size=3),
    ),
    max_leaves=8,
)
JSON_TEXTS = st.one_of(
    WORDY.map(json.dumps), st.integers(1, 2000).map(lambda depth: '{"a":' * depth + "1" + "}" * depth)
)
"""For members that are JSON inside: patterns of filters, policies."""


def names_in(world: World) -> list[str]:
    """What there is, by all the names that it has, and what there is not."""
    qualified = [f"{{}}:{qualifier}" for qualifier in ("$LATEST", "1", "2", world.alias, "$LATEST.PUBLISHED")]
    functions = [form.format(name) for form in ("{}", *qualified) for name in (world.function, world.arn)]
    elsewhere = [world.arn.replace(REGION, "eu-west-1"), world.arn.replace(ACCOUNT, OTHER_ACCOUNT)]
    layers = [LAYERS + world.layer, f"{LAYERS}{world.layer}:1", f"{LAYERS}{world.layer}:{2**70}"]
    return [*functions, *elsewhere, *layers, *world.made.values(), world.layer, world.alias, world.queue, world.tag]


@cache
def matching(shape: Shape) -> st.SearchStrategy[str]:
    """Texts that the model lets through, in all the forms of its pattern."""
    pattern = shape.metadata.get("pattern", ".*").replace(r"\p{L}\p{Z}\p{N}", "a-zA-Z 0-9")
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)


class MadeUp:
    """Values of the model's shapes, more or less, in which names of what there is occur."""

    def __init__(self, world: World) -> None:
        self._names = st.sampled_from(names_in(world))

    def of(self, shape: Shape) -> st.SearchStrategy[Any]:
        proper = self._proper(shape)
        return st.one_of(proper, proper, proper, DOCUMENTS)

    def _proper(self, shape: Shape) -> st.SearchStrategy[Any]:
        match shape.type_name:
            case "structure":
                return self._structure(shape)
            case "list":
                return st.lists(self.of(shape.member), max_size=3)
            case "map":
                keys = self.of(shape.key).filter(lambda key: isinstance(key, str))
                return st.dictionaries(keys, self.of(shape.value), max_size=3)
            case "boolean":
                return st.booleans()
            case "blob":
                return st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
            case "string":
                usual = st.sampled_from([sample(shape), *(getattr(shape, "enum", None) or ())])
                return st.one_of(usual, matching(shape), self._names, TEXTS, JSON_TEXTS)
        return st.one_of(st.just(sample(shape)), st.integers(-2, 20_000), NUMBERS)

    def _structure(self, shape: Shape) -> st.SearchStrategy[Any]:
        members = {name: st.deferred(lambda of=member: self.of(of)) for name, member in shape.members.items()}
        required = {name: members[name] for name in shape.required_members}
        chosen = st.lists(st.sampled_from(sorted(members)), max_size=3, unique=True)
        return chosen.flatmap(
            lambda names: st.fixed_dictionaries({**required, **{name: members[name] for name in names}})
        )

    def request(self, operation: OperationModel, valid: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        """The valid request with up to three of its members made up, or left out."""
        members = operation.input_shape.members
        made_up = {
            name: self.of(member)
            if member.serialization.get("location") == "uri"
            else st.one_of(self.of(member), self.of(member), st.just(LEFT_OUT))
            for name, member in members.items()
        }

        def changed(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
            return st.fixed_dictionaries({name: made_up[name] for name in names}).map(
                lambda drawn: {name: value for name, value in {**valid, **drawn}.items() if value is not LEFT_OUT}
            )

        return st.lists(st.sampled_from(sorted(members)), min_size=1, max_size=3, unique=True).flatmap(changed)


LEFT_OUT = object()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "GetAccountSettings"])
def test_made_up_members_are_no_fault_of_the_server(name: str, server_asked: Asked, fair_game: World) -> None:
    operation = MODEL.operation_model(name)

    @settings(MANY, max_examples=30)
    @given(params=MadeUp(fair_game).request(operation, requests(fair_game, World())[name]))
    def ask(params: dict[str, Any]) -> None:
        server_asked(wired(operation, params))

    ask()


# Bodies ---------------------------------------------------------------------------------------------------------------

WITH_DOCUMENT = [
    name
    for name in NAMES
    if any(not member.serialization for member in MODEL.operation_model(name).input_shape.members.values())
    and "payload" not in MODEL.operation_model(name).input_shape.serialization
]

UNREADABLE = {
    "words": b"nonsense",
    "NUL": b"\0",
    "a number": b"1",
    "a text": b'"{}"',
    "a list": b"[{}]",
    "null": b"null",
    "half a document": b'{"Description": "a',
    "more than a document": b"{}{}",
    "a comma at the end": b'{"Description": "a",}',
    "single quotes": b"{'Description': 'a'}",
    "no number": b'{"Description": NaN}',
    "a line end in a text": b'{"Description": "a\nb"}',
    "half a surrogate pair, raw": b'{"Description": "\xed\xa0\x80"}',
    "not UTF-8": b'{"Description": "\xff"}',
    "UTF-16": '{"Description": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a form": b"Action=ListFunctions&Version=2015-03-31",
    "XML": b"<Description>a</Description>",
    "lists too deep": b'{"Unknown": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "structures too deep": b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
}


@pytest.mark.parametrize("name", WITH_DOCUMENT)
def test_a_body_that_can_not_be_read_is_refused_as_that(
    name: str, server_asked: Asked, world: World, subtests: Any
) -> None:
    request = wired(MODEL.operation_model(name), requests(world, World())[name])
    for what, body in UNREADABLE.items():
        with subtests.test(msg=what):
            answer = server_asked(replace(request, body=body))
            assert (answer.status, answer.code) == (400, "SerializationException")


TEXT_HOLDERS = {
    member.name: (name, place)
    for name in WITH_DOCUMENT
    for place, member in MODEL.operation_model(name).input_shape.members.items()
    if not member.serialization and member.type_name in ("string", "structure", "list", "map")
}
"""An operation and a member of each shape that texts can be in."""


@pytest.mark.parametrize("shape", TEXT_HOLDERS)
def test_a_text_without_end_is_refused(shape: str, server_asked: Asked, world: World) -> None:
    name, member = TEXT_HOLDERS[shape]
    operation = MODEL.operation_model(name)
    text = filled(operation.input_shape.members[member], "a" * LONG)
    answer = server_asked(wired(operation, {**requests(world, World())[name], member: text}))
    assert answer.status >= 400


def filled(shape: Shape, text: str) -> Any:
    """The text, as deep in the shape as there is a place for one."""
    match shape.type_name:
        case "structure":
            return {name: filled(of, text) for name, of in list(shape.members.items())[:1]}
        case "list":
            return [filled(shape.member, text)]
        case "map":
            return {text: filled(shape.value, "a")}
    return text


def test_of_a_key_that_comes_twice_the_last_counts(server_asked: Asked, world: World) -> None:
    operation = MODEL.operation_model("UpdateFunctionConfiguration")
    request = wired(operation, {"FunctionName": world.function})
    assert server_asked(replace(request, body=b'{"Timeout": 0, "Timeout": 9}')).document["Timeout"] == 9
    refused = server_asked(replace(request, body=b'{"Timeout": 9, "Timeout": 0}'))
    assert (refused.status, refused.code) == (400, "ValidationException")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/xml; charset=utf-16"},
        {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSGirApiService.ListFunctions"},
        {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"},
        {"Content-Type": ""},
        {"Content-Type": ";;;="},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_body_is_json_whatever_it_is_called(headers: dict[str, str], server_asked: Asked, world: World) -> None:
    operation = MODEL.operation_model("UpdateAlias")
    valid = requests(world, World())["UpdateAlias"]
    answer = server_asked(replace(wired(operation, valid), headers=headers))
    assert (answer.status, answer.document["Description"]) == (200, "changed")
    refused = server_asked(replace(wired(operation, valid), headers=headers, body=b"Action=ListFunctions"))
    assert (refused.status, refused.code) == (400, "SerializationException")


# Around the body ------------------------------------------------------------------------------------------------------

LITERALS = sorted(
    {
        part
        for name in NAMES
        for part in MODEL.operation_model(name).http["requestUri"].partition("?")[0].split("/")
        if part
    }
)
OCTETS = st.one_of(
    st.sampled_from(
        ["%00", "%", "%zz", "%ff", "%ed%a0%80", "%2f", "%2e%2e", "..", ".", "%25%32%66", "+", "*", "~", "a:b:c"]
    ),
    st.binary(max_size=8).map(quote),
)
PATHS = st.lists(st.one_of(st.sampled_from(LITERALS), OCTETS), max_size=7).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from(["Marker", "MaxItems", "Qualifier", "find", "List", "tagKeys", "Action", ""]), OCTETS
        ),
        st.sampled_from(["=", "", "=="]),
        st.one_of(OCTETS, st.sampled_from(["0", "-1", "1e9", "9" * 400, "ALL", "LayerVersion", "bnVsbA=="])),
    ),
    max_size=4,
).map(lambda parts: "&".join(map("".join, parts)))


@settings(MANY, max_examples=200)
@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]), path=PATHS, query=QUERIES)
def test_paths_and_queries_of_no_meaning_are_no_fault_of_the_server(
    server_asked: Asked, method: str, path: str, query: str
) -> None:
    server_asked(Wired(method, f"{path}?{query}" if query else path))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("List", "Get"))])
def test_a_query_of_no_meaning_is_no_fault_of_an_operation(name: str, server_asked: Asked, world: World) -> None:
    request = wired(MODEL.operation_model(name), requests(world, World())[name])

    @settings(MANY, max_examples=20)
    @given(query=QUERIES)
    def ask(query: str) -> None:
        joined = "&" if "?" in request.path else "?"
        server_asked(replace(request, path=f"{request.path}{joined}{query}"))

    ask()


SCOPES = st.lists(st.one_of(OCTETS, st.sampled_from(["lambda", REGION, ACCOUNT, "aws4_request"])), max_size=6)


@settings(MANY, max_examples=200)
@given(scope=SCOPES, scheme=st.sampled_from(["AWS4-HMAC-SHA256 ", "Basic ", ""]))
def test_a_signature_of_no_meaning_is_no_fault_of_the_server(
    server_asked: Asked, world: World, scope: list[str], scheme: str
) -> None:
    request = wired(MODEL.operation_model("GetFunction"), {"FunctionName": world.function})
    server_asked(replace(request, headers={"Authorization": f"{scheme}Credential={'/'.join(scope)}"}))


PUT = b"PUT /2015-03-31/functions/none/configuration HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (PUT + b"Content-Length: -1\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: two\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 2, 3\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 99999999999999999999999\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 3\r\n\r\n{}", []),
        (PUT + b"Content-Length: 1\r\n\r\n{}", [400]),
        (PUT + b"Content-Length: 2\r\n\r\n{}", [404]),
        (PUT + b"\r\n", [404]),
        (PUT + b"X-Amz-Client-Context: \0\r\n\r\n", [400]),
        (PUT + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n", [431]),
        (b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n\r\n", [431]),
        (b"GET /\xff HTTP/1.1\r\n\r\n", [400]),
        (b"nonsense\r\n\r\n", [400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    ],
)
def test_what_is_hardly_http_is_refused_and_the_server_goes_on(
    sent: bytes, statuses: list[int], own_server: Any, server_asked: Asked, world: World
) -> None:
    assert statuses_of(own_server.url, sent, incomplete=not statuses) == statuses
    known = wired(MODEL.operation_model("GetFunction"), {"FunctionName": world.function})
    assert server_asked(known).status == 200


def test_an_answer_to_head_has_no_body_and_the_next_one_is_read_as_its_own(own_server: Any) -> None:
    signed = f"Host: x\r\nAuthorization: {AUTHORIZATION}\r\n".encode()
    head = b"HEAD /2015-03-31/functions HTTP/1.1\r\n" + signed + b"\r\n"
    unknown = b"GET /unknown HTTP/1.1\r\n" + signed + b"Connection: close\r\n\r\n"
    first, second = heard(own_server.url, head + unknown).split(b"HTTP/1.1 404 ")[1:]
    told_head, _, body = first.partition(b"\r\n\r\n")
    assert b"Content-Length: 29" in told_head
    assert (body, second.partition(b"\r\n\r\n")[2]) == (b"", b"<UnknownOperationException/>\n")


def statuses_of(url: str, sent: bytes, *, incomplete: bool) -> list[int]:
    answers = re.findall(rb"HTTP/1\.1 (\d{3}) ", heard(url, sent, incomplete=incomplete))
    return [int(status) for status in answers]


def heard(url: str, sent: bytes, *, incomplete: bool = False) -> bytes:
    """All that comes back on a connection of its own, which the client ends where the server waits for more."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # refused before all was sent
            connection.sendall(sent)
            if incomplete:
                connection.shutdown(socket.SHUT_WR)
        came = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                came += piece
    return came

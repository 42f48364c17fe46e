"""HTTP framing: the same requests however the bytes are cut, and what one of them may make us keep."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.wire.http_framing import CLOSED, CONFIRMED, KEPT, MalformedRequest, RequestStream

TOKENS = st.text("abcXYZ019-_!#$%&'*+.^`|~", min_size=1, max_size=12)
VALUES = st.text('abc XYZ,;=:/"\t\xe9', max_size=30).map(lambda text: text.strip(" \t"))
FRAMING = {"content-length", "transfer-encoding", "connection", "expect", "upgrade", "keep-alive"}


@st.composite
def requests(draw):
    """The bytes of a valid request, and what it says."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]))
    target = "/" + draw(st.text("abc/%2F?=&:$~", max_size=20))
    names = draw(st.lists(TOKENS.filter(lambda name: name.lower() not in FRAMING), max_size=6))
    pairs = [(name, draw(VALUES)) for name in names]
    closing = draw(st.sampled_from([None, "close", "Keep-Alive", "Upgrade, HTTP2-Settings"]))
    if closing is not None:
        pairs.append(("Connection", closing))
    body = left = draw(st.binary(max_size=40))
    coded = body
    if draw(st.booleans()):
        pairs.append(("Transfer-Encoding", "chunked"))
        coded = b""
        while left:
            size = draw(st.integers(1, len(left)))
            coded += b"%x%s\r\n%s\r\n" % (size, draw(st.sampled_from([b"", b";a=b"])), left[:size])
            left = left[size:]
        coded += b"0\r\n" + draw(st.sampled_from([b"", b"X-After: 1\r\n"])) + b"\r\n"
    elif body or draw(st.booleans()):
        pairs.append(("Content-Length", str(len(body))))
    fields = {}
    for name, value in pairs:
        key = name.lower()
        fields[key] = f"{fields[key]},{value}" if key in fields else value
    if draw(st.booleans()):
        pairs.insert(draw(st.integers(0, len(pairs))), ("Upgrade", "h2c"))  # a wish that is not heard
    lines = [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}" for name, value in pairs]
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    path, _, query = target.partition("?")
    return head + coded, (method, path, query, fields, body, closing != "close")


def stream(**limits):
    return RequestStream(**{"head_limit": 10_000, "field_limit": 64, "body_limit": 10_000} | limits)


def read(pieces, **limits):
    ours, seen = stream(**limits), []
    for piece in pieces:
        ours.feed(piece)
        while (request := ours.next_request()) is not None:
            fields = {name: value for name, value in request.headers.items() if name != "upgrade"}
            kept = ours.connection != CLOSED
            seen.append((request.method, request.path, request.query, fields, request.body, kept))
    assert not ours.incomplete
    return seen


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
def test_requests_are_read_as_they_were_sent_however_they_are_cut(sent, places):
    kept = [request for request in sent if request[1][-1]] + [request for request in sent if not request[1][-1]][:1]
    assert read(cut(b"".join(data for data, _ in kept), places)) == [said for _, said in kept]


@given(requests(), st.integers(0, 2000))
def test_a_request_that_breaks_off_in_its_body_is_told_by_its_head_once(sent, place):
    data, (method, path, *_) = sent
    data = data[: place % len(data)]
    ours = stream()
    ours.feed(data)
    broken_off = ours.take_broken_off()
    assert (broken_off is not None) == (b"\r\n\r\n" in data and ours.incomplete)
    if broken_off is not None:
        assert (broken_off.method, broken_off.path, broken_off.body, ours.connection) == (method, path, b"", CLOSED)
    assert ours.take_broken_off() is None


@given(st.lists(requests(), min_size=2, max_size=2))
def test_the_same_bytes_again_are_the_same_request_again(sent):
    pieces = [data for data, said in sent if said[-1]]
    assert read(pieces * 3) == [said for _, said in sent if said[-1]] * 3


@given(requests(), st.integers(0, 300), st.integers(0, 255), st.lists(st.integers(0, 2000), max_size=4))
def test_a_damaged_request_is_read_or_refused_and_nothing_else(request, where, byte, places):
    data, _ = request
    damaged = bytearray(data)
    damaged[where % len(data)] = byte
    ours = stream()
    with contextlib.suppress(MalformedRequest):
        for piece in cut(bytes(damaged), places):
            ours.feed(piece)
            while ours.next_request() is not None:
                pass


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(data):
    with pytest.raises(MalformedRequest):
        stream().feed(data)


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_body_over_the_limit_is_read_to_its_end_and_not_kept(framing):
    ours = stream(body_limit=100)
    pieces = [b"x" * 40] * 5
    if framing == "counted":
        ours.feed(b"POST /a HTTP/1.1\r\nContent-Length: 200\r\n\r\n")
    else:
        ours.feed(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        pieces = [b"28\r\n" + piece + b"\r\n" for piece in pieces] + [b"0\r\n\r\n"]
    request = ours.next_request()
    for piece in pieces:
        assert request is None
        ours.feed(piece)
        request = ours.next_request()
        assert ours.held_bytes <= 200
    assert request is not None
    assert (request.body, ours.too_large) == (b"", True)
    ours.feed(b"GET /b HTTP/1.1\r\n\r\n")
    request = ours.next_request()
    assert request is not None
    assert (request.path, ours.too_large) == ("/b", False)


def test_a_client_that_waits_for_a_word_before_its_body_is_told_apart_until_the_body_has_come():
    ours = stream()
    ours.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert ours.next_request() is None
    assert ours.expects_continue
    ours.feed(b"ab")
    assert ours.next_request() is not None
    assert not ours.expects_continue


def test_a_field_that_is_told_over_and_over_is_refused_before_it_costs_anything():
    ours = stream(head_limit=1_000_000)
    with pytest.raises(MalformedRequest) as refused:
        ours.feed(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000)
    assert refused.value.status == 431
    assert ours.held_bytes < 1_000_000


def test_trailers_are_no_headers():
    ours = stream()
    ours.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\nA: 1\r\n\r\n")
    request = ours.next_request()
    assert request is not None
    assert "host" not in request.headers
    assert ours.trailers == {"host": "x", "a": "1"}


def test_a_request_behind_one_too_many_ends_of_lines_is_read():
    assert [seen[1] for seen in read([b"\r\n\r\nGET /a HTTP/1.1\r\n\r\n\r\nGET /b HTTP/1.1\r\n\r\n"])] == ["/a", "/b"]


def test_trailers_come_again_with_the_same_bytes():
    ours = stream()
    for _ in range(3):
        ours.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\n\r\n")
        assert ours.next_request() is not None
        assert ours.trailers == {"a": "1"}


def test_an_upgrade_is_passed_over_many_times_in_the_same_bytes():
    asking = b"POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
    assert [seen[4] for seen in read([asking * 2_000 + asking[:-1], b"c"])] == [b"abc"] * 2_001


def test_a_body_behind_an_upgrade_is_bounded_like_any_other():
    asking = b"POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
    ours = stream(head_limit=1_000)
    ours.feed(asking + b"1\r\nx\r\n")
    with pytest.raises(MalformedRequest) as refused:
        ours.feed(b"0\r\n" + b"a: b\r\n" * 500)
    assert refused.value.status == 431


def test_a_damaged_head_behind_an_upgrade_is_refused_for_its_own_fault():
    ours = stream(field_limit=5)
    asking = b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with pytest.raises(MalformedRequest) as refused:
        ours.feed(asking + b"GET /b HTTP/1.1\r\n" + b"a: b\r\n" * 7)
    assert refused.value.status == 431
    request = ours.next_request()
    assert request is not None
    assert request.path == "/a"


def test_a_tunnel_is_refused_and_what_came_before_it_is_read():
    ours = stream()
    with pytest.raises(MalformedRequest) as refused:
        ours.feed(b"GET /a HTTP/1.1\r\n\r\nCONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01")
    assert refused.value.status == 501
    request = ours.next_request()
    assert request is not None
    assert request.path == "/a"
    assert ours.next_request() is None


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://here:80/a?b=http://c/", "/a", "b=http://c/", "here:80"),
        ("HTTPS://here", "/", "", "here"),
        ("http://here?a=1", "/", "a=1", "here"),
        ("http://me:word@[::1]:9/a@b", "/a@b", "", "[::1]:9"),
        ("/http://here/a", "/http://here/a", "", "field"),
        ("*", "*", "", "field"),
    ],
)
def test_a_target_with_its_host_is_read_by_its_path_and_the_host_counts(target, path, query, host):
    ours = stream()
    ours.feed(f"OPTIONS {target} HTTP/1.1\r\nHost: field\r\n\r\n".encode())
    request = ours.next_request()
    assert request is not None
    assert (request.path, request.query, request.headers["host"]) == (path, query, host)


@pytest.mark.parametrize(
    ("version", "field", "said"),
    [
        ("1.0", "", CLOSED),
        ("1.0", "Connection: keep-alive\r\n", CONFIRMED),
        ("1.0", "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", CONFIRMED),
        ("1.1", "", KEPT),
        ("1.1", "Connection: keep-alive\r\n", KEPT),
        ("1.1", "Connection: close\r\n", CLOSED),
        ("1.1", "Connection: close, Upgrade\r\nUpgrade: h2c\r\n", CLOSED),
    ],
)
def test_what_the_answer_has_to_say_of_the_connection(version, field, said):
    ours = stream()
    for _ in range(1 if said == CLOSED else 3):
        ours.feed(f"GET / HTTP/{version}\r\n{field}\r\n".encode())
        assert ours.next_request() is not None
        assert ours.connection == said

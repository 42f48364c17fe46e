"""HTTP/1.1 requests out of a stream of bytes: no I/O, no AWS. Both listeners read by it, the server's and a runtime's.

httptools (llhttp) parses. Here is what it leaves open: complete requests one by one, and bounds on all that a peer,
who may be hostile, can make us keep: heads, trailers, the framing of chunks, and bodies. What follows a complete
request is bounded by whoever feeds, who is told how much of it there is (`waiting`).

A wish to speak another protocol (`Upgrade`) is passed over, as a server may (RFC 9110, 7.8); there are no tunnels.

Source: RFC 9112, "HTTP/1.1".
"""

import re
from collections import deque
from collections.abc import Mapping

import httptools

from lambent.wire.http import HttpRequest

_REMEMBERED_BYTES = 4096
_KNOWN_NAMES = 1024
_KNOWN_NAME_BYTES = 64
_NO_TRAILERS: Mapping[str, str] = {}
_ABSOLUTE = re.compile(r"https?://(?:[^/?#@]*@)?([^/?#]+)", re.IGNORECASE)

KEPT, CLOSED, CONFIRMED = "", "close", "keep-alive"
"""What an answer says of its connection: nothing where it goes on in HTTP/1.1, or that it ends, or, to an HTTP/1.0
client that has asked for it, that it goes on."""


class MalformedRequest(Exception):
    """The stream can not be understood any further. `status` is that of the answer, if one is given."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _malformed(error: httptools.HttpParserError) -> MalformedRequest:
    ours = error.__context__  # what a callback raised
    return ours if isinstance(ours, MalformedRequest) else MalformedRequest(400, "not HTTP/1.1")


_known_names: dict[bytes, str] = {}
"""The names of fields that were seen lately, as they are kept: the same few come again and again."""


def _name_of(name: bytes) -> str:
    text = name.decode("latin-1").lower()
    if len(name) <= _KNOWN_NAME_BYTES:
        if len(_known_names) >= _KNOWN_NAMES:
            _known_names.clear()
        _known_names[name] = text
    return text


class RequestStream:
    """`feed` it what arrives, then take complete requests by `next_request` until there is none.

    A body of more than `body_limit` bytes is read on and thrown away; `too_large` says so, already while it comes.
    """

    def __init__(self, *, head_limit: int, field_limit: int, body_limit: int) -> None:
        self._head_limit = head_limit
        self._field_limit = field_limit
        self._body_limit = body_limit
        self._parser = httptools.HttpRequestParser(self)
        self._complete: deque[tuple[HttpRequest, str, bool, Mapping[str, str]]] = deque()
        self.waiting = 0
        """Complete requests that were not taken yet."""
        self.waiting_bytes = 0
        """Their bodies together."""
        self._silent_bytes = 0
        """Received since the last piece of a body: a head, trailers, or the framing of chunks."""
        self._bodiless: tuple[bytes, HttpRequest] | None = None
        """A runtime asks for each event in the same words: the last request without a body, whole, and what it was."""
        self.incomplete = False
        """Whether a request has begun and is not complete."""
        self.expects_continue = False
        """The peer waits for a word before it sends the body."""
        self.connection = KEPT
        """Of the request that was given last: what its answer says of the connection, which ends by it if CLOSED."""
        self.too_large = False
        """Of the request that was given last, or is incomplete."""
        self.trailers = _NO_TRAILERS
        """Fields after the body of the request that was given last."""
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._raw: list[tuple[bytes, bytes]] = []
        """The fields of the head, or, once that is complete, those behind the body."""
        self._fields: dict[str, str] | None = None
        """Those of the head, when it is complete."""
        self._body = b""
        self._more: bytearray | None = None
        """The body, where it comes in several pieces: one array, since the pieces may be of a byte each."""
        self._too_large = False

    @property
    def held_bytes(self) -> int:
        """About what is kept of requests that are not complete, or complete and not taken yet."""
        return self.waiting_bytes + self._silent_bytes + self._body_bytes()

    def _body_bytes(self) -> int:
        return len(self._body) if self._more is None else len(self._more)

    def feed(self, data: bytes) -> None:
        """Raises MalformedRequest. The requests before the malformed one can be taken all the same."""
        if not self.incomplete and self._bodiless is not None and data == self._bodiless[0]:
            self._complete.append((self._bodiless[1], KEPT, False, _NO_TRAILERS))
            self.waiting += 1
            return
        whole = not self.incomplete
        before = self.waiting
        self._silent_bytes += len(data)
        stopped_at = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            stopped_at = upgrade.args[0]
        except httptools.HttpParserError as error:
            raise _malformed(error) from error
        if stopped_at is not None:
            self._pass_over_upgrades(memoryview(data)[stopped_at:])
        if len(self._raw) > self._field_limit:
            raise MalformedRequest(431, "too many fields")
        if self._silent_bytes > self._head_limit:
            raise MalformedRequest(431, "a head or trailers without end")
        self.too_large = self._too_large
        if whole and not self.incomplete and self.waiting == before + 1 and len(data) <= _REMEMBERED_BYTES:
            request, connection, too_large, trailers = self._complete[-1]
            if not (request.body or connection or too_large or trailers):
                self._bodiless = (data, request)

    def _pass_over_upgrades(self, behind: memoryview) -> None:
        """The parser takes such a request for complete, and what is behind its head for the other protocol. It reads
        the head again, without the wish, and then that: it may begin with the request's body."""
        while True:
            request, _, _, _ = self._complete.pop()
            self.waiting -= 1
            if request.method == "CONNECT":
                raise MalformedRequest(501, "there are no tunnels")
            target = f"{request.path}?{request.query}" if request.query else request.path
            lines = [f"{request.method} {target} HTTP/{self._parser.get_http_version()}"]
            lines += [f"{name}: {value}" for name, value in request.headers.items() if name != "upgrade"]
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
            self._parser = httptools.HttpRequestParser(self)
            self._silent_bytes = len(head) + len(behind)
            try:
                self._parser.feed_data(head)
                self._parser.feed_data(behind)
            except httptools.HttpParserUpgrade as upgrade:
                behind = behind[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                raise _malformed(error) from error
            else:
                return

    def next_request(self) -> HttpRequest | None:
        """The next complete request, or None."""
        if not self.waiting:
            return None
        self.waiting -= 1
        request, self.connection, self.too_large, self.trailers = self._complete.popleft()
        self.waiting_bytes -= len(request.body)
        return request

    def take_broken_off(self) -> HttpRequest | None:
        """When nothing more can come: the head of the request whose body has begun and was not sent to its end, if
        there is one. Once."""
        fields, self._fields = self._fields, None
        if fields is None:
            return None
        self.connection, self.too_large, self.trailers = CLOSED, self._too_large, _NO_TRAILERS
        return self._request(fields, b"")

    def discard(self) -> None:
        """Nothing more is read: let go of all that was received. Parser and stream refer to each other, and what has
        come is large: it must not wait for the garbage collector, which counts objects and not their bytes."""
        self._parser = httptools.HttpRequestParser(None)
        self._complete.clear()
        self.waiting = self.waiting_bytes = self._silent_bytes = 0
        self._bodiless = None
        self.incomplete = self.expects_continue = False
        self._begin()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.incomplete = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        fields = self._take_fields()
        coding = fields.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or self._parser.get_http_version() != "1.1"):
            raise MalformedRequest(400, "the length of the body is not told in a way that is understood")
        self._fields = fields
        if "expect" in fields:
            self.expects_continue = fields["expect"].lower() == "100-continue"

    def _take_fields(self) -> dict[str, str]:
        """The fields that have come, by name; the values of one that came more than once are joined."""
        raw, self._raw = self._raw, []
        if len(raw) > self._field_limit:
            raise MalformedRequest(431, "too many fields")
        fields = {_known_names.get(name) or _name_of(name): value.decode("latin-1") for name, value in raw}
        if len(fields) == len(raw):
            return fields
        joined: dict[str, str] = {}
        for name, value in raw:
            key, text = _name_of(name), value.decode("latin-1")
            joined[key] = f"{joined[key]},{text}" if key in joined else text
        return joined

    def on_body(self, data: bytes) -> None:
        self._silent_bytes = 0
        self.expects_continue = False
        if self._too_large:
            return
        if self._more is not None:
            self._more += data
        elif self._body:
            self._more = bytearray(self._body)
            self._more += data
            self._body = b""
        elif len(data) <= self._body_limit:
            self._body = data
            return
        if self._more is None or len(self._more) > self._body_limit:
            self._body, self._more, self._too_large = b"", None, True

    def on_message_complete(self) -> None:
        fields = self._fields
        assert fields is not None, "a message complete before its head"
        request = self._request(fields, self._body if self._more is None else bytes(self._more))
        connection = KEPT if self._parser.should_keep_alive() else CLOSED
        if "connection" in fields and not connection and self._parser.get_http_version() == "1.0":
            connection = CONFIRMED
        trailers = self._take_fields() if self._raw else _NO_TRAILERS
        self._complete.append((request, connection, self._too_large, trailers))
        self.waiting += 1
        self.waiting_bytes += len(request.body)
        self.incomplete = self.expects_continue = False
        self._silent_bytes = 0
        self._begin()

    def _request(self, fields: dict[str, str], body: bytes) -> HttpRequest:
        path, _, query = self._url.decode("latin-1").partition("?")
        if path[:1] != "/":
            path, query = _relative(path, query, fields)
        return HttpRequest(self._parser.get_method().decode(), path, query, fields, body)


def _relative(path: str, query: str, fields: dict[str, str]) -> tuple[str, str]:
    """Of a target as a proxy's client tells it, with the host, which counts instead of the field (RFC 9112, 3.2.2).
    Other targets stay what they are."""
    absolute = _ABSOLUTE.match(path)
    if absolute is None:
        return path, query
    fields["host"] = absolute[1]
    return path[absolute.end() :] or "/", query

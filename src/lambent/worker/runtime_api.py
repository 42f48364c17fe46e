"""The Runtime API of one environment, over HTTP/1.1 on a listener inside its sandbox.

Reads requests, bounds them, and turns them into calls of a `Participant`; what they mean is the environment's to
decide. The peer is a function's code, which is hostile: sizes, connections and forms are all bounded here.

Source of paths, headers and error documents: developer guide, "Using the Lambda runtime API".
"""

import asyncio
import re
from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from lambent.core.invocation import Invocation
from lambent.core.limits import SYNC_RESPONSE_BYTES
from lambent.core.record import Record

HEAD_LIMIT_BYTES = 1_048_576
"""Request line and headers; runtimes send error causes of up to 1 MB in a header. Source: API's limits."""
HEADER_LIMIT = 256
"""Headers and trailers of one request."""
CONNECTION_LIMIT = 64
"""Connections that one environment may hold open."""

_PREFIX = "/2018-06-01/"
_INVOCATION = "/2018-06-01/runtime/invocation/"
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_OK = b'{"status":"OK"}\n'


class Refusal(Record, frozen=True):
    """An answer other than success, with AWS's error document."""

    status: int
    error_type: str
    message: str


class Posted(Record, frozen=True):
    """What the runtime has posted. `error_type` is set for an error, in the form that AWS normalises it to."""

    body: bytes
    content_type: str
    error_type: str | None = None
    too_large: bool = False


class Participant(Protocol):
    """The environment, as the Runtime API calls it. A method returns None for success."""

    def asks_next(self, connection: "RuntimeConnection") -> Refusal | None: ...

    def responds(self, request_id: str, posted: Posted) -> Refusal | None: ...

    def fails_init(self, posted: Posted) -> Refusal | None: ...

    def hangs_up(self, connection: "RuntimeConnection") -> None: ...


def normalised_error_type(given: str | None) -> str:
    """Source: developer guide, "Building a custom runtime": category.reason; others become Unknown."""
    if given and _ERROR_TYPE.fullmatch(given):
        return given
    return "Function.Unknown" if given and given.startswith("Function.") else "Runtime.Unknown"


def next_event(invocation: Invocation, deadline_ms: int) -> list[bytes]:
    """The HTTP answer to `next`, in pieces to write."""
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {invocation.content_type}\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {invocation.invoked_arn}\r\n"
    )
    if invocation.trace_id is not None:
        head += f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
    if invocation.client_context is not None:
        head += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
    head += f"Content-Length: {len(invocation.payload)}\r\n\r\n"
    return [head.encode("latin-1", "replace"), invocation.payload]


_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 413: "Too Large"}


def _answer(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_ACCEPTED = _answer(202, _OK)


class RuntimeConnection(asyncio.Protocol):
    """One connection of the runtime: a request at a time, in order; a pipelined one is served after the first."""

    def __init__(self, participant: Participant, open_connections: "set[RuntimeConnection]") -> None:
        self._participant = participant
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._silent_bytes = 0
        """Received since the last piece of a body: a head, trailers, or the framing of chunks."""
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # those of uvloop are no subclasses of it
        if len(self._open) >= CONNECTION_LIMIT:
            self._transport.abort()
            return
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._transport = None
        self._participant.hangs_up(self)

    def data_received(self, data: bytes) -> None:
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._hang_up()
            return
        if self._silent_bytes > HEAD_LIMIT_BYTES or len(self._headers) > HEADER_LIMIT:
            self._hang_up()

    def pause_writing(self) -> None:
        """The peer does not read its answers: take no more requests of it."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._silent_bytes = 0
        self._body_bytes += len(data)
        if self._body_bytes <= SYNC_RESPONSE_BYTES:
            self._body.append(data)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        method = self._parser.get_method()
        url, headers, body = self._url, self._headers, self._body
        too_large = self._body_bytes > SYNC_RESPONSE_BYTES
        self._reset()
        self._serve(method, url.decode("latin-1"), headers, b"".join(body), too_large)

    # The API ------------------------------------------------------------------------------------------------------

    def _serve(self, method: bytes, url: str, headers: dict[bytes, bytes], body: bytes, too_large: bool) -> None:
        path = url.partition("?")[0]
        if method == b"GET" and path == "/2018-06-01/runtime/invocation/next":
            refusal = self._participant.asks_next(self)
            if refusal is not None:
                self._refuse(refusal)
            return
        if method == b"POST" and path.startswith(_INVOCATION):
            request_id, _, action = path[len(_INVOCATION) :].rpartition("/")
            if action in ("response", "error"):
                posted = _posted(headers, body, too_large, is_error=action == "error")
                self._conclude(
                    posted if isinstance(posted, Refusal) else self._participant.responds(unquote(request_id), posted)
                )
                return
        if method == b"POST" and path == "/2018-06-01/runtime/init/error":
            posted = _posted(headers, body, too_large, is_error=True)
            self._conclude(posted if isinstance(posted, Refusal) else self._participant.fails_init(posted))
            return
        if method == b"GET" and path == _PREFIX + "ping":
            self.write(_answer(200, b"pong", "text/plain"))
            return
        self._refuse(Refusal(404, "InvalidRequest", "No such path in the Runtime API"))

    def _conclude(self, refusal: Refusal | None) -> None:
        if refusal is None:
            self.write(_ACCEPTED)
        else:
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        document = f'{{"errorMessage":"{refusal.message}","errorType":"{refusal.error_type}"}}\n'
        self.write(_answer(refusal.status, document.encode()))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def deliver(self, invocation: Invocation, deadline_ms: int) -> bool:
        """Answer a pending `next`. False when the runtime has hung up."""
        if self._transport is None or self._transport.is_closing():
            return False
        pieces = next_event(invocation, deadline_ms)
        if len(pieces[1]) < 65_536:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _posted(headers: dict[bytes, bytes], body: bytes, too_large: bool, *, is_error: bool) -> Posted | Refusal:
    content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
    given = headers.get(b"lambda-runtime-function-error-type")
    if is_error:
        return Posted(body, content_type, normalised_error_type(given.decode("latin-1") if given else None), too_large)
    mode = headers.get(b"lambda-runtime-function-response-mode", b"buffered").lower()
    if mode not in (b"buffered", b"streaming"):
        return Refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
    if mode == b"streaming" and given is not None:
        # The trailer of a stream that failed in its middle.
        return Posted(body, content_type, normalised_error_type(given.decode("latin-1")), too_large)
    return Posted(body, content_type, None, too_large)

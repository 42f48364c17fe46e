"""The Runtime API of one environment, over HTTP/1.1 on a listener inside its sandbox.

Reads requests, bounds them, and turns them into calls of a `Participant`; what they mean is the environment's to
decide. The peer is a function's code, which is hostile: sizes, connections and forms are all bounded here.

Source of paths, headers and error documents: developer guide, "Using the Lambda runtime API".
"""

import asyncio
import re
from enum import Enum, auto
from typing import Protocol, cast
from urllib.parse import unquote

from lambent.core.invocation import Invocation
from lambent.core.limits import SYNC_RESPONSE_BYTES
from lambent.core.record import Record
from lambent.wire.http import HttpRequest
from lambent.wire.http_framing import CLOSED, MalformedRequest, RequestStream

HEAD_LIMIT_BYTES = 1_048_576
"""Request line and headers; runtimes send error causes of up to 1 MB in a header. Source: API's limits."""
FIELD_LIMIT = 256
"""Headers and trailers of one request."""
CONNECTION_LIMIT = 64
"""Connections that one environment may hold open."""
PIPELINE_LIMIT = 16
"""Requests that a runtime may send ahead of the answers to those before them; none is known to send any."""
HELD_LIMIT_BYTES = 3 * SYNC_RESPONSE_BYTES
"""Of unfinished requests, by all connections together. A runtime has one response under way at a time."""

_INVOCATION = "/2018-06-01/runtime/invocation/"
_NEXT = "/2018-06-01/runtime/invocation/next"
_INIT_ERROR = "/2018-06-01/runtime/init/error"
_RESTORE_ERROR = "/2018-06-01/runtime/restore/error"
_CREDENTIALS = "/2021-04-23/credentials"
_PING = "/2018-06-01/ping"
_ERROR_TYPE_HEADER = "lambda-runtime-function-error-type"
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_OK = b'{"status":"OK"}\n'


class Refusal(Record, frozen=True):
    """An answer other than success, with AWS's error document."""

    status: int
    error_type: str
    message: str


class Flaw(Enum):
    """Why what was posted can not be passed on."""

    TOO_LARGE = auto()
    BROKEN_OFF = auto()
    UNKNOWN_MODE = auto()


class Posted(Record, frozen=True):
    """What the runtime has posted. `error_type` is set for an error, in the form that AWS normalises it to."""

    body: bytes
    content_type: str
    error_type: str | None = None
    flaw: Flaw | None = None


class Participant(Protocol):
    """The environment, as the Runtime API calls it. A method returns None for success, when it has told the connection
    to `accept` what was posted, or will have it `deliver` the event that was asked for."""

    def asks_next(self, connection: "RuntimeConnection") -> Refusal | None: ...

    def responds(self, connection: "RuntimeConnection", request_id: str, posted: Posted) -> Refusal | None: ...

    def fails_init(self, connection: "RuntimeConnection", posted: Posted) -> Refusal | None: ...

    def fails_restore(self, connection: "RuntimeConnection", posted: Posted) -> Refusal | None: ...

    def credentials(self, token: str) -> bytes | Refusal: ...

    def hangs_up(self, connection: "RuntimeConnection") -> None: ...


def normalised_error_type(given: str | None) -> str:
    """Source: developer guide, "Building a custom runtime": category.reason; others become Unknown."""
    if given and _ERROR_TYPE.fullmatch(given):
        return given
    return "Function.Unknown" if given and given.startswith("Function.") else "Runtime.Unknown"


def next_event(invocation: Invocation, deadline_ms: int, tenant_id: str | None) -> list[bytes]:
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
    if tenant_id is not None:
        head += f"Lambda-Runtime-Aws-Tenant-Id: {tenant_id}\r\n"
    head += f"Content-Length: {len(invocation.payload)}\r\n\r\n"
    return [head.encode("latin-1", "replace"), invocation.payload]


_REASONS = {
    200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    413: "Too Large", 431: "Request Header Fields Too Large", 501: "Not Implemented",
}  # fmt: skip


def _answer(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _refused(refusal: Refusal) -> bytes:
    document = f'{{"errorMessage":"{refusal.message}","errorType":"{refusal.error_type}"}}\n'
    return _answer(refusal.status, document.encode())


def _saying(connection: str, answer: bytes) -> bytes:
    status, _, rest = answer.partition(b"\r\n")
    return b"%s\r\nConnection: %s\r\n%s" % (status, connection.encode(), rest)


_ACCEPTED = _answer(202, _OK)
_NO_SUCH_PATH = _refused(Refusal(404, "InvalidRequest", "No such path in the Runtime API"))


def _answering(path: str) -> tuple[str, str]:
    """The request id that a path is an answer to, and `response` or `error`; empty if it is no such path."""
    if not path.startswith(_INVOCATION):
        return "", ""
    request_id, _, action = path[len(_INVOCATION) :].rpartition("/")
    if action not in ("response", "error"):
        return "", ""
    return unquote(request_id) if "%" in request_id else request_id, action


class RuntimeConnection(asyncio.Protocol):
    """One connection of the runtime: a request at a time, in order. What is sent behind a `next` is not read before
    that is answered.

    A runtime that ends its side of the connection behind a `next` may still read, and is handed the event. A
    connection that it has closed altogether looks the same from here, so such a `next` gives way to any later one.
    """

    def __init__(self, participant: Participant, open_connections: "set[RuntimeConnection]") -> None:
        self._participant = participant
        self._open = open_connections
        self._requests = RequestStream(
            head_limit=HEAD_LIMIT_BYTES, field_limit=FIELD_LIMIT, body_limit=SYNC_RESPONSE_BYTES
        )
        self._transport: asyncio.Transport | None = None
        self._awaits_event = False
        """A `next` has been asked and is not answered."""
        self._writing_paused = False
        self._last = False
        """Nothing more is read: the connection ends behind the answers that are due."""
        self._fault: Refusal | None = None
        """What is said then, if the runtime has sent what can not be understood."""

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
        self._break_off()
        self._requests.discard()

    def data_received(self, data: bytes) -> None:
        if self._last:
            return
        try:
            self._requests.feed(data)
        except MalformedRequest as error:
            self._last = True
            self._fault = Refusal(error.status, "InvalidRequest", str(error))
        self._serve_next()

    def eof_received(self) -> bool:
        """Whether the connection stays open for answers."""
        self._last = True
        if self._awaits_event or self._requests.waiting > 0:
            return True
        self._break_off()
        return False

    def pause_writing(self) -> None:
        """The peer does not read its answers: take no more requests of it."""
        self._writing_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._transport is not None and not self._last and not self._transport.is_closing():
            self._transport.resume_reading()
        self._serve_next()

    # The API ------------------------------------------------------------------------------------------------------

    def _serve_next(self) -> None:
        requests = self._requests
        while self._transport is not None and not (self._awaits_event or self._writing_paused):
            request = requests.next_request()
            if request is None:
                if self._last:
                    self._break_off()
                if self._fault is not None and self._transport is not None:
                    self._transport.write(_saying(CLOSED, _refused(self._fault)))
                if self._last:
                    self._end()
                elif requests.expects_continue:
                    requests.expects_continue = False
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                break
            self._serve(request)
        if (requests.incomplete or requests.waiting) and (
            self._held() > HELD_LIMIT_BYTES or requests.waiting > PIPELINE_LIMIT
        ):
            self.close()

    def _held(self) -> int:
        """What all connections of the environment together hold of requests that are not complete."""
        if self._requests.held_bytes < HEAD_LIMIT_BYTES:
            return 0
        return sum(connection._requests.held_bytes for connection in self._open)

    def _serve(self, request: HttpRequest) -> None:
        path = request.path
        if request.method == "GET":
            if path == _NEXT:
                self._awaits_event = True
                refusal = self._participant.asks_next(self)
                if refusal is not None and self._supersede():
                    refusal = self._participant.asks_next(self)
                if refusal is not None:
                    self._awaits_event = False
                    self._refuse(refusal)
                return
            if path == _CREDENTIALS:
                document = self._participant.credentials(request.headers.get("authorization", ""))
                if isinstance(document, Refusal):
                    self._refuse(document)
                else:
                    self._write(_answer(200, document))
                return
            if path == _PING:
                self._write(_answer(200, b"pong", "text/plain"))
                return
        elif request.method == "POST":
            request_id, action = _answering(path)
            if request_id:
                refusal = self._responds(request_id, request, is_error=action == "error")
                if refusal is not None:
                    self._refuse(refusal)
                return
            if path == _INIT_ERROR:
                refusal = self._participant.fails_init(self, self._posted_error(request))
                if refusal is not None:
                    self._refuse(refusal)
                return
            if path == _RESTORE_ERROR:
                refusal = self._participant.fails_restore(self, self._posted_error(request))
                if refusal is not None:
                    self._refuse(refusal)
                return
        if request.method == "HEAD":
            self._write(_NO_SUCH_PATH[: _NO_SUCH_PATH.index(b"{")])
        else:
            self._write(_NO_SUCH_PATH)

    def _responds(self, request_id: str, request: HttpRequest, *, is_error: bool) -> Refusal | None:
        if is_error:
            return self._participant.responds(self, request_id, self._posted_error(request))
        headers = request.headers
        error_type = None
        flaw = self._flaw()
        mode = headers.get("lambda-runtime-function-response-mode", "buffered").lower()
        if mode == "streaming":
            # A stream that failed in its middle says so behind its body.
            given = self._requests.trailers.get(_ERROR_TYPE_HEADER, headers.get(_ERROR_TYPE_HEADER))
            error_type = None if given is None else normalised_error_type(given)
        elif mode != "buffered":
            flaw = Flaw.UNKNOWN_MODE
        content_type = headers.get("content-type", "application/json")
        return self._participant.responds(self, request_id, Posted(request.body, content_type, error_type, flaw))

    def _posted_error(self, request: HttpRequest) -> Posted:
        headers = request.headers
        error_type = normalised_error_type(headers.get(_ERROR_TYPE_HEADER))
        content_type = headers.get("content-type", "application/json")
        return Posted(request.body, content_type, error_type, self._flaw())

    def _flaw(self) -> Flaw | None:
        return Flaw.TOO_LARGE if self._requests.too_large else None

    def _break_off(self) -> None:
        """Nothing more comes: of a response that has begun and is not complete, the caller is not to wait for the rest.
        Whatever else has not come to its end is forgotten."""
        request = self._requests.take_broken_off()
        if request is None or request.method != "POST":
            return
        request_id, _ = _answering(request.path)
        if not request_id:
            return
        self._fault = None  # it is told in these words
        flaw = self._flaw() or Flaw.BROKEN_OFF
        refusal = self._participant.responds(self, request_id, Posted(b"", "", flaw=flaw))
        if refusal is not None:
            self._refuse(refusal)

    def accept(self) -> None:
        """Answer that what was posted is taken."""
        self._write(_ACCEPTED)

    def _refuse(self, refusal: Refusal) -> None:
        self._write(_refused(refusal))

    def _supersede(self) -> bool:
        """Give up a `next` whose connection may be dead, if there is one: see above."""
        for connection in self._open:
            if connection._last and connection._awaits_event:
                connection.close()
                self._participant.hangs_up(connection)
                return True
        return False

    def _write(self, answer: bytes) -> None:
        if self._transport is None:
            return
        said = self._requests.connection
        if said:
            answer = _saying(said, answer)
        self._transport.write(answer)
        if said == CLOSED:
            self._end()

    def _end(self) -> None:
        """Close the connection, once what was written is sent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def deliver(self, invocation: Invocation, deadline_ms: int, tenant_id: str | None = None) -> bool:
        """Answer a pending `next`. False when the runtime has hung up."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._awaits_event = False
        pieces = next_event(invocation, deadline_ms, tenant_id)
        said = self._requests.connection
        if said:
            pieces[0] = _saying(said, pieces[0])
        if len(pieces[1]) < 65_536:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)
        if said == CLOSED:
            self._end()
        elif self._last or self._requests.waiting:
            # Later: this is called in the middle of a decision.
            asyncio.get_running_loop().call_soon(self._serve_next)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

"""The listener's side of HTTP/1.1: bytes to `HttpRequest`, `HttpResponse` to bytes, one connection at a time.

Knows nothing of AWS. Requests of one connection are served in order, and what a client may make us hold is bounded:
heads and bodies by `wire.http_framing`, what it sends ahead of an answer by not reading on.
"""

import asyncio
import email.utils
import time
from collections.abc import Callable
from typing import cast

from lambent.core.allowance import Allowance
from lambent.core.limits import REQUEST_BODY_BYTES, REQUEST_HEAD_BYTES
from lambent.wire.http import HttpRequest, HttpResponse
from lambent.wire.http_framing import CLOSED, KEPT, MalformedRequest, RequestStream

Answer = Callable[[HttpResponse], None]
Serve = Callable[[HttpRequest, Answer], None]
"""Serves a request: calls `Answer` once, now or later, and raises nothing."""
Refuse = Callable[[HttpRequest], HttpResponse]
"""What to answer to a request whose body is too large to be read. It has the head alone."""

PIPELINE_LIMIT = 16
"""Requests that wait for the answer of the one before them. A client that sends more is not read meanwhile."""
SENT_AHEAD_BYTES = 65_536
"""The same, of their bodies together."""
UNCOUNTED_BYTES = 65_536
"""Of a request that comes whole, in one piece: what is held of those is not counted, for the sake of speed."""
FIELD_LIMIT = 256
PROGRESS_BYTES = 262_144
INCOMPLETE_REQUEST_S = 60
"""How long a client may take for so many bytes of a request, or for its end."""
STALLED_S = 5
"""The same where others can not have the memory that its request takes."""

_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 400: "Bad Request", 403: "Forbidden",
    404: "Not Found", 408: "Request Timeout", 409: "Conflict", 412: "Precondition Failed",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


class Connections:
    """The open connections of a server: what `drain` waits for, and what the sweep of slow clients goes through."""

    def __init__(
        self, serve: Serve, allowance: Allowance, too_large: Refuse = lambda _request: HttpResponse(413)
    ) -> None:
        self.serve = serve
        self.too_large = too_large
        self._allowance = allowance
        self.open: set[HttpConnection] = set()
        self.unanswered = 0
        """Requests that are being served."""
        self.leaving = False
        """Each connection ends behind the answer that is due."""
        self._drained: asyncio.Future[None] | None = None
        self._looked_s = 0.0
        """When it was looked for stalled requests."""
        self._date = (0, b"")

    def __call__(self) -> "HttpConnection":
        return HttpConnection(self, self._allowance)

    def of(self, allowance: Allowance) -> "HttpConnection":
        """A connection of a peer with an allowance of its own."""
        return HttpConnection(self, allowance)

    def date(self) -> bytes:
        now = int(time.time())
        if now != self._date[0]:
            self._date = (now, f"\r\nDate: {email.utils.formatdate(now, usegmt=True)}\r\n\r\n".encode())
        return self._date[1]

    def close_slow(self) -> None:
        now_s = time.monotonic()
        for connection in list(self.open):
            connection.close_if_slow(now_s)

    def end_stalled(self, allowance: Allowance) -> None:
        """An allowance is used up: end the requests that take of it, or of what it is part of, and do not come on. It
        is not looked for them more often than once in a second."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= 1:
            self._looked_s = now_s
            for connection in list(self.open):
                if connection.allowance.shares_with(allowance):
                    connection.close_if_slow(now_s, STALLED_S)

    def answered(self) -> None:
        self.unanswered -= 1
        if self._drained is not None and not self.unanswered and not self._drained.done():
            self._drained.set_result(None)

    async def drain(self, grace_s: float) -> None:
        """Let the requests that are being served finish, up to the grace. Connections are closed at once where nothing
        is served, so that a client that calls again and again does not keep the server."""
        self.leaving = True
        for connection in list(self.open):
            connection.close_if_idle()
        if self.unanswered:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._drained,), timeout=grace_s)

    def close(self) -> None:
        """Close every connection, when what was answered is sent."""
        for connection in list(self.open):
            connection.abort()


class HttpConnection(asyncio.Protocol):
    def __init__(self, connections: Connections, allowance: Allowance) -> None:
        self._connections = connections
        self.allowance = allowance
        self._held_bytes = 0
        """What of the allowance this connection has."""
        self._served_bytes = 0
        """The body of the request that is being served."""
        self._requests = RequestStream(
            head_limit=REQUEST_HEAD_BYTES, field_limit=FIELD_LIMIT, body_limit=REQUEST_BODY_BYTES
        )
        self._transport: asyncio.Transport | None = None
        self._serving = False
        self._said = KEPT
        """What the answer to the request that is being served says of the connection."""
        self._asked_head = False
        """That request is a HEAD: its answer has the head of one to GET, and no body (RFC 9110, 9.3.2)."""
        self._writing_paused = False
        self._reading_paused = False
        """Not read for now, or, if the client has ended its side, for good."""
        self._half_closed = False
        """The client sends no more. It may still read: what it has asked is answered, and then the connection ends."""
        self._begun_s: float | None = None
        """Since when a request is incomplete, or has last made progress."""
        self._begun_bytes = 0
        """What was held of it then."""
        self._refusal: int | None = None
        """The status of the last answer, after which nothing more is read."""

    # asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # those of uvloop are no subclasses of it
        if not self.allowance.enter():
            self._transport.abort()
            self._transport = None
            return
        self._connections.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._connections.open:
            self._connections.open.discard(self)
            self.allowance.leave()
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        try:
            self._requests.feed(data)
        except MalformedRequest as error:
            self._refusal = error.status
        requests = self._requests
        if (
            requests.waiting == 1
            and len(data) < UNCOUNTED_BYTES
            and not (requests.incomplete or self._serving or self._held_bytes)
        ):
            self._serve_next()  # nothing is held but what has just come, and that is little
        elif self._hold_requests():
            self._serve_next()
        elif self._serving:
            self._refusal = 503  # in its turn, behind the answer that is under way
        else:
            self._refuse(HttpResponse(503))

    def eof_received(self) -> bool:
        """Whether the connection stays open for answers."""
        self._half_closed = self._reading_paused = True
        return self._serving or self._requests.waiting > 0

    def _hold_requests(self) -> bool:
        """Account for what is held of requests. False where the peer may not hold so much."""
        held_bytes = self._requests.held_bytes
        if self._begun_s is not None and held_bytes >= self._begun_bytes + PROGRESS_BYTES:
            self._begun_s, self._begun_bytes = time.monotonic(), held_bytes
        if self._hold(self._served_bytes + held_bytes):
            return True
        self._connections.end_stalled(self.allowance)
        return self._hold(self._served_bytes + self._requests.held_bytes)

    def _hold(self, held_bytes: int, *, of_answer: bool = False) -> bool:
        """Account for what is held now. False where the peer may not hold so much."""
        if held_bytes == self._held_bytes:
            return True
        if not self.allowance.hold(held_bytes - self._held_bytes, of_answer=of_answer):
            return False
        self._held_bytes = held_bytes
        return True

    def _forget(self) -> None:
        """Nothing more is read of this connection."""
        self._requests.discard()
        self._hold(self._served_bytes)

    def pause_writing(self) -> None:
        """The client does not read its answers: take and serve no more requests of it."""
        self._writing_paused = True
        self._pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._held_bytes:
            self._hold(self._requests.held_bytes)
        self._serve_next()

    def close_if_slow(self, now_s: float, within_s: float = INCOMPLETE_REQUEST_S) -> None:
        if self._begun_s is not None and not self._serving and now_s - self._begun_s > within_s:
            self._refuse(HttpResponse(408))

    def close_if_idle(self) -> None:
        if not (self._serving or self._requests.waiting or self._requests.incomplete):
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # Serving ------------------------------------------------------------------------------------------------------

    def _serve_next(self) -> None:
        """Go on with what was sent, unless a request is being served or the client does not read."""
        requests = self._requests
        while self._transport is not None and not (self._serving or self._writing_paused):
            request = None if self._refusal == 503 else requests.next_request()
            if request is None:
                self._await_more()
                return
            self._begun_s = None
            self._serving = True
            self._said = requests.connection
            self._asked_head = request.method == "HEAD"
            self._served_bytes = len(request.body)
            self._connections.unanswered += 1
            self._connections.serve(request, self._answer)
        if requests.waiting >= PIPELINE_LIMIT or requests.waiting_bytes > SENT_AHEAD_BYTES:
            self._pause_reading()

    def _await_more(self) -> None:
        """The request that has begun, if one has, is not complete."""
        requests = self._requests
        if self._half_closed and self._refusal is None:
            self._end()
            return
        if self._refusal is not None:
            self._refuse(HttpResponse(self._refusal))
            return
        if requests.incomplete and requests.too_large:
            head = requests.take_broken_off()
            assert head is not None, "a body without a head"
            self._refuse(self._connections.too_large(head))
            return
        if requests.expects_continue and self._transport is not None:
            requests.expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not requests.incomplete:
            self._begun_s = None
        elif self._begun_s is None:
            self._begun_s, self._begun_bytes = time.monotonic(), requests.held_bytes
        if self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _answer(self, response: HttpResponse) -> None:
        assert self._serving, "a request was answered twice"
        self._serving = False
        self._served_bytes = 0
        if self._held_bytes:
            self._hold(0 if self._transport is None else self._requests.held_bytes)
        self._connections.answered()
        if self._connections.leaving:
            self._said = CLOSED
        self._write(response)
        if self._requests.waiting or self._reading_paused or self._refusal is not None:
            # Later: a client that has sent much ahead must not make the answers call each other.
            asyncio.get_running_loop().call_soon(self._serve_next)

    def _write(self, response: HttpResponse) -> None:
        transport = self._transport
        if transport is None:
            return
        status = response.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        if self._said:
            lines.append(f"Connection: {self._said}")
        head = "\r\n".join(lines).encode("latin-1", "replace") + self._connections.date()
        if self._asked_head:
            transport.write(head)
        elif len(response.body) < 65_536:
            transport.write(head + response.body)
        else:
            transport.write(head)
            transport.write(response.body)
            if not self._hold(self._requests.held_bytes + transport.get_write_buffer_size(), of_answer=True):
                transport.abort()  # the peer has asked for more than it reads
        if self._said == CLOSED:
            self._end()

    def _end(self) -> None:
        """Close the connection, once what was written is sent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _refuse(self, response: HttpResponse) -> None:
        """An answer to what is not served, and the end of the connection."""
        self._refusal = response.status
        self._said = CLOSED
        self._begun_s = None
        self._forget()
        self._write(response)

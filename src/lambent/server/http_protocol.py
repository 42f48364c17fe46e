"""The listener's side of HTTP/1.1: bytes to `HttpRequest`, `HttpResponse` to bytes, one connection at a time.

Knows nothing of AWS. Requests of one connection are served in order; a head, a body and the number of requests
waiting on one connection are bounded.
"""

import asyncio
import email.utils
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

import httptools

from lambent.core.limits import REQUEST_BODY_BYTES, REQUEST_HEAD_BYTES
from lambent.wire.http import HttpRequest, HttpResponse

Serve = Callable[[HttpRequest], Awaitable[HttpResponse]]

PIPELINE_LIMIT = 16
HEADER_LIMIT = 256
INCOMPLETE_REQUEST_S = 60
"""How long a client may take from the first byte of a request to its last."""

_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 400: "Bad Request", 403: "Forbidden",
    404: "Not Found", 408: "Request Timeout", 409: "Conflict", 412: "Precondition Failed",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


class Connections:
    """The open connections of a server: what `drain` waits for, and what the sweep of slow clients goes through."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.open: set[HttpConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._date = (0, b"")

    def __call__(self) -> "HttpConnection":
        return HttpConnection(self)

    def date(self) -> bytes:
        now = int(time.time())
        if now != self._date[0]:
            self._date = (now, f"\r\nDate: {email.utils.formatdate(now, usegmt=True)}\r\n\r\n".encode())
        return self._date[1]

    def close_slow(self, now_s: float) -> None:
        for connection in list(self.open):
            connection.close_if_slow(now_s)

    async def drain(self, grace_s: float) -> None:
        """Let the requests that are being served finish, up to the grace, and close every connection."""
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=grace_s)
        for connection in list(self.open):
            connection.abort()


class HttpConnection(asyncio.Protocol):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[HttpRequest, bool]] = deque()
        self._serving = False
        self._in_body = False
        self._silent_bytes = 0
        """Received since the last piece of a body: a head, trailers, or the framing of chunks."""
        self._writing_paused = False
        self._reading_paused = False
        self._begun_s: float | None = None
        self._refused: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # those of uvloop are no subclasses of it
        self._connections.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.open.discard(self)
        self._transport = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        if self._begun_s is None:
            self._begun_s = asyncio.get_running_loop().time()
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._silent_bytes > REQUEST_HEAD_BYTES or len(self._headers) > HEADER_LIMIT:
                self._refuse(431)

    def pause_writing(self) -> None:
        """The client does not read its answers: take and serve no more requests of it."""
        self._writing_paused = True
        self._pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._serve_next()

    def close_if_slow(self, now_s: float) -> None:
        if self._begun_s is not None and not self._serving and now_s - self._begun_s > INCOMPLETE_REQUEST_S:
            self._refuse(408)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer: nothing here is defined by one
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known},{text}"

    def on_headers_complete(self) -> None:
        self._in_body = True
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._silent_bytes = 0
        self._body_bytes += len(data)
        if self._body_bytes <= REQUEST_BODY_BYTES:
            self._body.append(data)
        elif self._refused is None:
            self._body.clear()
            self._refuse(413)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._silent_bytes = 0
        self._begun_s = None
        if self._refused is not None:
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(self._parser.get_method().decode(), path, query, self._headers, body)
        keep_alive = self._parser.should_keep_alive()
        self._reset()
        if self._serving or self._writing_paused:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) >= PIPELINE_LIMIT:
                self._pause_reading()
            return
        self._begin(request, keep_alive)

    # Serving ------------------------------------------------------------------------------------------------------

    def _begin(self, request: HttpRequest, keep_alive: bool) -> None:
        self._serving = True
        task = asyncio.get_running_loop().create_task(self._serve(request, keep_alive))
        self._connections.tasks.add(task)
        task.add_done_callback(self._connections.tasks.discard)

    async def _serve(self, request: HttpRequest, keep_alive: bool) -> None:
        response = await self._connections.serve(request)
        self._serving = False
        self._write(response, keep_alive)
        self._serve_next()

    def _serve_next(self) -> None:
        """Go on with what waits, unless a request is being served or the client does not read."""
        if self._transport is None or self._writing_paused:
            return
        if self._waiting and not self._serving:
            self._begin(*self._waiting.popleft())
        if self._reading_paused and len(self._waiting) < PIPELINE_LIMIT and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _write(self, response: HttpResponse, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        status = response.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep_alive:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1", "replace") + self._connections.date()
        if len(response.body) < 65_536:
            transport.write(head + response.body)
        else:
            transport.write(head)
            transport.write(response.body)
        if not keep_alive:
            transport.close()

    def _refuse(self, status: int) -> None:
        """An answer below AWS's protocols, and the end of the connection."""
        self._refused = status
        self._write(HttpResponse(status), keep_alive=False)

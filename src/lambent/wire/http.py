"""An HTTP exchange as plain data: what the protocols parse and serialise, whoever listens."""

from collections.abc import Mapping

from lambent.core.record import Record


class HttpRequest(Record, frozen=True):
    """A complete request. `path` and `query` are raw (percent-encoded, the query without `?`); `headers` have
    lower-case names, repeated ones joined by a comma."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


class HttpResponse(Record, frozen=True):
    """A complete response. `headers` keep their spelling and order; Content-Length and Date are the listener's."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

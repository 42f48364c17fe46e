"""An HTTP exchange as plain data: what the protocols parse and serialise, whoever listens."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete request. `path` and `query` are raw (percent-encoded, the query without `?`); `headers` have
    lower-case names, repeated ones joined by a comma."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete response. `headers` keep their spelling and order; Content-Length and Date are the listener's."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

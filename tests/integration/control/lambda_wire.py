"""Requests to the Lambda API that no SDK would send: the model's places filled with anything."""

import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.model import OperationModel
from lambda_api import ACCOUNT, REGION

AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature=0"
)
"""Names the caller. A signature is not looked at."""


@dataclass(frozen=True)
class Wired:
    """A request as it travels. Labels, fields of the query and headers are texts here, whatever the model says."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        return self.headers.get("x-amzn-errortype")

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def text(value: Any) -> str:
    """A value where only text can stand."""
    return value if isinstance(value, str) else json.dumps(value)


def percent(value: Any) -> str:
    return quote(text(value).encode("utf-8", "surrogatepass"), safe="")


def wired(operation: OperationModel, params: Mapping[str, Any]) -> Wired:
    """A request with these parameters, each in the place that the model has for it, whatever its type is."""
    path, _, literals = operation.http["requestUri"].partition("?")
    query: list[tuple[str, bytes]] = []
    headers: dict[str, str] = {}
    document: dict[str, Any] = {}
    body = b""
    shape = operation.input_shape
    for name, value in params.items():
        bound = shape.members[name].serialization
        where, known_as = bound.get("location"), bound.get("name", name)
        if where == "uri":
            path = path.replace("{" + known_as + "}", percent(value))
        elif where == "querystring":
            items = value if isinstance(value, list) else [value]
            query += [(known_as, text(item).encode("utf-8", "surrogatepass")) for item in items]
        elif where == "header":
            # A field of HTTP has no control characters. Its bytes are written as Latin-1.
            printable = "".join(char for char in text(value) if char >= " " and char != "\x7f")
            headers[known_as] = printable.encode("utf-8", "surrogatepass").decode("latin-1")
        elif shape.serialization.get("payload") == name:
            body = value if isinstance(value, bytes) else text(value).encode("utf-8", "surrogatepass")
        else:
            document[known_as] = value
    if document:
        body = json.dumps(document, default=lambda blob: b64encode(blob).decode()).encode()
    queries = "&".join(filter(None, (literals, urlencode(query))))
    return Wired(operation.http["method"], f"{path}?{queries}" if queries else path, headers, body)


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)


def send(connection: http.client.HTTPConnection, request: Wired) -> Answered:
    headers = {"Content-Type": "application/json", "Authorization": AUTHORIZATION, **request.headers}
    connection.request(request.method, request.path, body=request.body, headers=headers)
    response = connection.getresponse()
    return Answered(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def ask(url: str, request: Wired) -> Answered:
    """On a connection of its own."""
    with closing(connect(url)) as connection:
        return send(connection, request)

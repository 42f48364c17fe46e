"""What REST protocols put outside of the body: path labels, query strings, headers, the status.

`inputs` and `outputs` compile the bindings of a shape once; what is left for the body is in their `body` and `payload`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from lambent.core.record import Record
from lambent.wire import scalars
from lambent.wire.catalog import Member, Shape
from lambent.wire.http import HttpRequest
from lambent.wire.malformed import SerializationException

# An element of a header's list: quoted, or up to the next comma.
_QUOTED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|$)')
# HTTP dates have a comma of their own.
_DATES = re.compile(r"\s*([A-Za-z]{3},[^,]*|[^,]*)\s*(?:,|$)")
_NEEDS_QUOTES = re.compile(r'[",]|^\s|\s$')


class Inputs(Record, frozen=True):
    """The compiled bindings of an input. Every tuple begins with the member's name."""

    labels: tuple[tuple[str, str, scalars.Reader], ...]
    headers: tuple[tuple[str, str, Callable[[str], Any]], ...]
    query: tuple[tuple[str, str, Callable[[list[str]], Any]], ...]
    query_maps: tuple[tuple[str, bool], ...]
    prefixes: tuple[tuple[str, str], ...]
    payload: Member | None
    body: tuple[Member, ...]

    def read(self, labels: Mapping[str, str], request: HttpRequest, out: dict[str, Any]) -> None:
        """Put what is outside of the body into `out`. Raises SerializationException."""
        for name, label, convert in self.labels:
            out[name] = convert(labels[label])
        given = request.headers
        for name, header, convert in self.headers:
            text = given.get(header)
            if text is not None:
                out[name] = convert(text)
        if (self.query or self.query_maps) and request.query:
            self._read_query(request.query, out)
        for name, prefix in self.prefixes:
            out[name] = {key[len(prefix) :]: text for key, text in given.items() if key.startswith(prefix)}

    def _read_query(self, query: str, out: dict[str, Any]) -> None:
        fields: dict[str, list[str]] = {}
        try:
            for part in query.split("&"):
                if part:
                    key, _, text = part.partition("=")
                    fields.setdefault(unquote_plus(key, errors="strict"), []).append(
                        unquote_plus(text, errors="strict")
                    )
        except UnicodeDecodeError as error:
            raise SerializationException("The query string is not UTF-8") from error
        for name, key, convert in self.query:
            texts = fields.get(key)
            if texts is not None:
                out[name] = convert(texts)
        for name, lists in self.query_maps:
            out[name] = {key: texts if lists else texts[0] for key, texts in fields.items()}


def inputs(shape: Shape) -> Inputs:
    labels, headers, query, query_maps, prefixes = [], [], [], [], []
    body = []
    payload = None if shape.payload is None else shape.members[shape.payload]
    for member in shape.members.values():
        name, wire_name = member.name, member.wire_name
        if member.location == "uri":
            labels.append((name, wire_name, scalars.reader(member)))
        elif member.location == "header":
            headers.append((name, wire_name.lower(), _header_reader(member)))
        elif member.location == "headers":
            prefixes.append((name, (member.location_name or "").lower()))
        elif member.location == "querystring" and member.shape.type == "map":
            query_maps.append((name, member.shape.members["value"].shape.type == "list"))
        elif member.location == "querystring":
            query.append((name, wire_name, _query_reader(member)))
        elif member is not payload:
            body.append(member)
    return Inputs(tuple(labels), tuple(headers), tuple(query), tuple(query_maps), tuple(prefixes), payload, tuple(body))


def _header_reader(member: Member) -> Callable[[str], Any]:
    if member.shape.type != "list":
        return scalars.reader(member)
    element = member.shape.members["member"]
    convert = scalars.reader(element)
    pattern = _DATES if element.shape.type == "timestamp" else _QUOTED

    def read(text: str) -> list[Any]:
        return [convert(item) for item in _split(pattern, text)] if text.strip() else []

    return read


def _split(pattern: re.Pattern[str], text: str) -> list[str]:
    items = []
    at = 0
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise SerializationException("A header's list can not be read")
        quoted = found[1] if pattern is _QUOTED else None
        if quoted is not None:
            items.append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            items.append((found[2] if pattern is _QUOTED else found[1]).strip())
        at = found.end()
    return items


def _query_reader(member: Member) -> Callable[[list[str]], Any]:
    if member.shape.type == "list":
        convert = scalars.reader(member.shape.members["member"])
        return lambda texts: [convert(text) for text in texts]
    convert = scalars.reader(member)
    return lambda texts: convert(texts[0])


class Outputs(Record, frozen=True):
    """The compiled bindings of an output or an error."""

    status: str | None
    headers: tuple[tuple[str, str, scalars.Writer], ...]
    prefixes: tuple[tuple[str, str], ...]
    payload: Member | None
    body: tuple[Member, ...]

    def write(self, result: Mapping[str, Any], headers: dict[str, str]) -> None:
        """Put in the headers that the result has."""
        for name, header, convert in self.headers:
            value = result.get(name)
            if value is not None:
                headers[header] = convert(value)
        for name, prefix in self.prefixes:
            for key, value in (result.get(name) or {}).items():
                headers[prefix + key] = value


def outputs(shape: Shape) -> Outputs:
    status = None
    headers, prefixes, body = [], [], []
    payload = None if shape.payload is None else shape.members[shape.payload]
    for member in shape.members.values():
        if member.location == "statusCode":
            status = member.name
        elif member.location == "header":
            headers.append((member.name, member.wire_name, _header_writer(member)))
        elif member.location == "headers":
            prefixes.append((member.name, member.location_name or ""))
        elif member is not payload:
            body.append(member)
    return Outputs(status, tuple(headers), tuple(prefixes), payload, tuple(body))


def _header_writer(member: Member) -> scalars.Writer:
    if member.shape.type != "list":
        return scalars.writer(member, "rfc822")
    element = member.shape.members["member"]
    convert = scalars.writer(element, "rfc822")
    if element.shape.type != "string":
        return lambda values: ", ".join(convert(value) for value in values)
    return lambda values: ", ".join(_quote(convert(value)) for value in values)


def _quote(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

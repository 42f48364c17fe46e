"""Parameters of the query protocol: `Tags.member.1.Key=a&Tags.member.1.Value=b` as a nested value.

The dotted names are gathered into a tree first; the shapes then read from the tree, each taking the names it knows.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from lambent.wire import scalars
from lambent.wire.catalog import Member, Shape
from lambent.wire.compiled import Compiled
from lambent.wire.http import HttpRequest
from lambent.wire.malformed import SerializationException

_VALUE = ""
"""The key under which a node of the tree keeps its own text; a part of a dotted name is never empty."""

Tree = dict[str, Any]
Convert = Callable[[Tree], Any]


def tree(request: HttpRequest) -> Tree:
    """The fields of the query string and of a form body. Raises SerializationException."""
    root: Tree = {}
    try:
        fields = parse_qsl(request.query, keep_blank_values=True, errors="strict")
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            fields += parse_qsl(request.body.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise SerializationException("The parameters are not UTF-8") from error
    for name, text in fields:
        node = root
        for part in name.split("."):
            if not part:
                raise SerializationException(f"'{name}' is not a parameter's name")
            node = node.setdefault(part, {})
        node[_VALUE] = text
    return root


class Readers:
    """Functions from a tree to values, by member."""

    def __init__(self) -> None:
        self._compiled: Compiled[Convert] = Compiled()

    def of(self, member: Member) -> Convert:
        shape = member.shape
        if shape.type == "structure":
            return self.structure(shape)
        if shape.type == "list":
            return self._list(member)
        if shape.type == "map":
            return self._map(member)
        convert = scalars.reader(member)

        def read(node: Tree) -> Any:
            text = node.get(_VALUE)
            if text is None:
                raise SerializationException("Unexpected complex element termination")
            return convert(text)

        return read

    def structure(self, shape: Shape) -> Convert:
        return self._compiled.of(shape, self._compile)

    def _compile(self, shape: Shape) -> Convert:
        fields = tuple(
            (member.name, wire_name, self.of(member))
            for member in shape.members.values()
            for wire_name in _wire_names(member)
        )

        def read(node: Tree) -> dict[str, Any]:
            out = {}
            for name, wire_name, convert in fields:
                below = node.get(wire_name)
                if below is not None:
                    out[name] = convert(below)
            return out

        return read

    def _list(self, member: Member) -> Convert:
        element = member.shape.members["member"]
        convert = self.of(element)
        within = None if member.flattened else element.location_name or "member"

        def read(node: Tree) -> list[Any]:
            return [convert(item) for item in _numbered(node, within)]

        return read

    def _map(self, member: Member) -> Convert:
        key, value = member.shape.members["key"], member.shape.members["value"]
        key_name, value_name = key.location_name or "key", value.location_name or "value"
        convert = self.of(value)
        within = None if member.flattened else "entry"

        def read(node: Tree) -> dict[str, Any]:
            out = {}
            for entry in _numbered(node, within):
                if key_name not in entry or value_name not in entry:
                    raise SerializationException(f"An entry of a map needs a {key_name} and a {value_name}")
                out[entry[key_name].get(_VALUE, "")] = convert(entry[value_name])
            return out

        return read


def _wire_names(member: Member) -> tuple[str, ...]:
    """Names under which a member may come: clients differ on a flattened list whose element has a name of its own."""
    if member.shape.type == "list" and member.flattened:
        element_name = member.shape.members["member"].location_name
        if element_name is not None and element_name != member.wire_name:
            return (member.wire_name, element_name)
    return (member.wire_name,)


def _numbered(node: Tree, within: str | None) -> list[Tree]:
    """The elements 1, 2, 3... in order; an empty list is sent as the bare name."""
    if within is not None:
        node = node.get(within, {})
    try:
        return [node[number] for number in sorted((key for key in node if key != _VALUE), key=int)]
    except ValueError as error:
        raise SerializationException("An element of a list has no number") from error

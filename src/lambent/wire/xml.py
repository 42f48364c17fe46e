"""XML of the query and rest-xml protocols: a small reader that allows no document type, and writers by shape.

The reader gives a tree of `Element` with namespaces dropped, which is how AWS's services look at them. Writers append
text to a list; a shape that contains itself refers to its own function through the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from lambent.wire import scalars
from lambent.wire.catalog import Member, Shape
from lambent.wire.compiled import Compiled
from lambent.wire.malformed import SerializationException

_MAX_DEPTH = 200


@dataclass(slots=True)
class Element:
    name: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


def read(body: bytes) -> Element:
    """The root of a document. Raises SerializationException; a document type is refused, and entities with it."""
    root = Element("", {})
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > _MAX_DEPTH:
            raise SerializationException("The document is nested too deeply")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        stack[-1].children.append(element)
        stack.append(element)

    def end(_name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].parts.append(data)

    def doctype(*_: object) -> None:
        raise SerializationException("A document type is not allowed")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise SerializationException("The document is not well-formed") from error
    return root.children[0]


def _local(name: str) -> str:
    return name.rpartition(":")[2]


Convert = Callable[[Element], Any]


class Readers:
    """Functions from an element to values."""

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
        return lambda element: convert(element.text)

    def structure(self, shape: Shape) -> Convert:
        return self._compiled.of(shape, lambda shape: self.members(tuple(shape.members.values())))

    def members(self, members: tuple[Member, ...]) -> Convert:
        """A structure with only these members."""
        plain: dict[str, tuple[str, Convert]] = {}
        flat: list[tuple[str, str, Callable[[list[Element]], Any]]] = []
        attributes: list[tuple[str, str, scalars.Reader]] = []
        for member in members:
            if member.xml_attribute:
                attributes.append((member.name, _local(member.wire_name), scalars.reader(member)))
            elif member.flattened and member.shape.type in ("list", "map"):
                flat.append((member.name, _flat_name(member), self._flat(member)))
            else:
                plain[member.wire_name] = (member.name, self.of(member))

        def read_members(element: Element) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for name, attribute, convert in attributes:
                if attribute in element.attributes:
                    out[name] = convert(element.attributes[attribute])
            for child in element.children:
                entry = plain.get(child.name)
                if entry is not None:
                    out[entry[0]] = entry[1](child)
            for name, tag, convert_all in flat:
                found = [child for child in element.children if child.name == tag]
                if found:
                    out[name] = convert_all(found)
            return out

        return read_members

    def _list(self, member: Member) -> Convert:
        element = member.shape.members["member"]
        convert, tag = self.of(element), element.location_name or "member"
        return lambda node: [convert(child) for child in node.children if child.name == tag]

    def _map(self, member: Member) -> Convert:
        entries = self._entries(member)
        return lambda node: entries([child for child in node.children if child.name == "entry"])

    def _flat(self, member: Member) -> Callable[[list[Element]], Any]:
        if member.shape.type == "map":
            return self._entries(member)
        convert = self.of(member.shape.members["member"])
        return lambda elements: [convert(element) for element in elements]

    def _entries(self, member: Member) -> Callable[[list[Element]], Any]:
        key, value = member.shape.members["key"], member.shape.members["value"]
        key_name, value_name = key.location_name or "key", value.location_name or "value"
        convert = self.of(value)

        def read_entries(elements: list[Element]) -> dict[str, Any]:
            out = {}
            for element in elements:
                parts = {child.name: child for child in element.children}
                if key_name not in parts or value_name not in parts:
                    raise SerializationException(f"An entry of a map needs a {key_name} and a {value_name}")
                out[parts[key_name].text] = convert(parts[value_name])
            return out

        return read_entries


def _flat_name(member: Member) -> str:
    """The tag of a flattened list's elements: older models flatten the list's own shape and name its element."""
    if member.shape.type == "list" and member.shape.flattened:
        return member.shape.members["member"].location_name or member.wire_name
    return member.wire_name


Write = Callable[[list[str], str, Any], None]
"""Appends the element of that tag for a value."""


class Writers:
    """Functions that write values as elements."""

    def __init__(self) -> None:
        self._compiled: Compiled[Callable[[list[str], Mapping[str, Any]], None]] = Compiled()

    def of(self, member: Member) -> Write:
        shape = member.shape
        namespace = namespace_text(member.xml_namespace)
        if shape.type == "structure":
            return self._structure(shape, namespace)
        if shape.type == "list":
            return self._list(member, namespace)
        if shape.type == "map":
            return self._map(member, namespace)
        convert = scalars.writer(member, "iso8601")

        def write(out: list[str], tag: str, value: Any) -> None:
            text = convert(value)
            out.append(f"<{tag}{namespace}>{_escaped(text)}</{tag}>" if text else f"<{tag}{namespace}/>")

        return write

    def content(self, shape: Shape) -> Callable[[list[str], Mapping[str, Any]], None]:
        """What is inside of a structure's element."""
        return self._compiled.of(shape, lambda shape: self.members(tuple(shape.members.values())))

    def members(self, members: tuple[Member, ...]) -> Callable[[list[str], Mapping[str, Any]], None]:
        fields = tuple((m.name, _tag(m), self.of(m)) for m in members if not m.xml_attribute)

        def write(out: list[str], value: Mapping[str, Any]) -> None:
            for name, tag, convert in fields:
                item = value.get(name)
                if item is not None:
                    convert(out, tag, item)

        return write

    def _structure(self, shape: Shape, namespace: str) -> Write:
        return self.element(tuple(shape.members.values()), namespace, self.content(shape))

    def element(
        self,
        members: tuple[Member, ...],
        namespace: str,
        content: Callable[[list[str], Mapping[str, Any]], None],
    ) -> Write:
        """A structure's element with the attributes that are among the members."""
        attributes = tuple(
            (member.name, member.wire_name, scalars.writer(member, "iso8601"))
            for member in members
            if member.xml_attribute
        )

        def write(out: list[str], tag: str, value: Any) -> None:
            given = "".join(
                f" {name}={_quoted(convert(value[member]))}"
                for member, name, convert in attributes
                if value.get(member) is not None
            )
            out.append(f"<{tag}{namespace}{given}>")
            content(out, value)
            out.append(f"</{tag}>")

        return write

    def _list(self, member: Member, namespace: str) -> Write:
        element = member.shape.members["member"]
        convert, inner = self.of(element), element.location_name or "member"

        def write_flat(out: list[str], tag: str, value: Any) -> None:
            for item in value:
                convert(out, tag, item)

        def write(out: list[str], tag: str, value: Any) -> None:
            out.append(f"<{tag}{namespace}>")
            for item in value:
                convert(out, inner, item)
            out.append(f"</{tag}>")

        return write_flat if member.flattened else write

    def _map(self, member: Member, namespace: str) -> Write:
        key, value_member = member.shape.members["key"], member.shape.members["value"]
        key_name, value_name = key.location_name or "key", value_member.location_name or "value"
        write_key, write_value = self.of(key), self.of(value_member)

        def entries(out: list[str], tag: str, space: str, value: Mapping[str, Any]) -> None:
            for name, item in value.items():
                out.append(f"<{tag}{space}>")
                write_key(out, key_name, name)
                write_value(out, value_name, item)
                out.append(f"</{tag}>")

        def write_flat(out: list[str], tag: str, value: Any) -> None:
            entries(out, tag, namespace, value)

        def write(out: list[str], tag: str, value: Any) -> None:
            out.append(f"<{tag}{namespace}>")
            entries(out, "entry", "", value)
            out.append(f"</{tag}>")

        return write_flat if member.flattened else write


def _tag(member: Member) -> str:
    return _flat_name(member) if member.flattened else member.wire_name


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A carriage return would reach the reader as a line feed.
    return text.replace("\r", "&#xD;")


def _quoted(text: str) -> str:
    text = _escaped(text).replace('"', "&quot;").replace("\n", "&#xA;").replace("\t", "&#x9;")
    return f'"{text}"'


def namespace_text(namespace: tuple[str, str] | None) -> str:
    if namespace is None:
        return ""
    prefix, uri = namespace
    return f" xmlns{':' + prefix if prefix else ''}={_quoted(uri)}"


def text_element(tag: str, text: str) -> str:
    return f"<{tag}>{_escaped(text)}</{tag}>"

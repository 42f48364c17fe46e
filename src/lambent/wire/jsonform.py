"""Values of the model in JSON: the bodies of rest-json and json.

`Readers` and `Writers` compile a shape once into a function; a shape that contains itself refers to its own function
through the table. Members that are null or unknown are dropped, as AWS does. Numbers that JSON has no form for travel
as the strings "NaN", "Infinity" and "-Infinity".
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from lambent.wire import scalars, timestamps
from lambent.wire.catalog import Member, Shape
from lambent.wire.compiled import Compiled
from lambent.wire.malformed import SerializationException

Convert = Callable[[Any], Any]

_decode = msgspec.json.decode
encode = msgspec.json.encode


def decode(body: bytes) -> Any:
    """The document in a body. Raises SerializationException for what is not JSON."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SerializationException(None) from error


def _token(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    return "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"


def _refuse(value: Any, kind: str) -> SerializationException:
    """AWS's words for a JSON value of another type than the model's."""
    if isinstance(value, dict):
        return SerializationException("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return SerializationException("Start of list found where not expected.")
    article = "an" if kind[0] in "AEIOU" else "a"
    return SerializationException(f"{_token(value)} can not be converted to {article} {kind}")


def _read_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _refuse(value, "String")


def _read_boolean(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise _refuse(value, "Boolean")


def _read_whole(kind: str) -> Convert:
    name = kind.capitalize()
    limit = 1 << (63 if kind == "long" else 31)

    def read(value: Any) -> int:
        if type(value) is int:
            if -limit <= value < limit:
                return value
        elif type(value) is float and value.is_integer():
            return scalars.check_range(int(value), kind)
        else:
            raise _refuse(value, name)
        raise SerializationException(
            f"NUMBER_VALUE can not be converted to {'an' if name == 'Integer' else 'a'} {name}"
        )

    return read


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise _refuse(value, "Double") from error
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    raise _refuse(value, "Double")


def _read_blob(value: Any) -> bytes:
    if isinstance(value, str):
        return scalars.read_base64(value)
    raise _refuse(value, "Blob")


def _read_timestamp(value: Any) -> Any:
    if isinstance(value, str):
        return scalars.read_timestamp(value)
    if type(value) in (int, float):
        try:
            return timestamps.from_epoch(value)
        except ValueError as error:
            raise _refuse(value, "Timestamp") from error
    raise _refuse(value, "Timestamp")


def _as_is(value: Any) -> Any:
    return value


_SCALAR_READERS: dict[str, Convert] = {
    "string": _read_string,
    "character": _read_string,
    "boolean": _read_boolean,
    "byte": _read_whole("integer"),
    "short": _read_whole("integer"),
    "integer": _read_whole("integer"),
    "long": _read_whole("long"),
    "float": _read_float,
    "double": _read_float,
    "blob": _read_blob,
    "timestamp": _read_timestamp,
}


class Readers:
    """Functions from decoded JSON to values, by shape."""

    def __init__(self) -> None:
        self._compiled: Compiled[Convert] = Compiled()

    def of(self, shape: Shape) -> Convert:
        scalar = _SCALAR_READERS.get(shape.type)
        if scalar is not None:
            return scalar
        if shape.document:
            return _as_is
        return self._compiled.of(shape, self._compile)

    def _compile(self, shape: Shape) -> Convert:
        if shape.type == "list":
            return _list_reader(self.of(shape.members["member"].shape))
        if shape.type == "map":
            return _map_reader(self.of(shape.members["value"].shape))
        return self.structure(tuple(shape.members.values()), shape.union)

    def structure(self, members: tuple[Member, ...], union: bool = False) -> Convert:
        """Of a structure with only these members: those that a REST operation leaves in its body."""
        fields = {member.wire_name: (member.name, self.of(member.shape)) for member in members}

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                if isinstance(value, list):
                    raise SerializationException("Start of list found where not expected.")
                raise SerializationException("Unexpected value where a structure or map was expected")
            out: dict[str, Any] = {}
            for key, item in value.items():
                if item is not None:
                    entry = fields.get(key)
                    if entry is not None:
                        out[entry[0]] = entry[1](item)
            if union and len(out) != 1:
                raise SerializationException("A union must have exactly one member set")
            return out

        return read


def _list_reader(element: Convert) -> Convert:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise SerializationException(
                "Start of structure or map found where not expected."
                if isinstance(value, dict)
                else "Expected list or null"
            )
        return [None if item is None else element(item) for item in value]

    return read


def _map_reader(element: Convert) -> Convert:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise SerializationException(
                "Start of list found where not expected." if isinstance(value, list) else "Expected map or null"
            )
        return {key: None if item is None else element(item) for key, item in value.items()}

    return read


def _write_float(value: Any) -> Any:
    if value != value or value in (math.inf, -math.inf):
        return scalars.write_float(value)
    return value


def _write_timestamp(member: Member) -> Convert:
    form = member.timestamp_format
    if form is None or form == "unixTimestamp":
        return timestamps.to_epoch
    return lambda value: timestamps.to_text(value, form)


class Writers:
    """Functions from values to what JSON encodes, by member (its timestamp format matters) and shape."""

    def __init__(self) -> None:
        self._compiled: Compiled[Convert] = Compiled()

    def of(self, member: Member) -> Convert | None:
        """None where the value goes out as it is, which spares a call for each string."""
        kind = member.shape.type
        if kind in ("string", "character", "boolean", "byte", "short", "integer", "long"):
            return None
        if kind in ("float", "double"):
            return _write_float
        if kind == "timestamp":
            return _write_timestamp(member)
        if kind == "blob":
            return scalars.write_base64
        return self.shape(member.shape)

    def shape(self, shape: Shape) -> Convert | None:
        if shape.document:
            return None
        return self._compiled.of(shape, self._compile)

    def _compile(self, shape: Shape) -> Convert:
        if shape.type == "list":
            return _list_writer(self.of(shape.members["member"]))
        if shape.type == "map":
            return _map_writer(self.of(shape.members["value"]))
        return self.structure(tuple(shape.members.values()))

    def structure(self, members: tuple[Member, ...]) -> Convert:
        """Of a structure with only these members, in their order."""
        fields = tuple((member.name, member.wire_name, self.of(member)) for member in members)

        def write(value: Any) -> dict[str, Any]:
            out = {}
            get = value.get
            for name, wire_name, convert in fields:
                item = get(name)
                if item is not None:
                    out[wire_name] = item if convert is None else convert(item)
            return out

        return write


def _list_writer(element: Convert | None) -> Convert:
    if element is None:
        return list
    return lambda value: [None if item is None else element(item) for item in value]


def _map_writer(element: Convert | None) -> Convert:
    if element is None:
        return dict
    return lambda value: {key: None if item is None else element(item) for key, item in value.items()}

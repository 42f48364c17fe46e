"""Values of the model in CBOR, as Smithy's RPC v2 protocol writes them.

Timestamps travel under tag 1, floats in single precision and doubles in double precision. Reading takes any well-formed
encoding of a value; tags that the protocol has no use for are refused, so none of the library's own (regular
expressions, shared references and more) is ever acted upon.
"""

import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

import cbor2

from lambent.wire import scalars, timestamps
from lambent.wire.catalog import Shape
from lambent.wire.compiled import Compiled
from lambent.wire.malformed import SerializationException

Convert = Callable[[Any], Any]

_EPOCH_TAG = 1
_LIBRARY_TAGS = (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000)
"""What cbor2 would turn into objects."""


def _epoch(seconds: Any, _immutable: bool) -> Any:
    if type(seconds) not in (int, float):
        raise ValueError("a timestamp is a number")
    return timestamps.from_epoch(seconds)


def _refuse(_value: Any, _immutable: bool) -> Any:
    raise ValueError("a tag that this protocol does not use")


_DECODERS = {_EPOCH_TAG: _epoch, **dict.fromkeys(_LIBRARY_TAGS, _refuse)}


def decode(body: bytes) -> Any:
    """The item in a body. Raises SerializationException."""
    try:
        return cbor2.loads(body, semantic_decoders=_DECODERS)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SerializationException("The body is not valid CBOR") from error


class _Single(float):
    """A float that goes out in single precision."""


def _encode_single(encoder: cbor2.CBOREncoder, value: _Single) -> None:
    encoder.write(b"\xfa" + struct.pack(">f", value))


def encode(value: Any) -> bytes:
    return cbor2.dumps(value, encoders={_Single: _encode_single})


def _typed(types: tuple[type, ...], kind: str) -> Convert:
    def read(value: Any) -> Any:
        if type(value) in types:
            return value
        raise SerializationException(f"A value is not a {kind}")

    return read


def _whole(kind: str) -> Convert:
    def read(value: Any) -> int:
        if type(value) is int:
            return scalars.check_range(value, kind)
        if type(value) is float and value.is_integer():
            return scalars.check_range(int(value), kind)
        raise SerializationException(f"A value is not of type {kind}")

    return read


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < 1 << 64:
        return float(value)
    raise SerializationException("A value is not a number")


_READERS: dict[str, Convert] = {
    "string": _typed((str,), "string"),
    "character": _typed((str,), "string"),
    "boolean": _typed((bool,), "boolean"),
    "byte": _whole("byte"),
    "short": _whole("short"),
    "integer": _whole("integer"),
    "long": _whole("long"),
    "float": _read_float,
    "double": _read_float,
    "blob": _typed((bytes,), "blob"),
    "timestamp": _typed((datetime,), "timestamp"),
}


def _write_timestamp(value: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(_EPOCH_TAG, timestamps.to_epoch(value))


def _write_blob(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _as_is(value: Any) -> Any:
    return value


_WRITERS: dict[str, Convert] = {
    "float": _Single,
    "double": float,
    "timestamp": _write_timestamp,
    "blob": _write_blob,
    "string": str,
}


class _Converters:
    """Compiles a shape to a function over the items of CBOR; a shape that contains itself goes through the table."""

    def __init__(self, scalar: dict[str, Convert], reading: bool) -> None:
        self._scalar = scalar
        self._reading = reading
        self._compiled: Compiled[Convert] = Compiled()

    def of(self, shape: Shape) -> Convert:
        if shape.type not in ("structure", "list", "map"):
            return self._scalar.get(shape.type, _as_is)
        if shape.document:
            return _as_is
        return self._compiled.of(shape, self._compile)

    def _compile(self, shape: Shape) -> Convert:
        if shape.type == "list":
            return self._list(self.of(shape.members["member"].shape))
        if shape.type == "map":
            return self._map(self.of(shape.members["value"].shape))
        fields = tuple((member.name, self.of(member.shape)) for member in shape.members.values())
        union = shape.union and self._reading

        def convert(value: Any) -> dict[str, Any]:
            if self._reading and type(value) is not dict:
                raise SerializationException("A value is not a structure")
            out = {}
            for name, inner in fields:
                item = value.get(name)
                if item is not None:
                    out[name] = inner(item)
            if union and len(out) != 1:
                raise SerializationException("A union must have exactly one member set")
            return out

        return convert

    def _list(self, inner: Convert) -> Convert:
        def convert(value: Any) -> list[Any]:
            if self._reading and type(value) is not list:
                raise SerializationException("A value is not a list")
            return [None if item is None else inner(item) for item in value]

        return convert

    def _map(self, inner: Convert) -> Convert:
        def convert(value: Any) -> dict[str, Any]:
            if self._reading and (type(value) is not dict or not all(type(key) is str for key in value)):
                raise SerializationException("A value is not a map")
            return {key: None if item is None else inner(item) for key, item in value.items()}

        return convert


def readers() -> _Converters:
    return _Converters(_READERS, reading=True)


def writers() -> _Converters:
    return _Converters(_WRITERS, reading=False)

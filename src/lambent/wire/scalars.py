"""Scalars as text: in headers, query strings, path labels, form fields and XML.

`reader` gives the function from text to value for a member, `writer` the one back. A reader raises
SerializationException for text that is not of its type.
"""

import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from lambent.wire import timestamps
from lambent.wire.catalog import Member
from lambent.wire.malformed import SerializationException

Reader = Callable[[str], Any]
Writer = Callable[[Any], str]

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BITS = {"byte": 7, "short": 15, "integer": 31, "long": 63}


def check_range(value: int, kind: str) -> int:
    limit = 1 << _BITS.get(kind, 63)
    if not -limit <= value < limit:
        raise SerializationException(f"{value} is out of range for {kind}")
    return value


def read_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError as error:
        raise SerializationException("not valid Base64") from error


def write_base64(value: Any) -> str:
    data = value.encode() if isinstance(value, str) else value
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def write_float(value: Any) -> str:
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _read_whole(kind: str) -> Reader:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise SerializationException(f"'{text}' can not be converted to a number")
        return check_range(int(text), kind)

    return read


def _read_float(text: str) -> float:
    special = _SPECIAL.get(text)
    if special is not None:
        return special
    try:
        value = float(text)
    except ValueError as error:
        raise SerializationException(f"'{text}' can not be converted to a number") from error
    if "_" in text or not math.isfinite(value):
        raise SerializationException(f"'{text}' can not be converted to a number")
    return value


def _read_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise SerializationException(f"'{text}' can not be converted to a Boolean")
    return lowered == "true"


def read_timestamp(text: str) -> Any:
    try:
        return timestamps.from_text(text)
    except ValueError as error:
        raise SerializationException(f"'{text}' can not be converted to a timestamp") from error


def _read_media(text: str) -> str:
    """A JSON value in a header travels as Base64; inside it is its JSON text."""
    try:
        return read_base64(text).decode()
    except UnicodeDecodeError as error:
        raise SerializationException("not UTF-8") from error


def reader(member: Member) -> Reader:
    kind = member.shape.type
    if kind == "string" or kind == "character":
        return _read_media if member.jsonvalue and member.location == "header" else str
    if kind in _BITS:
        return _read_whole(kind)
    if kind in ("float", "double"):
        return _read_float
    if kind == "boolean":
        return _read_boolean
    if kind == "timestamp":
        return read_timestamp
    assert kind == "blob", f"{member.shape.name} of type {kind} has no form as text"
    return read_base64


def _write_boolean(value: Any) -> str:
    return "true" if value else "false"


def _write_whole(value: Any) -> str:
    return str(int(value))


def writer(member: Member, timestamp_format: str) -> Writer:
    """`timestamp_format` is the default of the place, where the model names none."""
    kind = member.shape.type
    if kind == "string" or kind == "character":
        return write_base64 if member.jsonvalue and member.location == "header" else str
    if kind in _BITS:
        return _write_whole
    if kind in ("float", "double"):
        return write_float
    if kind == "boolean":
        return _write_boolean
    if kind == "timestamp":
        form = member.timestamp_format or timestamp_format
        return lambda value: timestamps.to_text(value, form)
    assert kind == "blob", f"{member.shape.name} of type {kind} has no form as text"
    return write_base64

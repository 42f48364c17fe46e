"""Event-stream framing, `application/vnd.amazon.eventstream`: messages of typed headers and a payload.

A message: total length, headers' length and a CRC of both (the prelude), the headers, the payload, a CRC of it all.
Numbers are big-endian. The format is published with Smithy ("Amazon Event Stream").
"""

import binascii
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from lambent.core.record import Record
from lambent.wire import timestamps

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_OVERHEAD = 16


class FrameError(Exception):
    """The bytes are not a message: a wrong checksum, length or header. The stream can not be read further."""


class Byte(Record, frozen=True):
    """A header of the one-byte integer type."""

    value: int


class Short(Record, frozen=True):
    """A header of the two-byte integer type."""

    value: int


class Long(Record, frozen=True):
    """A header of the eight-byte integer type; a plain `int` is the four-byte one."""

    value: int


Header = bool | Byte | Short | int | Long | bytes | str | datetime | uuid.UUID


class Message(Record, frozen=True):
    headers: Mapping[str, Header]
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """Raises ValueError for a header or a payload that the format can not hold."""
    parts = []
    for name, value in message.headers.items():
        raw_name = name.encode()
        if not 1 <= len(raw_name) <= 255:
            raise ValueError(f"a header's name has 1 to 255 bytes: {name!r}")
        parts.append(bytes([len(raw_name)]) + raw_name + _encode_value(value))
    headers = b"".join(parts)
    if len(headers) > MAX_HEADERS_BYTES or len(message.payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("the message is too large")
    prelude = _PRELUDE.pack(_OVERHEAD + len(headers) + len(message.payload), len(headers))
    prelude += _CRC.pack(binascii.crc32(prelude))
    crc = binascii.crc32(message.payload, binascii.crc32(headers, binascii.crc32(prelude)))
    return b"".join((prelude, headers, message.payload, _CRC.pack(crc)))


def _encode_value(value: Header) -> bytes:
    try:
        match value:
            case bool():
                return b"\x00" if value else b"\x01"
            case Byte():
                return struct.pack(">Bb", 2, value.value)
            case Short():
                return struct.pack(">Bh", 3, value.value)
            case int():
                return struct.pack(">Bi", 4, value)
            case Long():
                return struct.pack(">Bq", 5, value.value)
            case bytes():
                return struct.pack(">BH", 6, len(value)) + value
            case str():
                raw = value.encode()
                return struct.pack(">BH", 7, len(raw)) + raw
            case datetime():
                return struct.pack(">Bq", 8, round(timestamps.to_epoch(value) * 1000))
            case uuid.UUID():
                return b"\x09" + value.bytes
    except struct.error as error:
        raise ValueError(f"a header's value does not fit its type: {value!r}") from error


class Decoder:
    """Messages out of a stream that comes in pieces: `feed` it, then iterate over what is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def __iter__(self) -> Iterator[Message]:
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        buffer = self._buffer
        if len(buffer) < 12:
            return None
        total, headers_length = _PRELUDE.unpack_from(buffer)
        if binascii.crc32(buffer[:8]) != _CRC.unpack_from(buffer, 8)[0]:
            raise FrameError("the checksum of a message's prelude is wrong")
        payload_length = total - headers_length - _OVERHEAD
        if not (0 <= headers_length <= MAX_HEADERS_BYTES and 0 <= payload_length <= MAX_PAYLOAD_BYTES):
            raise FrameError("the lengths of a message are wrong")
        if len(buffer) < total:
            return None
        frame = bytes(buffer[:total])
        del buffer[:total]
        if binascii.crc32(frame[:-4]) != _CRC.unpack_from(frame, total - 4)[0]:
            raise FrameError("the checksum of a message is wrong")
        return Message(_decode_headers(frame[12 : 12 + headers_length]), frame[12 + headers_length : -4])


def decode(data: bytes) -> list[Message]:
    """All messages of a finished stream. Raises FrameError, for a message cut short too."""
    decoder = Decoder()
    decoder.feed(data)
    messages = list(decoder)
    if decoder.pending:
        raise FrameError("the stream ends within a message")
    return messages


def _fixed(form: str) -> Callable[[bytes, int], tuple[Any, int]]:
    layout = struct.Struct(form)
    return lambda data, at: (layout.unpack_from(data, at)[0], at + layout.size)


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", data, at)
    end = at + 2 + length
    if end > len(data):
        raise FrameError("a header is cut short")
    return data[at + 2 : end], end


_NUMBERS: dict[int, tuple[Callable[[bytes, int], tuple[Any, int]], Callable[[Any], Header]]] = {
    2: (_fixed(">b"), Byte),
    3: (_fixed(">h"), Short),
    4: (_fixed(">i"), int),
    5: (_fixed(">q"), Long),
    6: (_sized, bytes),
    7: (_sized, bytes.decode),
    8: (_fixed(">q"), lambda millis: timestamps.from_epoch(millis / 1000)),
    9: (_fixed(">16s"), lambda raw: uuid.UUID(bytes=raw)),
}


def _decode_headers(data: bytes) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode(), data[name_end]
            at = name_end + 1
            if name in headers:
                raise FrameError(f"the header {name!r} is there twice")
            if kind in (0, 1):
                headers[name] = kind == 0
                continue
            if kind not in _NUMBERS:
                raise FrameError(f"a header has the unknown type {kind}")
            read, convert = _NUMBERS[kind]
            raw, at = read(data, at)
            headers[name] = convert(raw)
    except (struct.error, IndexError, ValueError) as error:
        raise FrameError("a message's headers can not be read") from error
    return headers

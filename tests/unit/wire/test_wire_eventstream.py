"""Event-stream framing, against itself and against botocore's decoder."""

import uuid
from datetime import UTC, datetime

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambent.wire.eventstream import Byte, Decoder, FrameError, Header, Long, Message, Short, decode, encode

PATIENT = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""For machines that have more to do than this."""

NAMES = st.text(min_size=1, max_size=40)
MOMENTS = st.integers(0, 4_000_000_000_000).map(lambda millis: datetime.fromtimestamp(millis // 1000, UTC))
HEADERS: st.SearchStrategy[Header] = st.one_of(
    st.booleans(),
    st.integers(-128, 127).map(Byte),
    st.integers(-(2**15), 2**15 - 1).map(Short),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Long),
    st.binary(max_size=40),
    st.text(max_size=40),
    MOMENTS,
    st.uuids(),
)
MESSAGES = st.builds(Message, st.dictionaries(NAMES, HEADERS, max_size=5), st.binary(max_size=200))


@PATIENT
@given(st.lists(MESSAGES, max_size=4), st.integers(1, 50))
def test_what_is_encoded_comes_out_again_however_it_is_cut(messages: list[Message], size: int) -> None:
    data = b"".join(map(encode, messages))
    assert decode(data) == messages
    decoder = Decoder()
    found = []
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        found += list(decoder)
    assert found == messages
    assert decoder.pending == 0


@PATIENT
@given(MESSAGES.filter(lambda message: not any(isinstance(v, bool) for v in message.headers.values())))
def test_botocore_reads_what_is_encoded(message: Message) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode(message))
    (event,) = buffer
    assert event.payload == message.payload
    assert event.headers.keys() == message.headers.keys()
    for name, value in message.headers.items():
        match value:
            case Byte() | Short() | Long():
                assert event.headers[name] == value.value
            case uuid.UUID():
                assert event.headers[name] == value.bytes
            case datetime():
                assert event.headers[name] == value.timestamp() * 1000
            case _:
                assert event.headers[name] == value


@PATIENT
@given(MESSAGES, st.data())
def test_a_changed_byte_is_noticed(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        decode(bytes(frame))


@PATIENT
@given(st.binary(max_size=100))
def test_noise_is_refused(noise: bytes) -> None:
    if noise:
        with pytest.raises(FrameError):
            decode(noise)


@pytest.mark.parametrize(
    "headers", [{"": "x"}, {"n" * 256: "x"}, {"a": Byte(128)}, {"a": 2**31}, {"a": "x" * 70_000}, {"a": Short(-40_000)}]
)
def test_what_the_format_can_not_hold_is_refused(headers: dict[str, Header]) -> None:
    with pytest.raises(ValueError):
        encode(Message(headers))


def test_a_message_cut_short_is_refused() -> None:
    with pytest.raises(FrameError, match="ends within a message"):
        decode(encode(Message({"a": "b"}, b"payload"))[:-1])

"""Messages between a dispatcher and a worker in another process: what goes in comes out."""

from typing import get_args

import msgspec
import pytest

from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.network import Destination, Network, NetworkMode
from lambent.worker import messages
from lambent.worker.transport import MessageStream, decode, encode

SPEC = messages.EnvironmentSpec(
    account="111122223333",
    region="us-east-1",
    function_name="f",
    version="$LATEST",
    runtime="python3.13",
    handler="app.handler",
    memory_mib=128,
    timeout_ms=3000,
    ephemeral_mib=512,
    package="0" * 64,
    variables={"A": "b"},
    credentials=messages.Credentials("id", "secret", "token", "bearer"),
    log_group="/aws/lambda/f",
    log_stream="s",
    network=Network(NetworkMode.ALLOW, (Destination("10.0.0.0/8", "tcp", 5432),), ("10.0.0.2",)),
)
MESSAGES = [
    messages.Hello("127.0.0.1", 4566),
    messages.Start("e1", SPEC),
    messages.Run("e1", Invocation("r1", "arn", b"\x00\xff" * 1000, trace_id="Root=1", wants_tail=True)),
    messages.MakeTemplate("t1", SPEC),
    messages.TemplateMade("t1", 30_000_000),
    messages.TemplateFailed("t1"),
    messages.TemplateRefused("t1"),
    messages.MemoryMeasured(8192, 5000),
    messages.Retire("e1"),
    messages.Initialised("e1", failed=True),
    messages.Available("e1"),
    messages.Answered("e1", "r1", Answer(b"\xff", error_type="Function.Unknown")),
    messages.Finished("e1", "r1", Report(Outcome.TIMEOUT, 1, 2, tail=b"\xfe")),
    messages.Gone("e1", "why", Outcome.TIMEOUT),
    messages.LogLines("111122223333", "us-east-1", "g", "s", ((1, "one"), (2, "zwölf"))),
]


def test_every_kind_of_message_is_tried_here():
    kinds = {*get_args(messages.Command), *get_args(messages.Event)}
    assert {type(message) for message in MESSAGES} == kinds


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message):
    assert decode(encode(message)[4:]) == message


def test_messages_come_out_of_a_stream_however_it_is_cut():
    wire = b"".join(encode(message) for message in MESSAGES)
    for size in (1, 7, 1000, len(wire)):
        received = []
        stream = MessageStream(received.append, lambda: None)
        for start in range(0, len(wire), size):
            stream.data_received(wire[start : start + size])
        assert received == MESSAGES


def test_what_is_no_message_is_refused():
    with pytest.raises((msgspec.DecodeError, KeyError)):
        decode(msgspec.msgpack.encode(("Nothing", {})))
    with pytest.raises((msgspec.DecodeError, KeyError)):
        decode(b"\xc1garbage")


def test_secrets_do_not_show_in_a_message():
    assert "secret" not in repr(SPEC)
    assert "token" not in repr(SPEC)
    assert "bearer" not in repr(SPEC)
    assert "'b'" not in repr(SPEC)

"""A function's output, from its pipe to lines."""

import os

import pytest

from lambent.core.limits import LOG_EVENT_BYTES
from lambent.worker.output import Output


@pytest.fixture
def pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)
    lines = []
    output = Output(read, lines.append)
    yield output, write, lines
    os.close(write)


def test_each_newline_ends_a_line_and_the_rest_waits(pipe):
    output, write, lines = pipe
    os.write(write, b"one\ntwo\r\nthr")
    output.drain(1_000_000)
    assert lines == ["one", "two\r"]
    os.write(write, b"ee\n\n")
    output.drain(1_000_000)
    assert lines == ["one", "two\r", "three", ""]
    os.write(write, b"last")
    output.read()
    output.close()
    assert lines[-1] == "last"


def test_a_line_longer_than_a_log_event_is_cut_and_nothing_of_it_is_lost(pipe):
    output, write, lines = pipe
    text = b"x" * (2 * LOG_EVENT_BYTES + 10)
    for start in range(0, len(text), 50_000):
        os.write(write, text[start : start + 50_000])
        output.drain(1_000_000)
    os.write(write, b"\n")
    output.drain(1_000_000)
    output.close()
    assert "".join(lines) == text.decode()
    assert max(map(len, lines)) == LOG_EVENT_BYTES


def test_bytes_that_are_no_text_do_not_stop_the_log(pipe):
    output, write, lines = pipe
    os.write(write, b"a\xffb\n")
    output.read()
    output.close()
    assert lines == ["a\N{REPLACEMENT CHARACTER}b"]


def test_the_end_of_an_invocation_ends_its_last_line(pipe):
    output, write, lines = pipe
    os.write(write, b"one\nof ada")
    output.drain(1_000_000)
    output.end_line()
    output.end_line()
    assert lines == ["one", "of ada"]
    os.write(write, b"of bob\n")
    output.drain(1_000_000)
    output.close()
    assert lines == ["one", "of ada", "of bob"]

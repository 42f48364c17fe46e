"""What one client may make the server and a worker hold: the two HTTP listeners, on a transport that only records.

The peer of either may be a function's code.
"""

import asyncio
import gc
import weakref

import pytest

from lambent.core.allowance import Allowance
from lambent.server import http_protocol
from lambent.server.http_protocol import PIPELINE_LIMIT, PROGRESS_BYTES, STALLED_S, Connections
from lambent.wire.http import HttpResponse
from lambent.wire.http_framing import RequestStream
from lambent.worker.runtime_api import RuntimeConnection

FLOOD = 2_000_000
HEAD = b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
SENT_AHEAD = 2 * PIPELINE_LIMIT


class Transport:
    def __init__(self):
        self.closed = False
        self.reading = True
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return len(self.written)

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Nobody:
    def fails_init(self, connection, posted):
        connection.accept()

    def hangs_up(self, connection):
        pass


def plenty():
    return Allowance(connections=1000, held_bytes=1 << 40)


def runtime_api():
    return RuntimeConnection(Nobody(), set())


def front():
    return Connections(lambda _request, answer: answer(HttpResponse(200)), plenty())()


def flood(connection, begin, piece):
    """Feed pieces until the connection is ended, as an event loop does; the bytes that were taken."""
    transport = Transport()
    connection.connection_made(transport)
    connection.data_received(begin)
    taken = 0
    while not transport.closed and taken < FLOOD:
        data = piece(taken)
        connection.data_received(data)
        taken += len(data)
    return taken


@pytest.mark.parametrize("listener", [runtime_api, front])
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEAD + b"0\r\n", lambda taken: b"x-%d: y\r\n" % taken),
        (HEAD + b"0\r\nx: ", lambda taken: b"y" * 1000),
        (HEAD[:-2], lambda taken: b"x-%d: y\r\n" % taken),
        (HEAD[:-2] + b"x: ", lambda taken: b"y" * 1000),
        (b"GET /", lambda taken: b"y" * 1000),
    ],
    ids=["many trailers", "a long trailer", "many headers", "a long header", "a long path"],
)
def test_a_head_or_a_tail_without_end_ends_the_connection(listener, begin, piece):
    async def run():
        return flood(listener(), begin, piece)

    assert asyncio.run(run()) < FLOOD


def test_a_body_may_be_longer_than_any_head():
    async def run():
        transport = Transport()
        connection = runtime_api()
        connection.connection_made(transport)
        connection.data_received(HEAD)
        for _ in range(3):
            connection.data_received(b"80000\r\n" + b"x" * 0x80000 + b"\r\n")
        connection.data_received(b"0\r\n\r\n")
        return transport

    transport = asyncio.run(run())
    assert not transport.closed
    assert transport.written.startswith(b"HTTP/1.1 202")


def test_a_runtime_that_does_not_read_its_answers_is_not_read_either():
    async def run():
        transport = Transport()
        connection = runtime_api()
        connection.connection_made(transport)
        connection.data_received(PING)
        connection.pause_writing()
        paused = transport.reading
        connection.resume_writing()
        return paused, transport.reading

    assert asyncio.run(run()) == (False, True)


def test_a_client_that_does_not_read_its_answers_is_neither_read_nor_served():
    served = []

    def serve(request, answer):
        served.append(request.path)
        answer(HttpResponse(200))

    async def run():
        connections = Connections(serve, plenty())
        transport = Transport()
        connection = connections()
        connection.connection_made(transport)
        connection.pause_writing()
        connection.data_received(PING * 3)
        assert not transport.reading
        assert served == []
        connection.resume_writing()
        return transport

    transport = asyncio.run(run())
    assert transport.reading
    assert len(served) == 3
    assert transport.written.count(b"HTTP/1.1 200") == 3


def test_a_client_that_sends_ahead_is_read_again_only_when_little_of_it_waits():
    async def run():
        answers = []
        connections = Connections(lambda _request, answer: answers.append(answer), plenty())
        transport = Transport()
        connection = connections()
        connection.connection_made(transport)
        connection.data_received(PING * SENT_AHEAD)
        reading = [transport.reading]
        for _ in range(SENT_AHEAD):
            answers.pop()(HttpResponse(200))
            assert not answers, "two requests of one connection are served at a time"
            reading.append(transport.reading)
            await asyncio.sleep(0)  # the next one begins in a turn of its own
        return reading, transport

    reading, transport = asyncio.run(run())
    assert reading[0] is False
    assert reading[SENT_AHEAD // 2] is False
    assert transport.reading
    assert transport.written.count(b"HTTP/1.1 200") == SENT_AHEAD


UPLOAD = b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n"


def test_what_all_connections_of_a_peer_hold_of_unfinished_requests_is_bounded():
    """The last of many uploads that do not end is refused; when another one is given up, there is room again."""

    async def run():
        allowance = Allowance(connections=100, held_bytes=5_000_000)
        connections = Connections(lambda _request, answer: answer(HttpResponse(200)), allowance)
        transports, opened = [], []
        for _ in range(10):
            transports.append(Transport())
            opened.append(connections())
            opened[-1].connection_made(transports[-1])
            opened[-1].data_received(UPLOAD)
            opened[-1].data_received(b"x" * 1_000_000)
        refused = [transport.closed for transport in transports]
        opened[0].connection_lost(None)
        transport, connection = Transport(), connections()
        connection.connection_made(transport)
        connection.data_received(UPLOAD + b"x" * 900_000)
        return transports, refused, transport

    transports, refused, after = asyncio.run(run())
    assert refused == [False] * 5 + [True] * 5
    assert transports[-1].written.startswith(b"HTTP/1.1 503")
    assert not after.closed


def test_little_of_many_unfinished_requests_counts_too():
    async def run():
        allowance = Allowance(connections=1000, held_bytes=1_000_000)
        connections = Connections(lambda _request, answer: answer(HttpResponse(200)), allowance)
        transports = []
        for _ in range(40):
            transports.append(Transport())
            connection = connections()
            connection.connection_made(transports[-1])
            connection.data_received(UPLOAD + b"x" * 50_000)
        return [transport.closed for transport in transports]

    assert asyncio.run(run()) == [False] * 20 + [True] * 20


@pytest.mark.parametrize("goes_on", [False, True])
def test_an_upload_that_does_not_come_on_is_ended_where_others_want_its_memory(monkeypatch, goes_on):
    now = [1000.0]
    monkeypatch.setattr(http_protocol.time, "monotonic", lambda: now[0])

    async def run():
        shared = Allowance(connections=100, held_bytes=2_000_000)
        connections = Connections(lambda _request, answer: answer(HttpResponse(200)), shared)
        transports = [Transport(), Transport()]
        opened = [
            connections.of(Allowance(connections=1, held_bytes=5_000_000, within=shared)) for _ in transports
        ]  # as two environments are
        for transport, connection in zip(transports, opened, strict=True):
            connection.connection_made(transport)
        opened[0].data_received(UPLOAD + b"x" * 1_000_000)
        now[0] += STALLED_S + 1
        opened[0].data_received(b"x" * (PROGRESS_BYTES if goes_on else 1))
        opened[1].data_received(UPLOAD + b"x" * 1_500_000)
        return transports

    first, second = asyncio.run(run())
    assert (first.closed, second.closed) == ((False, True) if goes_on else (True, False))
    assert (second if goes_on else first).written.startswith(b"HTTP/1.1 503" if goes_on else b"HTTP/1.1 408")


@pytest.mark.parametrize("listener", [runtime_api, front])
def test_what_a_client_has_sent_is_gone_with_its_connection(listener):
    """Without the garbage collector, which does not know how large it is."""

    async def run():
        connection = listener()
        connection.connection_made(Transport())
        connection.data_received(UPLOAD + b"x" * 1_000_000)
        received = weakref.ref(connection._requests)
        connection.connection_lost(None)
        del connection
        return received()

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run()) is None
    finally:
        gc.enable()


def test_a_request_that_is_being_served_counts_until_it_is_answered():
    async def run():
        allowance = Allowance(connections=100, held_bytes=1_000_000)
        answers = []
        connections = Connections(lambda _request, answer: answers.append(answer), allowance)
        states = []
        for _ in range(2):
            transport, connection = Transport(), connections()
            connection.connection_made(transport)
            connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000)
            states.append(transport.closed)
        connection.connection_lost(None)
        answers.pop()(HttpResponse(200))
        transport, connection = Transport(), connections()
        connection.connection_made(transport)
        connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000)
        return [*states, transport.closed]

    assert asyncio.run(run()) == [False, True, False]


def test_a_peer_has_so_many_connections_and_gets_one_back_for_each_that_ends():
    async def run():
        whole = Allowance(connections=5, held_bytes=0)
        part = Allowance(connections=3, held_bytes=0, within=whole)
        connections = Connections(lambda _request, answer: answer(HttpResponse(200)), whole)
        opened = [(Transport(), connections.of(part)) for _ in range(4)]
        opened += [(Transport(), connections()) for _ in range(3)]
        for transport, connection in opened:
            connection.connection_made(transport)
        before = [transport.closed for transport, _ in opened]
        opened[0][1].connection_lost(None)
        transport, connection = Transport(), connections.of(part)
        connection.connection_made(transport)
        return before, transport.closed

    before, again = asyncio.run(run())
    assert before == [False, False, False, True, False, False, True]
    assert again is False


def test_a_refusal_waits_for_the_answer_to_the_request_before_it():
    async def run():
        answers = []
        allowance = Allowance(connections=1, held_bytes=100_000)
        transport = Transport()
        connection = Connections(lambda _request, answer: answers.append(answer), allowance)()
        connection.connection_made(transport)
        connection.data_received(PING)
        connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000)
        before = transport.written
        answers.pop()(HttpResponse(200))
        await asyncio.sleep(0)
        return before, transport

    before, transport = asyncio.run(run())
    assert before == b""
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 503" in transport.written
    assert transport.closed


def test_a_peer_that_asks_for_much_and_reads_nothing_is_bounded_by_its_allowance():
    allowance = Allowance(connections=100, held_bytes=2_500_000)
    connections = Connections(lambda _request, answer: answer(HttpResponse(200, (), b"x" * 1_000_000)), allowance)
    transports = []
    for _ in range(4):
        connection = connections()
        transport = Transport()
        connection.connection_made(transport)
        connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        transports.append((transport, connection))
    assert [transport.closed for transport, _ in transports] == [False, False, True, True]
    for _transport, connection in transports[2:]:
        connection.connection_lost(None)
    transports[0][0].written = b""
    transports[0][1].resume_writing()
    connection = connections()
    transport = Transport()
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not transport.closed, "what was read still counts"


def test_requests_that_wait_do_not_cost_others_their_answers():
    large = HttpResponse(200, (), b"x" * 400_000)
    unanswered = []

    def serve(request, answer):
        if request.method == "GET":
            answer(large)
        else:
            unanswered.append(answer)

    whole = Allowance(connections=100, held_bytes=1_000_000, answer_bytes=500_000)
    connections = Connections(serve, Allowance(connections=100, held_bytes=1 << 30, within=whole))
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000
    closed = []
    for request in (post, get, post, get):
        connection = connections()
        transport = Transport()
        connection.connection_made(transport)
        connection.data_received(request)
        closed.append(transport.closed)
    assert closed == [False, False, True, True]
    unanswered.pop()(HttpResponse(200))


def test_a_body_that_was_too_large_is_not_remembered_as_none():
    stream = RequestStream(head_limit=10_000, field_limit=10, body_limit=5)
    whole = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecret"
    for _ in range(2):
        stream.feed(whole)
        assert stream.next_request() is not None
        assert stream.too_large

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from benchmarks import load
from benchmarks.load import Load, UnexpectedAnswer

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 5\r\n\r\nhello"


class Other:
    """A server that answers each request with the pieces it is given, each in a turn of the loop, and counts."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.requests = 0
        self.connections = 0

    def __call__(self) -> "Connection":
        self.connections += 1
        return Connection(self)


class Connection(asyncio.Protocol):
    def __init__(self, other: Other) -> None:
        self.other = other
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if len(self.received) >= len(REQUEST):
            self.received = self.received[len(REQUEST) :]
            self.other.requests += 1
            self.answer(self.other.pieces)

    def answer(self, pieces: tuple[bytes, ...]) -> None:
        self.transport.write(pieces[0])
        if len(pieces) > 1:
            asyncio.get_running_loop().call_soon(self.answer, pieces[1:])


@contextlib.asynccontextmanager
async def serving(other: Other) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.get_running_loop().create_server(other, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield host, port


async def measured(other: Other, callers: int, calls: int, warm_up: int, pause_s: float = 0) -> Load:
    async with serving(other) as address, asyncio.timeout(20):
        return await load.measure(address, REQUEST, callers, calls, warm_up, pause_s)


@pytest.mark.parametrize("pause_s", [0, 0.001])
@pytest.mark.parametrize("callers", [1, 3])
def test_every_call_is_made_and_no_more(callers, pause_s):
    other = Other(OK)
    result = asyncio.run(measured(other, callers, calls=20, warm_up=5, pause_s=pause_s))
    assert (other.requests, other.connections) == (25, callers)
    assert 0 < result.p50_us <= result.p99_us
    assert result.per_second > 0


def test_an_answer_that_comes_in_pieces_is_one_answer():
    other = Other(OK[:10], OK[10:30], OK[30:])
    asyncio.run(measured(other, 1, calls=4, warm_up=0))
    assert other.requests == 4


def test_an_answer_other_than_200_ends_the_run():
    with pytest.raises(UnexpectedAnswer, match="429"):
        asyncio.run(measured(Other(OK.replace(b"200 OK", b"429 No")), 2, calls=4, warm_up=0))


def test_the_length_of_an_answer_is_head_and_body():
    assert load.whole_length(OK) == len(OK)
    assert load.whole_length(OK[:20]) == 0
    assert load.whole_length(b"HTTP/1.1 204 No Content\r\n\r\n") == 27


def test_a_percentile_is_a_latency_that_a_call_had():
    assert [load.percentile([1, 2, 3, 10], part) for part in (0, 0.5, 0.99)] == [1, 2, 10]


def test_the_generator_runs_as_a_program_of_its_own():
    async def run() -> Load:
        other = Other(OK)
        async with serving(other) as address:
            return await asyncio.to_thread(load.run, address, REQUEST, callers=2, calls=10, warm_up=2)

    assert asyncio.run(run()).per_second > 0

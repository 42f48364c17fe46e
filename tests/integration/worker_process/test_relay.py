"""The way from inside a sandbox to a server in another process, byte for byte."""

import asyncio
import contextlib

import pytest
import uvloop

from lambent.core.allowance import Allowance
from lambent.worker.transport import Relay

SIZE = 3_000_000
PLENTY = Allowance(connections=1000, held_bytes=0)


class Far(asyncio.Protocol):
    """Answers when all has come, and keeps what came."""

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) == SIZE:
            self.transport.write(self.received[::-1])  # type: ignore[attr-defined]


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=("uvloop", "asyncio"))
def test_what_is_sent_at_once_arrives_whole_and_so_does_the_answer(new_loop: object) -> None:
    async def converse() -> None:
        loop = asyncio.get_running_loop()
        far = await loop.create_server(Far, "127.0.0.1", 0)
        host, port = far.sockets[0].getsockname()
        near = await loop.create_server(lambda: Relay(host, port, PLENTY), "127.0.0.1", 0)
        sent = bytes(range(250)) * (SIZE // 250)
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*near.sockets[0].getsockname())
            writer.write(sent)
            assert await asyncio.wait_for(reader.readexactly(SIZE), 20) == sent[::-1]
            writer.close()
            await writer.wait_closed()
        near.close()
        far.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(converse())


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async def converse() -> None:
        loop = asyncio.get_running_loop()
        nobody = await loop.create_server(Far, "127.0.0.1", 0)
        host, port = nobody.sockets[0].getsockname()
        nobody.close()
        await nobody.wait_closed()
        near = await loop.create_server(lambda: Relay(host, port, PLENTY), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*near.sockets[0].getsockname())
        writer.write(b"x" * 10)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        near.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(converse())

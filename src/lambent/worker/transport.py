"""A worker in a process of its own: its messages over a Unix stream socket.

A message is a frame: four bytes of length, then MessagePack of the message's type name and fields. Payloads are bytes
inside it. Both ends are of one version, so there is no negotiation; a frame that does not parse ends the connection.

The worker listens and serves one dispatcher at a time. When the connection ends, so do the environments: what they
were doing is the dispatcher's to answer, by the rules for a lost environment.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Protocol, cast, get_args

import msgspec

from lambent.core.allowance import Allowance
from lambent.worker.messages import Command, Event, Hello

_log = logging.getLogger(__name__)

Message = Command | Event

_LENGTH = struct.Struct(">I")
FRAME_LIMIT_BYTES = 64 * 1024 * 1024
_TYPES: dict[str, type] = {kind.__name__: kind for kind in (*get_args(Command), *get_args(Event))}
_envelope = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
_decoders: dict[str, msgspec.msgpack.Decoder[Message]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in _TYPES.items()
}
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    body = _encoder.encode((type(message).__name__, message))
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Raises msgspec.DecodeError or KeyError for what is no message."""
    name, fields = _envelope.decode(body)
    return _decoders[name].decode(fields)


class MessageStream(asyncio.Protocol):
    """One end of the connection."""

    def __init__(self, on_message: Callable[[Message], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # those of uvloop are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME_LIMIT_BYTES:
                self._break("a frame is too long")
                return
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                message = decode(body)
            except (msgspec.DecodeError, KeyError):
                self._break("a frame is no message")
                return
            self._on_message(message)

    def _break(self, reason: str) -> None:
        _log.error("worker connection broken", extra={"reason": reason})
        self.close()

    def send(self, message: Message) -> None:
        if self._transport is not None:
            self._transport.write(encode(message))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(path: Path, on_event: Callable[[Message], None], on_lost: Callable[[], None]) -> MessageStream:
    """The dispatcher's end. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_unix_connection(lambda: MessageStream(on_event, on_lost), str(path))
    return stream


class AgentLike(Protocol):
    """The worker's agent, as this end of the connection drives it."""

    def handle(self, command: Command) -> None: ...

    async def close(self) -> None: ...


MakeAgent = Callable[[Callable[[Event], None], Callable[[Allowance], asyncio.Protocol]], Awaitable[AgentLike]]


class WorkerServer:
    """The worker's end. Each connection is a dispatcher's session with an agent of its own; one has it at a time."""

    def __init__(self, make_agent: MakeAgent, tasks: asyncio.TaskGroup) -> None:
        self.make_agent = make_agent
        self.tasks = tasks
        self.turn = asyncio.Lock()
        self._sessions: set[_Session] = set()

    def connection(self) -> MessageStream:
        session = _Session(self)
        self._sessions.add(session)
        return session.stream

    def forget(self, session: "_Session") -> None:
        self._sessions.discard(session)

    async def close(self) -> None:
        """End every session, and wait for the environments of the last one to be gone."""
        for session in list(self._sessions):
            session.stream.close()
        async with self.turn:
            pass


class _Session:
    def __init__(self, server: WorkerServer) -> None:
        self._server = server
        self._agent: AgentLike | None = None
        self._early: list[Command] = []
        self._ended = asyncio.Event()
        self.stream = MessageStream(self._received, self._lost)

    def _received(self, message: Message) -> None:
        assert isinstance(message, Command), "a dispatcher sends commands"
        if isinstance(message, Hello):
            self._server.tasks.create_task(self._serve(message))
        elif self._agent is None:
            self._early.append(message)
        else:
            self._agent.handle(message)

    def _lost(self) -> None:
        self._ended.set()
        self._server.forget(self)

    async def _serve(self, hello: Hello) -> None:
        async with self._server.turn:
            if self._ended.is_set():
                return
            agent = await self._server.make_agent(self.stream.send, partial(Relay, hello.host, hello.port))
            for command in self._early:
                agent.handle(command)
            self._early.clear()
            self._agent = agent
            await self._ended.wait()
            await agent.close()


class Relay(asyncio.Protocol):
    """Carries a connection from inside a sandbox to the server's own address, byte for byte.

    Serves as the front door of a worker in a process of its own. Each side reads only as fast as the other writes.
    """

    def __init__(self, host: str, port: int, allowance: Allowance) -> None:
        self._allowance = allowance
        self._entered = False
        self._host = host
        self._port = port
        self._near: asyncio.Transport | None = None
        self._far: asyncio.Transport | None = None
        self._early: list[bytes] = []
        """What came before the far side was there: what one read gives, for then reading is paused."""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._near = cast("asyncio.Transport", transport)  # those of uvloop are no subclasses of it
        self._entered = self._allowance.enter()
        if not self._entered:
            self._near.abort()
            return
        self._connecting = asyncio.get_running_loop().create_task(self._connect(self._near))

    async def _connect(self, near: asyncio.Transport) -> None:
        try:
            self._far, _ = await asyncio.get_running_loop().create_connection(
                lambda: _FarSide(near), self._host, self._port
            )
        except OSError:
            near.abort()
            return
        if self._early:
            # Reading first: a far side that can not take it all at once pauses it again.
            near.resume_reading()
            self._far.writelines(self._early)
            self._early.clear()

    def data_received(self, data: bytes) -> None:
        if not self._entered:
            return
        if self._far is not None:
            self._far.write(data)
            return
        # Not in `connection_made`: uvloop begins to read after it, paused or not.
        assert self._near is not None, "data before the connection"
        self._near.pause_reading()
        self._early.append(data)

    def pause_writing(self) -> None:
        if self._far is not None:
            self._far.pause_reading()

    def resume_writing(self) -> None:
        if self._far is not None:
            self._far.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._entered:
            self._allowance.leave()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._far is not None:
            self._far.close()


class _FarSide(asyncio.Protocol):
    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near

    def data_received(self, data: bytes) -> None:
        self._near.write(data)

    def pause_writing(self) -> None:
        self._near.pause_reading()

    def resume_writing(self) -> None:
        self._near.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._near.close()

"""The dispatcher's link to a worker in another process.

Connects, and connects again when the worker was lost. A worker that is lost takes its environments with it: each is
told to the dispatcher as gone, and what it was doing is answered by the rules for a lost environment.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from lambent.worker.messages import (
    TOOK_UNKNOWN,
    Command,
    Event,
    Gone,
    Hello,
    MakeTemplate,
    Run,
    Start,
    TemplateRefused,
)
from lambent.worker.transport import Message, MessageStream, connect

_log = logging.getLogger(__name__)

RECONNECT_S = 0.1
FIRST_CONNECT_S = 30


class WorkerUnreachable(Exception):
    """No worker answers on the socket. The message is for the person who started the server."""


class WorkerLink:
    """`send` takes the dispatcher's commands; `on_event` is given the worker's events."""

    def __init__(self, socket: Path, hello: Hello, on_event: Callable[[Event], None]) -> None:
        self._socket = socket
        self._hello = hello
        self._on_event = on_event
        self._stream: MessageStream | None = None
        self._environments: set[str] = set()
        self._lost = asyncio.Event()

    async def open(self, tasks: asyncio.TaskGroup) -> None:
        """Connect. Raises WorkerUnreachable."""
        try:
            async with asyncio.timeout(FIRST_CONNECT_S):
                await self._connect()
        except TimeoutError:
            raise WorkerUnreachable(f"no worker answers on {self._socket}: start `lambent worker` there") from None
        self._keeping = tasks.create_task(self._keep())

    async def close(self) -> None:
        self._keeping.cancel()
        if self._stream is not None:
            self._stream.close()

    def send(self, command: Command) -> None:
        if isinstance(command, Start | MakeTemplate):
            self._environments.add(command.environment_id)
        if self._stream is not None:
            self._stream.send(command)
        elif isinstance(command, Start | MakeTemplate | Run):
            # Later, as an event: the dispatcher is in the middle of a decision.
            asyncio.get_running_loop().call_soon(self._tell_gone, command.environment_id)

    async def _connect(self) -> None:
        while True:
            try:
                self._stream = await connect(self._socket, self._received, self._on_lost)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            else:
                self._lost.clear()
                self._stream.send(self._hello)
                return

    async def _keep(self) -> None:
        while True:
            await self._lost.wait()
            await self._connect()

    def _received(self, message: Message) -> None:
        assert isinstance(message, Event), "a worker sends events"
        if isinstance(message, Gone | TemplateRefused):
            self._environments.discard(message.environment_id)
        self._on_event(message)

    def _on_lost(self) -> None:
        self._stream = None
        self._lost.set()
        _log.error("worker lost", extra={"environments": len(self._environments)})
        for environment_id in list(self._environments):
            self._tell_gone(environment_id)

    def _tell_gone(self, environment_id: str) -> None:
        if environment_id in self._environments:
            self._environments.discard(environment_id)
            self._on_event(Gone(environment_id, "the worker was lost", took=TOOK_UNKNOWN))

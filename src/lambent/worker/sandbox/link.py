"""The server's end of the launcher: starts it, asks it, hears from it, notices its death.

Nothing here blocks the event loop but the start of the process itself, once. See `launcher.py` for the other end.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambent.worker.sandbox.driver import Exit, SandboxError

_PACKET = 1 << 18
_LARGEST = 160 << 10  # a packet has to fit into a socket's buffer, of which the kernel counts more than the data
_DESCRIPTORS = 8
_ANSWER_WITHIN_S = 60.0
_END_WITHIN_S = 15.0
_PACKAGES = Path(__file__).resolve().parents[3]
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from lambent.worker.sandbox.launcher import main; main()"

Reply = tuple[dict[str, Any], list[int]]


class Link:
    """One launcher process and the conversation with it. Used from one event loop."""

    def __init__(self) -> None:
        """Raises OSError when it can not be started."""
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = (sys.executable, "-I", "-S", "-c", _BOOT, str(_PACKAGES), str(theirs.fileno()))
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    env={},
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        self._unsent: deque[bytes] = deque()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._exits: dict[str, Callable[[Exit], None]] = {}
        self._snapshots: dict[str, Callable[[int], None]] = {}
        self._number = 0
        self.alive = True
        self._loop.add_reader(self._socket.fileno(), self._receive)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, what: str, **fields: Any) -> Reply:
        """Send a request and wait for its answer. The descriptors in it belong to the caller. Raises SandboxError."""
        if not self.alive:
            raise SandboxError("the sandbox launcher has ended")
        self._number += 1
        number = self._number
        future: asyncio.Future[Reply] = self._loop.create_future()
        data = json.dumps({"n": number, "do": what, **fields}).encode()
        if len(data) > _LARGEST:
            raise SandboxError(f"the request {what} is too large: {len(data)} bytes")
        self._waiting[number] = future
        self._send(data)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                reply, descriptors = await future
        except TimeoutError as error:
            raise SandboxError(f"the sandbox launcher did not answer ({what})") from error
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                for descriptor in future.result()[1]:
                    os.close(descriptor)  # it was answered in the moment in which it was given up
            raise
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise SandboxError(reply["error"])
        return reply, descriptors

    def post(self, what: str, **fields: Any) -> None:
        """Send a request whose answer nobody waits for. It has a number all the same: 0 is none to the launcher."""
        if self.alive:
            self._number += 1
            self._send(json.dumps({"n": self._number, "do": what, **fields}).encode())

    def watch(self, sandbox_id: str, on_exit: Callable[[Exit], None]) -> None:
        """Have `on_exit` called once, at the exit of what runs in the sandbox or at the end of the launcher."""
        self._exits[sandbox_id] = on_exit

    def unwatch(self, sandbox_id: str) -> None:
        self._exits.pop(sandbox_id, None)
        self._snapshots.pop(sandbox_id, None)

    def watch_snapshot(self, sandbox_id: str, on_snapshot: Callable[[int], None]) -> None:
        """Have `on_snapshot` called when the template in the sandbox can be restored, with the bytes that it takes.
        Forgotten with `unwatch` and at its exit."""
        self._snapshots[sandbox_id] = on_snapshot

    def _send(self, data: bytes) -> None:
        self._unsent.append(data)
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._unsent:
            try:
                self._socket.send(self._unsent[0])
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                break  # its end is about to be read, and told there
            self._unsent.popleft()
        self._unsent.clear()
        self._loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._socket, _PACKET, _DESCRIPTORS)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors, flags = b"", [], 0
            if not data:
                self._lose()
                return
            message = json.loads(data)
            if flags & socket.MSG_CTRUNC:
                # The kernel hands on as many as we have room for, and drops the others.
                for descriptor in descriptors:
                    os.close(descriptor)
                message = {"n": message.get("n", 0), "error": "the server has no room for its descriptors"}
                descriptors = []
            self._hear(message, descriptors)

    def _hear(self, message: dict[str, Any], descriptors: list[int]) -> None:
        future = self._waiting.get(message.get("n", 0))
        if future is not None and not future.done():
            future.set_result((message, descriptors))
            return
        for descriptor in descriptors:
            os.close(descriptor)
        on_snapshot = self._snapshots.pop(message.get("snapshot", ""), None)
        if on_snapshot is not None:
            self._loop.call_soon(on_snapshot, message["memory_bytes"])
        self._snapshots.pop(message.get("exit", ""), None)
        # An exit, perhaps that of a program whose start nobody waits for any more.
        on_exit = self._exits.pop(message.get("exit", ""), None)
        if on_exit is not None:
            fields = {name: message[name] for name in ("code", "signal", "launch_error", "fault") if name in message}
            # Not before whoever waited for the start has been told of it.
            self._loop.call_soon(on_exit, Exit(**fields))

    def _lose(self) -> None:
        """The launcher is gone, and with it every process it started."""
        self.alive = False
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SandboxError("the sandbox launcher has ended"))
        exits, self._exits = self._exits, {}
        for on_exit in exits.values():
            self._loop.call_soon(on_exit, Exit(signal=9))

    async def close(self) -> None:
        """Let the launcher take everything away and end."""
        if self.alive:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        try:
            await asyncio.to_thread(self._process.wait, _END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if self.alive:
            self._lose()

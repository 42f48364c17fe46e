"""The launcher: a small, single-threaded process that starts, watches and ends sandboxes for the server.

The server has threads and much memory and must not fork, and an ordinary user's process can enter a sandbox's
namespaces only when it has one thread. So this process does it. It reads requests from a Unix socket, one JSON object
a packet, and answers with the same number; descriptors come along by SCM_RIGHTS. It tells exits on its own account.

It holds no state that must outlive it. When the server goes, however it went, the socket ends: every sandbox is
killed and taken away, then the launcher ends. When the launcher itself is killed, the kernel kills the sandboxes
(PDEATHSIG) and drops the mount namespace with all mounts; the driver's next open() removes the cgroups.

Started as `python -I -S -c ... FD` (see `link.py`); it imports next to nothing, so that it is up in 30 ms and forks
fast.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Protocol

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.confinement import Confinement
from lambent.worker.sandbox.loop_device import ImageError
from lambent.worker.sandbox.plain import Plain
from lambent.worker.sandbox.run import Cell, Run

PACKET = 1 << 18
_TURN_WITHIN_S = 30.0


class Way(Protocol):
    """A way of running programs: `Confinement` or `Plain`. All but `close` may raise OSError or ImageError."""

    def open(self) -> dict[str, Any]: ...
    def create(self, request: dict[str, Any]) -> tuple[Cell, dict[str, Any]]: ...
    def spawn(self, cell: Cell, request: dict[str, Any]) -> Run: ...
    def ready(self, cell: Cell, run: Run) -> list[int]: ...
    def kill(self, cell: Cell, run: Run) -> None: ...
    def destroy(self, cell: Cell) -> None: ...
    def close(self) -> None: ...


class Launcher:
    """The loop, and the state of every sandbox. The only owner of `Cell` and `Run`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._way: Way = Plain({})
        self._cells: dict[str, Cell] = {}
        self._by_descriptor: dict[int, Cell] = {}
        self._by_monitor: dict[int, Cell] = {}
        self._poll = select.epoll()
        self._wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._poll.register(self._wake_read, select.EPOLLIN)
        self._leaving = False
        self._turn = -1
        """The lock of the directory, kept to the end of this process."""

    def serve(self) -> None:
        while not (self._leaving and not self._cells):
            for descriptor, _ in self._poll.poll():
                if descriptor == self._connection.fileno():
                    self._receive()
                elif descriptor == self._wake_read:
                    self._reap()
                elif descriptor in self._by_descriptor:
                    self._progress(self._by_descriptor[descriptor], descriptor)
        self._way.close()

    def _send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        data = json.dumps(message).encode()
        try:
            if descriptors:
                socket.send_fds(self._connection, [data], descriptors)
            else:
                self._connection.send(data)
        except OSError:
            return  # the server is gone: its end of the socket says so in a moment, and that is acted on

    def _receive(self) -> None:
        try:
            data = self._connection.recv(PACKET)
        except OSError:
            data = b""
        if not data:
            self._leave()
            return
        request = json.loads(data)
        try:
            self._obey(request)
        except (OSError, ImageError, ValueError) as error:
            # A ValueError is a word that can not be handed to a program: it must not end everybody's launcher.
            self._send({"n": request["n"], "error": str(error)})

    def _obey(self, request: dict[str, Any]) -> None:
        if request["do"] not in ("open", "create") and request["id"] not in self._cells:
            self._send({"n": request["n"], "error": f"there is no sandbox {request['id']}"})
            return
        match request["do"]:
            case "open":
                self._turn = _take_turn(request["directory"])
                self._way = Plain(request) if request["way"] == "process" else Confinement(request)
                self._send({"n": request["n"], **self._way.open()})
            case "create":
                cell, reply = self._way.create(request)
                self._cells[cell.name] = cell
                self._send({"n": request["n"], **reply})
            case "start":
                self._start(self._cells[request["id"]], request)
            case "kill":
                self._kill(self._cells[request["id"]])
                self._send({"n": request["n"]})
            case "destroy":
                cell = self._cells[request["id"]]
                cell.destroy_number = request["n"]
                self._destroy(cell)

    def _start(self, cell: Cell, request: dict[str, Any]) -> None:
        run = self._way.spawn(cell, request)
        cell.run, cell.start_number = run, request["n"]
        self._by_monitor[run.monitor] = cell
        self._watch(run.status, cell)

    def _watch(self, descriptor: int, cell: Cell) -> None:
        self._by_descriptor[descriptor] = cell
        self._poll.register(descriptor, select.EPOLLIN)

    def _forget(self, descriptor: int) -> None:
        if self._by_descriptor.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _progress(self, cell: Cell, descriptor: int) -> None:
        run = cell.run
        assert run is not None
        if descriptor == run.inner_descriptor:
            self._forget(descriptor)
            run.inner_ended = True
        else:
            data = os.read(run.status, PACKET)
            run.told += data
            if not data:
                self._forget(run.status)
                run.status_closed = True
            if not run.handed_over and not run.failure:
                self._try_to_hand_over(cell, run)
        self._conclude(cell, run)

    def _try_to_hand_over(self, cell: Cell, run: Run) -> None:
        """Answer the start as soon as the program's process is known."""
        inner = run.find_inner()
        if not inner:
            return
        try:
            run.inner = inner
            if inner != run.monitor:
                run.inner_descriptor = os.pidfd_open(inner)
                self._watch(run.inner_descriptor, cell)
            listeners = self._way.ready(cell, run)
        except OSError as error:
            # It can have died meanwhile, or been killed; either way its end is coming, or is brought about here.
            run.failure = str(error)
            self._kill(cell)
            return
        run.handed_over = True
        self._send({"n": cell.start_number, "pid": inner}, [*listeners, run.output])
        cell.start_number = 0
        for listener in listeners:
            os.close(listener)
        os.close(run.output)
        run.output = -1

    def _kill(self, cell: Cell) -> None:
        if cell.run is not None:
            cell.run.killed = True
            self._way.kill(cell, cell.run)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, PACKET)
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not child:
                return
            cell = self._by_monitor.pop(child, None)
            if cell is not None and cell.run is not None:
                cell.run.ended = status
                self._conclude(cell, cell.run)

    def _conclude(self, cell: Cell, run: Run) -> None:
        """Tell the end of a run, once our child, the program's process and what they could tell us have ended."""
        if run.ended is None or not run.status_closed or (run.inner_descriptor >= 0 and not run.inner_ended):
            return
        if cell.group is not None:
            cell.group.thaw()
        if run.handed_over:
            self._send({"exit": cell.name, **run.outcome()})
        else:
            self._send({"n": cell.start_number, "exit": cell.name, "error": run.explain()})
        cell.run, cell.start_number = None, 0
        if run.inner_descriptor >= 0:
            self._forget(run.inner_descriptor)
        run.close()
        if cell.destroy_number or self._leaving:
            self._destroy(cell)

    def _destroy(self, cell: Cell) -> None:
        if cell.run is not None:
            self._kill(cell)
            return
        del self._cells[cell.name]
        try:
            self._way.destroy(cell)
        except OSError as error:
            # One that can not be taken away must not end the others; its user id stays taken.
            self._send({"n": cell.destroy_number, "error": f"sandbox {cell.name} could not be taken away: {error}"})
        else:
            self._send({"n": cell.destroy_number})

    def _leave(self) -> None:
        self._leaving = True
        self._poll.unregister(self._connection.fileno())
        for cell in list(self._cells.values()):
            self._destroy(cell)


def _take_turn(directory: str) -> int:
    """Wait until the launcher of a server that was killed has taken its sandboxes away: it would take ours along with
    the groups that we share by name. Raises OSError."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + _TURN_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(lock)
                raise TimeoutError("the sandboxes of the last server here are still being taken away") from error
            time.sleep(0.005)
        else:
            return lock


def main() -> None:
    """Serve the socket whose descriptor is the last argument until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server decides when it is over
    os.umask(0o022)
    kernel.adopt_orphans()
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.set_inheritable(False)  # above all not into a sandbox: it commands this process
    Launcher(connection).serve()

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
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.confinement import Confinement
from lambent.worker.sandbox.containers import Containers
from lambent.worker.sandbox.loop import Loop
from lambent.worker.sandbox.loop_device import ImageError
from lambent.worker.sandbox.plain import Plain
from lambent.worker.sandbox.reserve import Reserve
from lambent.worker.sandbox.run import TOLD_AT_MOST, Cell, Run

PACKET = 1 << 18
_TURN_WITHIN_S = 30.0


class Way(Protocol):
    """A way of running programs: `Confinement`, `Containers` or `Plain`. All but `close` may raise OSError or
    ImageError."""

    def open(self) -> dict[str, Any]: ...

    def create(self, request: dict[str, Any], origin: Cell | None) -> Cell:
        """Make what lives as long as the sandbox, and leave nothing if that fails. `origin` is the template that it is
        restored from."""

    def furnish(self, cell: Cell, done: Callable[[str], None]) -> None:
        """Give it what may take long to make. `done` is called when it has that, which may be now; or it is told why it
        can not, and raises nothing."""

    def claim(self, cell: Cell, request: dict[str, Any]) -> None:
        """Make what was booted ahead into what is wanted now; the request is without what is the template's."""

    def describe(self, cell: Cell) -> dict[str, Any]:
        """What the server must know of the sandbox."""

    def spawn(self, cell: Cell, request: dict[str, Any], born: Callable[[Run], None]) -> Run:
        """Start a process for the sandbox. `born` is called when it is known, or is not to come."""

    def prepare(self, cell: Cell, run: Run) -> None:
        """It is ready: make its listeners."""

    def tell(self, cell: Cell, run: Run, request: dict[str, Any], on_snapshot: Callable[[int], None]) -> None:
        """Let it run its program. `on_snapshot` is called when that waits to be restored, with what it takes."""

    def own_memory_bytes(self, run: Run) -> int:
        """What all of its processes take, and share with none."""

    def kill(self, cell: Cell, run: Run) -> None: ...
    def exited(self, cell: Cell, run: Run) -> None:
        """The program has, and told how."""

    def bury(self, cell: Cell, run: Run) -> None:
        """All processes of the run are gone."""

    def destroy(self, cell: Cell) -> None: ...
    def close(self) -> None: ...


class Launcher:
    """What is done about the requests, and the state of every sandbox. The only owner of `Cell` and `Run`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = Loop()
        self._reserve = Reserve()
        self._way: Way = Plain({})
        self._cells: dict[str, Cell] = {}
        self._loop.watch(connection.fileno(), self._receive)
        self._leaving = False
        self._turn = -1
        """The lock of the directory, kept to the end of this process."""

    def serve(self) -> None:
        while not (self._leaving and not self._cells):
            self._loop.turn()
        with self._reserve:
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
        except Exception as error:  # noqa: BLE001 whoever asked is told, and the others go on
            self._send({"n": request["n"], "error": _told(error)})

    def _obey(self, request: dict[str, Any]) -> None:
        what = request["do"]
        cell = self._cells.get(request.get("id", ""))
        if cell is None and what not in ("open", "boot", "create", "claim"):
            self._send({"n": request["n"], "error": f"there is no sandbox {request['id']}"})
            return
        match what, cell:
            case "open", _:
                self._turn = _take_turn(request["directory"])
                self._way = self._choose_way(request)
                self._send({"n": request["n"], **self._way.open()})
            case "boot", _:
                self._boot(request)
            case "create", _:
                self._create(request)
            case "claim", _:
                self._claim(request)
            case "start", Cell() if cell.failure:
                self._send({"n": request["n"], "error": cell.failure})
            case "start", Cell():
                cell.start = request
                self._advance(cell)
            case "kill", Cell():
                self._kill(cell)
                self._send({"n": request["n"]})
            case "destroy", Cell():
                cell.destroy_number = request["n"]
                self._destroy(cell)

    def _choose_way(self, request: dict[str, Any]) -> Way:
        match request["way"]:
            case "process":
                return Plain(request)
            case "oci":
                return Containers(request, self._loop)
            case _:
                return Confinement(request, self._loop)

    def _make(self, request: dict[str, Any]) -> Cell:
        origin = self._cells.get(request["origin"])
        if request["origin"] and origin is None:
            raise OSError("the sandbox that it is to be restored from is gone")
        cell = self._cells[request["id"]] = self._way.create(request, origin)
        if origin is not None:
            origin.offspring.add(cell)
        return cell

    def _boot(self, request: dict[str, Any]) -> None:
        """Make a sandbox and its processes ahead of need; answered when they wait to be told what to run."""
        cell = self._make(request)
        cell.boot_number = request["n"]
        cell.is_for_anyone = True
        self._furnish(cell, request["n"], partial(self._spawn, cell))

    def _create(self, request: dict[str, Any]) -> None:
        cell = self._make(request)
        self._furnish(cell, request["n"], partial(self._hand_out, cell, request["n"]))

    def _claim(self, request: dict[str, Any]) -> None:
        """A sandbox that was booted ahead is one function's now. Not answered: the start comes next."""
        cell = self._cells.pop(request["booted"])
        cell.name = request["id"]
        cell.is_for_anyone = False
        self._cells[cell.name] = cell
        try:
            self._way.claim(cell, request)
        except Exception as error:  # noqa: BLE001 the start is told, and does not go on with what it was booted with
            cell.failure = _told(error)

    def _furnish(self, cell: Cell, number: int, then: Callable[[], None]) -> None:
        """Have it given what may take long, and go on then; the others do meanwhile."""

        def done(failure: str) -> None:
            try:
                if not failure:
                    then()
            except OSError as error:
                failure = str(error)
            if failure:
                self._destroy(cell)
                self._send({"n": number, "error": failure})

        self._way.furnish(cell, done)

    def _hand_out(self, cell: Cell, number: int) -> None:
        if cell.origin is not None:
            try:
                self._spawn(cell)  # it is born while the server comes to asking for its start
            except OSError as error:
                cell.failure = str(error)
        self._send({"n": number, **self._way.describe(cell)})

    def _advance(self, cell: Cell) -> None:
        """Take the next step towards the start that is asked for."""
        run = cell.run
        if run is None:
            try:
                self._spawn(cell)
            except OSError:
                cell.start = None
                raise
        elif run.prepared and not run.handed_over and cell.start is not None:
            try:
                self._way.tell(cell, run, cell.start, partial(self._tell_snapshot, cell))
            except Exception as error:  # noqa: BLE001 it is told
                # It can have died meanwhile, or been killed; either way its end is coming, or is brought about here.
                run.failure = _told(error)
                self._kill(cell)
                return
            run.handed_over = True
            self._send({"n": cell.start["n"], "pid": run.process}, [*run.listeners, run.output])
            cell.start = None
            for descriptor in (*run.listeners, run.output):
                os.close(descriptor)
            run.listeners, run.output = [], -1

    def _tell_snapshot(self, cell: Cell, memory_bytes: int) -> None:
        self._send({"snapshot": cell.name, "memory_bytes": memory_bytes})

    def _spawn(self, cell: Cell) -> None:
        run = self._way.spawn(cell, cell.start or {}, partial(self._born, cell))
        cell.run = run
        self._loop.watch(run.status, partial(self._read_status, cell, run))
        if run.process:
            self._born(cell, run)

    def _born(self, cell: Cell, run: Run) -> None:
        if not run.process:
            run.hang_up()  # a zygote that died can have borne one, of which it could not tell us any more
            self._end(cell, run, 0)
            return
        if run.handle >= 0:
            self._loop.watch(run.handle, partial(self._end, cell, run, signal.SIGKILL))
        else:
            self._loop.mourn(run.process, partial(self._end, cell, run))
        if run.killed:
            self._way.kill(cell, run)
        elif run.is_to_be_prepared:
            self._prepare(cell, run)

    def _end(self, cell: Cell, run: Run, status: int) -> None:
        run.ended = status
        if cell.origin is not None and not run.status_closed:
            # Its template has the pipe as well, and may be frozen or worse: what is there is all that was told.
            with contextlib.suppress(BlockingIOError):
                run.told += os.read(run.status, TOLD_AT_MOST)
            self._loop.forget(run.status)
            run.status_closed = True
        self._loop.forget(run.handle)
        self._conclude(cell, run)

    def _read_status(self, cell: Cell, run: Run) -> None:
        data = os.read(run.status, TOLD_AT_MOST)
        run.told += data
        if not data or len(run.told) > TOLD_AT_MOST:
            self._loop.forget(run.status)
            run.status_closed = True
        if data and run.status_closed:
            self._kill(cell)
            return
        if run.is_to_be_prepared:
            self._prepare(cell, run)
        if run.has_exited and not run.end_told:
            self._way.exited(cell, run)
        self._conclude(cell, run)

    def _prepare(self, cell: Cell, run: Run) -> None:
        try:
            self._way.prepare(cell, run)
            memory_bytes = self._way.own_memory_bytes(run) if cell.boot_number else 0
        except Exception as error:  # noqa: BLE001 it is told
            run.failure = _told(error)
            self._kill(cell)
            return
        run.prepared = True
        if cell.boot_number:
            self._send({"n": cell.boot_number, "memory_bytes": memory_bytes, **self._way.describe(cell)})
            cell.boot_number = 0
        self._advance(cell)

    def _kill(self, cell: Cell) -> None:
        if cell.run is not None:
            cell.run.killed = True
            with self._reserve:
                self._way.kill(cell, cell.run)

    def _conclude(self, cell: Cell, run: Run) -> None:
        """Tell the end of a run, once our child and what it could tell us have ended."""
        is_over = run.ended is not None and run.status_closed
        if not run.end_told and (is_over or (run.has_exited and cell.offspring)):
            run.end_told = True
            self._tell_end(cell, run)
        if not is_over:
            return
        with self._reserve:
            if cell.group is not None:
                cell.group.thaw()
            cell.run = None
            self._way.bury(cell, run)
        run.close()
        if cell.destroy_number or cell.is_destroyed or cell.boot_number or self._leaving:
            self._destroy(cell)

    def _tell_end(self, cell: Cell, run: Run) -> None:
        start, cell.start = cell.start, None
        if cell.boot_number:
            self._send({"n": cell.boot_number, "error": run.explain()})
        elif start is not None:
            self._send({"n": start["n"], "exit": cell.name, "error": run.explain()})
        elif run.handed_over or cell.is_for_anyone:
            self._send({"exit": cell.name, **run.outcome()})
        elif cell.origin is not None:
            cell.failure = run.explain()
        # Else the start that is about to be asked for has a new run, and would take this end for that one's.

    def _destroy(self, cell: Cell) -> None:
        if cell.run is not None and not cell.run.end_told:
            self._kill(cell)
            return
        if cell.offspring:
            # A template is taken away after all that were restored from it, which its first process waits for.
            cell.is_destroyed = True
            self._send({"n": cell.destroy_number})
            cell.destroy_number = 0
            return
        if cell.run is not None:
            return  # its first process is about to end
        del self._cells[cell.name]
        try:
            with self._reserve:
                self._way.destroy(cell)
        except OSError as error:
            # One that can not be taken away must not end the others; its user id stays taken.
            self._send({"n": cell.destroy_number, "error": f"sandbox {cell.name} could not be taken away: {error}"})
        else:
            self._send({"n": cell.destroy_number})
        if cell.origin is not None:
            cell.origin.offspring.discard(cell)
            if cell.origin.is_destroyed:
                self._destroy(cell.origin)

    def _leave(self) -> None:
        self._leaving = True
        self._loop.forget(self._connection.fileno())
        for cell in list(self._cells.values()):
            self._destroy(cell)


def _told(error: Exception) -> str:
    """What is told of why something could not be done. What the machine refuses, or can not be handed to a program (a
    ValueError), is foreseen; all else is a bug of ours, to be found in the server's log."""
    if isinstance(error, (OSError, ImageError, ValueError)):
        return str(error)
    traceback.print_exception(error)
    return f"a fault of the sandbox launcher: {type(error).__name__}: {error}"


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

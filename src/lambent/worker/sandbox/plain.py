"""The launcher's way of running programs without isolation: a directory, two listeners, a process group.

The mounts and links of a sandbox become symbolic links below its directory, and their paths are replaced in the
command, the directory and the variables, so that a program finds what it is told of.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable
from typing import Any

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.freezing import descendants, kill_all
from lambent.worker.sandbox.run import Cell, Run, check_words, new_run
from lambent.worker.sandbox.zygote import CANNOT_START

_BACKLOG = 64
_ROOT = "_LAMBENT_ROOT"
_IGNORED_HERE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class Plain:
    """Owns a directory per sandbox below `directory`, and its listeners' ports."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._directory: str = configuration.get("directory", "")
        self._listeners: dict[str, list[socket.socket]] = {}

    def open(self) -> dict[str, Any]:
        removed = 0
        for name in os.listdir(self._directory):
            if name.startswith("process-"):
                shutil.rmtree(os.path.join(self._directory, name))
                removed += 1
        return {"missing": [], "removed": removed}

    def create(self, request: dict[str, Any], origin: Cell | None) -> Cell:
        if origin is not None:
            raise OSError("without isolation nothing is restored from a snapshot")
        cell = Cell(request["id"], request, uid=os.geteuid())
        mounts, links = self._mounts_and_links(cell)
        for source, _ in mounts:
            os.stat(source)  # a link to nothing could be made, and the function would be held to have no code
        home = self._home(cell)
        cell.scratch = os.path.join(home, "tmp")
        os.makedirs(cell.scratch, 0o700)
        for target, path in [*((t, s) for s, t in mounts), *links]:
            place = home + os.path.normpath(target)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(self._translate(cell, path), place)
        self._listeners[cell.name] = [_listen(), _listen()]
        return cell

    def furnish(self, cell: Cell, done: Callable[[str], None]) -> None:
        del cell  # it has everything
        done("")

    def claim(self, cell: Cell, request: dict[str, Any]) -> None:
        raise OSError("without isolation nothing is booted ahead")

    def describe(self, cell: Cell) -> dict[str, Any]:
        ports = [listener.getsockname()[1] for listener in self._listeners[cell.name]]
        return {
            "uid": cell.uid,
            "restored": False,
            "freeze_file": "",
            "freeze_version": 0,
            "peak_file": "",
            "ports": ports,
        }

    @staticmethod
    def _mounts_and_links(cell: Cell) -> tuple[list[list[str]], list[list[str]]]:
        template = cell.request["template"]
        return [*template["mounts"], *cell.request["mounts"]], template["links"]

    def _home(self, cell: Cell) -> str:
        return os.path.join(self._directory, f"process-{cell.name}")

    def _translate(self, cell: Cell, text: str) -> str:
        """Replace every path of the sandbox, the longest first, where it begins a path of a list of paths."""
        mounts, links = self._mounts_and_links(cell)
        sources = {target: source for source, target in mounts}
        sources |= {path: self._home(cell) + path for path, _ in links}
        sources["/tmp"] = cell.scratch
        words = text.split(":")
        for place, word in enumerate(words):
            for target in sorted(sources, key=len, reverse=True):
                if word == target or word.startswith(target.rstrip("/") + "/"):
                    words[place] = sources[target] + word[len(target) :]
                    break
        return ":".join(words)

    def spawn(self, cell: Cell, request: dict[str, Any], born: Callable[[Run], None]) -> Run:
        del born  # it is known at once
        if request["snapshot"]:
            raise OSError("without isolation a program can not be a template")
        check_words(request["command"], request["variables"])
        variables = {name: self._translate(cell, value) for name, value in request["variables"].items()}
        variables["TMPDIR"] = cell.scratch
        # Below it are the paths of the sandbox that a program knows by itself. Its processes are known by it, too.
        variables[_ROOT] = self._home(cell)
        command = [self._translate(cell, word) for word in request["command"]]
        directory = self._translate(cell, request["directory"])
        if not os.path.isdir(directory):
            directory = cell.scratch
        parent = os.getpid()
        run, (status, output) = new_run(controlled=False)
        try:
            run.process = os.fork()
            if run.process == 0:
                try:
                    _become(command, variables, directory, output, status, cell.request["file_descriptors"], parent)
                finally:
                    os._exit(CANNOT_START)
        except OSError:
            run.close()
            raise
        finally:
            os.close(status)
            os.close(output)
        return run

    def prepare(self, cell: Cell, run: Run) -> None:
        run.listeners = [os.dup(listener.fileno()) for listener in self._listeners[cell.name]]

    def tell(self, cell: Cell, run: Run, request: dict[str, Any], on_snapshot: Callable[[int], None]) -> None:
        """It was told when it was started."""

    def own_memory_bytes(self, run: Run) -> int:
        raise OSError("without isolation nothing is booted ahead")

    def kill(self, cell: Cell, run: Run) -> None:
        del cell
        if run.ended is not None:
            return
        # The process too: it may not have come to make its group yet.
        kill_all(lambda: [run.process, *descendants(run.process)])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process, signal.SIGKILL)

    def exited(self, cell: Cell, run: Run) -> None:
        """It is our child, and its end is all that there is to tell."""

    def bury(self, cell: Cell, run: Run) -> None:
        """What left the process group is our child by now, as that of whoever has ended."""
        mark = os.fsencode(f"{_ROOT}={self._home(cell)}")
        kill_all(lambda: [one for one in descendants(os.getpid()) if mark in _variables(one)])

    def destroy(self, cell: Cell) -> None:
        for listener in self._listeners.pop(cell.name, ()):
            listener.close()
        shutil.rmtree(self._home(cell))

    def close(self) -> None:
        """No program runs any more: what is left below us is what changed its variables."""
        kill_all(lambda: descendants(os.getpid()))


def _variables(process: int) -> list[bytes]:
    """Those that a process was started with. Of one that has ended there are none."""
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            return file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _become(
    command: list[str],
    variables: dict[str, str],
    directory: str,
    output: int,
    status: int,
    descriptors: int,
    parent: int,
) -> None:
    """In the fresh child: returns only when the program can not be executed, which is told then."""
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.setsid()
        os.chdir(directory)
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            return
        for number in _IGNORED_HERE:
            signal.signal(number, signal.SIG_DFL)
        # Not ours, which may be more than some programs can count (select).
        most = min(descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        kernel.preempt_nobody()
        os.write(status, b"ready\n")
        os.execve(command[0], command, variables)
    except (OSError, ValueError) as error:
        os.write(status, f"launch {command[0]} could not be started: {error}\n".encode())


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener

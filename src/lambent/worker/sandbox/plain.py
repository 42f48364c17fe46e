"""The launcher's way of running programs without isolation: a directory, two listeners, a process group.

The mounts and links of a sandbox become symbolic links below its directory, and their paths are replaced in the
command, the directory and the variables, so that a program finds what it is told of.
"""

import contextlib
import os
import shutil
import signal
import socket
from typing import Any

from lambent.worker.sandbox.run import Cell, Run, pipe_end, start_child

_BACKLOG = 64


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

    def create(self, request: dict[str, Any]) -> tuple[Cell, dict[str, Any]]:
        cell = Cell(request["id"], request)
        home = self._home(cell)
        cell.scratch = os.path.join(home, "tmp")
        os.makedirs(cell.scratch, 0o700)
        for target, path in [*((t, s) for s, t in request["mounts"]), *request["links"]]:
            place = home + os.path.normpath(target)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(self._translate(cell, path), place)
        self._listeners[cell.name] = [_listen(), _listen()]
        ports = [listener.getsockname()[1] for listener in self._listeners[cell.name]]
        return cell, {"freeze_file": "", "freeze_version": 0, "peak_file": "", "uid": os.geteuid(), "ports": ports}

    def _home(self, cell: Cell) -> str:
        return os.path.join(self._directory, f"process-{cell.name}")

    def _translate(self, cell: Cell, text: str) -> str:
        """Replace every path of the sandbox, the longest first, where it begins a path of a list of paths."""
        sources = {target: source for source, target in cell.request["mounts"]}
        sources |= {path: self._home(cell) + path for path, _ in cell.request["links"]}
        sources["/tmp"] = cell.scratch
        words = text.split(":")
        for place, word in enumerate(words):
            for target in sorted(sources, key=len, reverse=True):
                if word == target or word.startswith(target.rstrip("/") + "/"):
                    words[place] = sources[target] + word[len(target) :]
                    break
        return ":".join(words)

    def spawn(self, cell: Cell, request: dict[str, Any]) -> Run:
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        output_read, output_write = os.pipe2(os.O_CLOEXEC)
        variables = {name: self._translate(cell, value) for name, value in request["variables"].items()}
        variables["TMPDIR"] = cell.scratch
        # Below it are the paths of the sandbox that a program knows by itself.
        variables["LAMBENT_ROOT"] = self._home(cell)
        command = [self._translate(cell, word) for word in request["command"]]
        directory = self._translate(cell, request["directory"])

        def prepare() -> None:
            os.setsid()
            os.chdir(directory if os.path.isdir(directory) else cell.scratch)

        monitor = start_child(command, variables, (), output_write, prepare, status_write)
        os.close(status_write)
        os.close(output_write)
        return Run(monitor, pipe_end(status_read), output_read, own_child=True)

    def ready(self, cell: Cell, run: Run) -> list[int]:
        return [os.dup(listener.fileno()) for listener in self._listeners[cell.name]]

    def kill(self, cell: Cell, run: Run) -> None:
        del cell
        if run.ended is not None:
            return
        # The process too: it may not have come to make its group yet.
        os.kill(run.monitor, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.monitor, signal.SIGKILL)

    def destroy(self, cell: Cell) -> None:
        for listener in self._listeners.pop(cell.name, ()):
            listener.close()
        shutil.rmtree(self._home(cell))

    def close(self) -> None:
        """Nothing is shared between the sandboxes."""


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener

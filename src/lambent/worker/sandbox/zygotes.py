"""The launcher's side of its zygotes: one for each template, started when it is first needed. See `zygote.py`."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lambent.worker.sandbox import kernel, zygote
from lambent.worker.sandbox.loop import Loop

_PACKAGES = str(Path(__file__).resolve().parents[3])
_BOOT = (
    "import os, sys; sys.path.insert(0, os.environ['PACKAGES']); from lambent.worker.sandbox.zygote import main; main()"
)

Told = Callable[[int, str], None]
"""Is told the process that was born, or 0 and why there is none."""


@dataclass(slots=True, eq=False)
class _Zygote:
    process: int
    connection: socket.socket
    entered: bool = False
    unsent: list[tuple[bytes, list[int]]] = field(default_factory=list)
    """Requests from before it has entered its root, with descriptors of their own."""
    waiting: dict[int, Told] = field(default_factory=dict)


class Zygotes:
    """`common` is the first message to each zygote; `build` makes a template's root, in the mount namespace of the
    process that calls it, and returns its path; `ids` are the ranges (first, count) of the users (`uid`) and groups
    (`gid`) of each zygote and its children; `nursery` is the control group that all are in, empty for none."""

    def __init__(
        self,
        loop: Loop,
        common: dict[str, Any],
        build: Callable[[dict[str, Any]], str],
        ids: Mapping[str, tuple[int, int]],
        nursery: str,
    ) -> None:
        self._loop = loop
        self._common = json.dumps(common).encode()
        self._build = build
        self._ids = ids
        self._nursery = nursery
        self._zygotes: dict[str, _Zygote] = {}
        self._number = 0

    def ask(self, template: dict[str, Any], request: dict[str, Any], descriptors: Sequence[int], told: Told) -> None:
        """Have a child born. The descriptors stay the caller's. Raises OSError."""
        key = json.dumps(template, sort_keys=True)
        one = self._zygotes.get(key)
        if one is None:
            one = self._start(key, template)
        self._number += 1
        data = json.dumps({"n": self._number, **request}).encode()
        if not one.entered:
            one.unsent.append((data, _copies(descriptors)))
        one.waiting[self._number] = told
        self._loop.expect(1)
        if one.entered:
            self._send(one, data, descriptors)

    def close(self) -> None:
        for one in self._zygotes.values():
            os.kill(one.process, signal.SIGKILL)

    def _send(self, one: _Zygote, data: bytes, descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(one.connection, [data], descriptors)
        except OSError:
            return  # it has ended: that is about to be read, and told there

    def _start(self, key: str, template: dict[str, Any]) -> _Zygote:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = os.fork()
            if process == 0:
                self._become(template, theirs)
        one = self._zygotes[key] = _Zygote(process, ours)
        self._loop.watch(ours.fileno(), partial(self._hear, key, one))
        return one

    def _become(self, template: dict[str, Any], control: socket.socket) -> None:
        """In the fresh child: never returns."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            if self._nursery:
                with open(f"{self._nursery}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write("0")
            kernel.unshare(kernel.CLONE_NEWNS)
            root = self._build(template)
            control.set_inheritable(True)
            if template["command"]:
                zygote.enter(root, control)
                os.execve(template["command"][0], [*template["command"], str(control.fileno())], template["variables"])
            variables = {
                "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}",
                "PACKAGES": _PACKAGES,
                "ROOT": root,
                "CONTROL": str(control.fileno()),
            }
            with kernel.lent_capabilities():
                os.execve(sys.executable, ["zygote", "-S", "-s", "-P", "-c", _BOOT], variables)
        except OSError as error:
            control.send(json.dumps({"error": str(error)}).encode())
        finally:
            os._exit(zygote.CANNOT_START)

    def _hear(self, key: str, one: _Zygote) -> None:
        try:
            data = one.connection.recv(zygote.PACKET)
        except OSError:
            data = b""
        message: dict[str, Any] = (
            json.loads(data) if data else {"error": "the process that sandboxes are forked from has ended"}
        )
        if "map" in message:
            try:
                self._let_in(one, message["map"])
            except OSError as error:  # it may have ended meanwhile
                self._lose(key, one, f"its users could not be mapped: {error}")
        elif "n" in message:
            one.waiting.pop(message["n"])(message.get("pid", 0), message.get("error", ""))
            self._loop.expect(-1)
        else:
            self._lose(key, one, message["error"])

    def _let_in(self, one: _Zygote, process: int) -> None:
        for kind, (first, count) in self._ids.items():
            with open(f"/proc/{process}/{kind}_map", "w", encoding="ascii") as file:
                file.write(f"0 {first} {count}")
        one.entered = True
        self._send(one, b"{}")
        self._send(one, self._common)
        for data, descriptors in one.unsent:
            self._send(one, data, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        one.unsent.clear()

    def _lose(self, key: str, one: _Zygote, reason: str) -> None:
        """It is gone, or about to go: another one is started when it is needed."""
        del self._zygotes[key]
        self._loop.forget(one.connection.fileno())
        one.connection.close()
        for _, descriptors in one.unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._loop.expect(-len(one.waiting))
        for told in one.waiting.values():
            told(0, reason)


def _copies(descriptors: Sequence[int]) -> list[int]:
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))  # noqa: PERF401 what was copied is closed where one can not be
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return copies

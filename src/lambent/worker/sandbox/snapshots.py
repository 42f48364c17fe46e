"""The launcher's side of templates: programs that have initialised and are forked for each environment to be restored.

See `restoring.py` for the other side, of which nothing is believed. A template can not make a namespace by itself: its
filter asks here about the one call by which it could, and it is answered once for each order to fork that is still
wanted, and to the template's own thread alone. What comes of it is looked at from outside before anything is given to
it: it must be alone in namespaces of its own and have no right over them any more.
"""

import json
import math
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from lambent.worker.sandbox import kernel, zygote
from lambent.worker.sandbox.freezing import descendants, kill_all
from lambent.worker.sandbox.loop import Loop
from lambent.worker.sandbox.run import Cell, Run

_ENOSYS = 38
_DESCRIPTORS = 1
BORN_WITHIN_S = 5.0
"""How long a template may take to bear what is ordered, before it is ended when that is given up."""
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_OF_ITS_OWN = ("user", "mnt", "pid", "net", "ipc", "uts")


def namespaces_of(process: int) -> dict[str, int]:
    """Those that what is restored has of its own, by their kinds. Raises OSError."""
    return {kind: os.stat(f"/proc/{process}/ns/{kind}").st_ino for kind in _OF_ITS_OWN}


class Untrustworthy(OSError):
    """What was forked from a template is not what was ordered."""


class Snapshot:
    """A program that was started as a template, and the orders to it. `on_ready` is called when it can be forked."""

    def __init__(self, loop: Loop, cell: Cell, run: Run, on_ready: Callable[[], None]) -> None:
        assert run.control is not None
        self._loop = loop
        self._first = run.process
        self._thread = descendants(run.process)[0]
        """The one that is asked to fork: it had been born and nothing of the customer's had been near."""
        self.namespaces = namespaces_of(run.process)
        self._control = run.control
        self._on_ready = on_ready
        self._listener = -1
        self._ready = False
        self._over = False
        self._orders: dict[Run, tuple[Callable[[int], None], float]] = {}
        """Those that are not born yet, in their order: who is told, and the time of the order."""
        self._unanswered: deque[Run] = deque()
        """The orders that the template has not answered yet, which it does in their turn."""
        self._has_cloned = False
        """Whether it was allowed to for the first of these."""
        self._restored: dict[int, Run] = {}
        """By their first processes."""
        self._freezer = cell.freezer(self._restored)
        run.control = None
        self._control.setblocking(False)  # who does not read what it is ordered must not hold the others up
        loop.watch(self._control.fileno(), self._hear)

    @property
    def is_usable(self) -> bool:
        """Whether it can be forked."""
        return self._ready and not self._over

    @property
    def has_restored(self) -> bool:
        """Whether processes live that would die with its first one."""
        return bool(self._restored)

    def freeze(self) -> None:
        self._freezer.freeze(self._first)

    def fork(self, run: Run, order: dict[str, Any], given: Iterable[int], born: Callable[[int], None]) -> None:
        """Have a child forked, with the descriptors, which stay the caller's. `born` is told the process,
        of which the run has a handle then; or 0 when it is not to come, and the run's `failure` tells why. Raises
        OSError."""
        if not self.is_usable:
            raise OSError("the template that it is to be restored from has ended, or has not initialised yet")
        assert run.control is not None
        self._freezer.thaw(self._first)
        self._orders[run] = born, time.monotonic()
        self._unanswered.append(run)
        run.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._loop.watch(run.control.fileno(), partial(self._hear_child, run, run.control))
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], list(given))
        except OSError as error:
            del self._orders[run]
            self._forget_child(run)
            self.end()
            raise OSError(f"the template that it is to be restored from does not take the order: {error}") from error

    def give_up(self, run: Run) -> None:
        """Nobody waits for what was ordered: if it is born yet it finds itself alone, and ends. A template that has had
        the time ends as well: it would never be frozen again."""
        _, ordered_s = self._orders.get(run, (None, math.inf))
        is_late = time.monotonic() - ordered_s > BORN_WITHIN_S
        self._fail(run, "it was given up before it was born")
        if is_late:
            self.end()

    def let_go(self, process: int) -> None:
        """A restored one has ended."""
        self._restored.pop(process, None)

    def end(self) -> None:
        """Kill all of the template but its first process, which those that were restored depend on."""
        self._stop()
        self._freezer.reset()
        kill_all(lambda: descendants(self._first, self._restored))

    def close(self) -> None:
        """The first process has ended, and so has everything. Not before that: where nobody listens, whoever is under
        the filter might put a listener of its own there."""
        self._stop()
        self._freezer.close()
        if self._listener >= 0:
            self._loop.forget(self._listener)
            os.close(self._listener)
            self._listener = -1

    def _stop(self) -> None:
        if self._over:
            return
        self._over = True
        self._loop.forget(self._control.fileno())
        self._control.close()
        for run in list(self._orders):
            self._fail(run, "the template that it is to be restored from has ended")

    def _fail(self, run: Run, reason: str) -> None:
        order = self._orders.pop(run, None)
        if order is None:
            return
        run.failure = reason
        self._forget_child(run)
        born, _ = order
        born(0)

    def _hear(self) -> None:
        try:
            data, received, _, _ = socket.recv_fds(self._control, zygote.PACKET, _DESCRIPTORS)
        except BlockingIOError:
            return  # heard already, before a decision
        except OSError:
            data, received = b"", []
        for descriptor in received:
            # Else it went on to each zygote that is started from here on, and to all functions of that one, any of
            # which could let the template clone itself.
            os.set_inheritable(descriptor, False)
        if data == b"listener" and self._listener < 0 and received:
            self._listener = received.pop()
            self._loop.watch(self._listener, self._decide)
        elif data == b"snapshot" and not self._ready:
            self._ready = True
            self._on_ready()
        elif self._unanswered and (data == b"forked" or data.startswith(b"failed")):
            self._answered(data)
        else:
            self.end()  # it has ended, or does not speak as it should: then it would neither serve nor be frozen again
        for descriptor in received:
            os.close(descriptor)

    def _answered(self, data: bytes) -> None:
        run = self._unanswered.popleft()
        self._has_cloned = False
        if data != b"forked":
            self._fail(run, data.decode(errors="replace"))
        self._freeze_if_idle()

    def _freeze_if_idle(self) -> None:
        """Not before what it bears is known, which signals would stop along with it."""
        if not self._unanswered and not self._orders:
            self.freeze()

    def _decide(self) -> None:
        """Answer who asks whether it may clone itself."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        events = dict(poll.poll(0)).get(self._listener, 0)
        if not events & select.POLLIN:
            if events & select.POLLHUP:
                self._loop.forget(self._listener)  # nobody is left under the filter
            return
        while not self._over and _is_readable(self._control):
            self._hear()  # what it has answered to the order before it asked for this one
        try:
            number, thread = kernel.receive_call(self._listener)
            wanted = bool(self._unanswered) and self._unanswered[0] in self._orders and not self._has_cloned
            may = wanted and thread == self._thread
            kernel.answer_call(self._listener, number, 0 if may else _ENOSYS)
        except OSError:
            return  # it was killed meanwhile
        self._has_cloned |= may

    def _hear_child(self, run: Run, control: socket.socket) -> None:
        try:
            data, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(12))
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._fail(run, "the template ended, or does not do as it is told")
            return
        self._loop.forget(control.fileno())
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        process = next(
            (
                int.from_bytes(value[:4], "little", signed=True)
                for level, kind, value in ancillary
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
            ),
            0,
        )
        born, _ = self._orders.pop(run)
        try:
            run.handle = os.pidfd_open(process)
        except OSError as error:
            run.failure = str(error)
            process = 0
        else:
            self._restored[process] = run
        self._freeze_if_idle()
        born(process)

    def _forget_child(self, run: Run) -> None:
        if run.control is not None:
            self._loop.forget(run.control.fileno())


def examine(first: int, templates: Mapping[str, int], user: int, proc: int, groups: Iterable[str]) -> None:
    """Look at what was forked, of which `first` should be the first process; `templates` are its template's namespaces,
    `proc` a descriptor of its /proc; `groups` are the directories of the control groups that it was to join. Raises
    Untrustworthy, OSError."""
    children = descendants(first)
    if len(children) != 1:
        raise Untrustworthy("it is not one program in one process")
    for process in (first, *children):
        _examine_rights(process, user)
    for kind in _OF_ITS_OWN:
        theirs, its_programs = (os.stat(f"/proc/{process}/ns/{kind}").st_ino for process in (first, *children))
        if theirs == templates[kind] or theirs != its_programs:
            raise Untrustworthy(f"it is not in a {kind} namespace of its own")
    place = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    try:
        inside = [name for name in os.listdir(place) if name.isdigit()]
    finally:
        os.close(place)
    if len(inside) != 2 or "1" not in inside:
        raise Untrustworthy("it is not alone in its namespace")
    for group in groups:
        with open(f"{group}/cgroup.procs", encoding="ascii") as file:
            if set(map(int, file)) != {first, *children}:
                raise Untrustworthy("it is not in the control groups that it was to join")


def _examine_rights(process: int, user: int) -> None:
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    rights = [name for name in _CAPABILITIES if int(fields[name], 16)]
    if rights:
        raise Untrustworthy(f"it kept rights: {' '.join(rights)}")
    is_bound = fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and fields["Threads"].strip() == "1"
    if not is_bound or fields["Uid"].split() != [str(user)] * 4:
        raise Untrustworthy("it is not bound as a template is")


def _is_readable(one: socket.socket) -> bool:
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return bool(poll.poll(0))

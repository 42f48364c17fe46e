"""The keeper of a container: a process below the launcher that has an OCI runtime make one container, and ends with it.

```
launcher
  keeper                     has the runtime do `create`, `start` and `delete`; learns the end of the program
    holder                   pid 1 of the sandbox's namespaces, which are made with it. Stays until the end, since a
                             program that is pid 1 itself is immune to signals and has orphans to reap
    runtime                  for moments, with the rights of root in the sandbox's user namespace and no others
    program's process        pid 2: left behind by the runtime, and adopted
```

So no runtime has the rights of the machine's root, one design serves root and ordinary users, and the listeners exist
before the container does. Whoever is killed takes the rest along: the holder dies with the keeper, the keeper with the
launcher, and with the holder everything in the pid namespace.

The pipe `status` tells the launcher what `zygote.py` tells, and first `holder PID`.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from lambent.worker.sandbox import kernel
from lambent.worker.sandbox.zygote import CANNOT_START

_PACKET = 1 << 18
_NAMESPACES = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
_INERT = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_VERSION_2_BESIDE_1 = "/sys/fs/cgroup/unified"
_CONTAINER = "function"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be kept. `runtime` is the program and the options that it needs, `bundle` the directory of
    this container alone, `configure` makes what is to be shown to the container and returns its config.json,
    from the paths of its namespaces."""

    runtime: tuple[str, ...]
    bundle: str
    nothing: str
    """An empty directory."""
    configure: Callable[[Mapping[str, str]], dict[str, Any]]
    program: str
    users: str
    """The maps of the user namespace, as the kernel reads them; in the first line is whom the runtime runs as."""
    groups: str
    inside: bool
    """The runtime runs in the sandbox's user namespace; otherwise it is told to enter it, which not all can."""
    alone: bool
    """We may map no group without giving up the right to change supplementary ones: an ordinary user's case."""
    birth: int
    """The directory of a version 2 control group, or -1."""
    joins: tuple[str, ...]
    """Files by which processes are put into the control groups."""
    control: int
    status: int
    output: int


class _Failure(Exception):
    """The container can not be had."""


def keep(order: Order, launcher: int) -> NoReturn:
    """In a fresh child of the launcher, with SIGTERM blocked: that ends the container."""
    try:
        _close_others({order.control, order.status, order.output, order.birth})
        kernel.preempt_nobody()
        _Keeper(order).keep(launcher)
    finally:
        os._exit(CANNOT_START)


def _close_others(kept: set[int]) -> None:
    lowest = 3
    for descriptor in sorted(number for number in kept if number >= 0):
        os.closerange(lowest, descriptor)
        lowest = descriptor + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))


class _Keeper:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._control = socket.socket(fileno=order.control)
        self._holder = 0
        self._program = 0
        self._ended: int | None = None
        """The wait status of the program, once it has ended."""
        self._runtime = -1
        """The runtime's process, as long as there is one."""
        self._killed = False
        self._user_namespace = -1
        self._joins: list[int] = []

    def keep(self, launcher: int) -> None:
        kernel.adopt_orphans()
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != launcher:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._kill)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        try:
            go = self._bear_holder()
            try:
                self._tell(f"holder {self._holder}")
                place = f"/proc/{self._holder}/ns"
                namespaces = {"pid": f"{place}/pid", "network": f"{place}/net"}
                self._run(go, namespaces if self._order.inside else {"user": f"{place}/user", **namespaces})
            finally:
                os.close(go)
        except (OSError, _Failure) as error:
            self._tell(f"failed {error}")
            self._tell(f"exit {int(signal.SIGKILL)}")
        self._end()
        os._exit(0)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        if not self._holder:
            os._exit(CANNOT_START)
        self._killed = True
        os.kill(self._holder, signal.SIGKILL)
        self._control.shutdown(socket.SHUT_RD)  # nor does anybody wait for the word any more
        self._give_up_runtime()

    def _give_up_runtime(self) -> None:
        """One that starts a container waits for its process for ever, also when that has ended meanwhile."""
        if self._runtime >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._runtime, signal.SIGKILL)

    def _tell(self, line: str) -> None:
        os.write(self._order.status, line.replace("\n", " ").encode() + b"\n")

    def _run(self, go: int, namespaces: dict[str, str]) -> None:
        failure = ""
        try:
            self._create(namespaces)
        except _Failure as error:
            # A runtime that can not execute a program names it. That it can make containers was seen by a trial.
            failure = str(error)
            if self._order.program not in failure:
                raise
        self._tell("ready")
        if not self._control.recv(_PACKET):
            return  # nobody wants it
        os.write(go, b"1")
        if not failure:
            failure = self._ask("start", _CONTAINER)
        if self._killed:
            self._tell(f"exit {int(signal.SIGKILL)}")
            return
        if failure and self._ended is None:
            self._tell(f"launch {failure}")
            return
        # The pipe is the program's from here on, whose end is to be seen.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), self._order.output, inheritable=False)
        while self._ended is None:
            self._reap()
        self._tell(f"exit {self._ended}")

    def _reap(self) -> tuple[int, int]:
        """Wait for the end of any child."""
        ended, how = os.waitpid(-1, 0)
        if ended == self._program:
            self._ended = how
            self._give_up_runtime()
        elif ended == self._holder:
            self._holder = 0
        return ended, how

    def _bear_holder(self) -> int:
        """Returns the pipe on which the holder waits to be told that it is alone with a customer."""
        order = self._order
        self._joins = [os.open(join, os.O_WRONLY | os.O_CLOEXEC) for join in order.joins]
        kernel.unshare(kernel.CLONE_NEWNS)
        if os.path.isdir(_VERSION_2_BESIDE_1):
            # crun does not run where version 2 has controllers and version 1 is there too, even if it is told to make
            # no group.
            kernel.mount("tmpfs", _VERSION_2_BESIDE_1, "tmpfs", _INERT, "mode=0555")
        go_read, go_write = os.pipe()
        up_read, up_write = os.pipe()
        self._holder = kernel.fork_into(_NAMESPACES, order.birth)
        if not self._holder:
            try:
                os.close(go_write)
                os.close(up_read)
                _hold(order, go_read, up_write)
            except OSError as error:
                os.write(up_write, str(error).encode())
            finally:
                os._exit(CANNOT_START)
        os.close(go_read)
        os.close(up_write)
        if order.alone:
            _write(f"/proc/{self._holder}/setgroups", "deny")
        _write(f"/proc/{self._holder}/uid_map", order.users)
        _write(f"/proc/{self._holder}/gid_map", order.groups)
        self._user_namespace = os.open(f"/proc/{self._holder}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        os.write(go_write, b"1")
        said = os.read(up_read, _PACKET)
        os.close(up_read)
        if said != b"up":
            raise _Failure(said.decode() or "the first process has ended")
        return go_write

    def _create(self, namespaces: dict[str, str]) -> None:
        order = self._order
        with open(f"{order.bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(order.configure(namespaces), file)
        os.chmod(file.name, 0o644)
        pid_file = f"{order.bundle}/pid"
        failure = self._ask("create", "--bundle", order.bundle, "--pid-file", pid_file, _CONTAINER)
        if failure:
            raise _Failure(failure)
        with open(pid_file, encoding="ascii") as file:
            self._program = int(file.read())
        for join in self._joins:
            os.write(join, b"%d" % self._program)

    def _ask(self, *words: str) -> str:
        """Have the runtime do something. Returns why it did not, empty when it did."""
        order = self._order
        log = f"{order.bundle}/log"
        options = ("--root", f"{order.bundle}/state", "--log", log, "--log-format", "json")
        keeper = os.getpid()
        process = os.fork()
        if not process:
            try:
                self._become((*order.runtime, *options, *words), keeper)
            except OSError as error:
                _write(log, json.dumps({"msg": str(error)}))
            finally:
                os._exit(CANNOT_START)
        self._runtime = os.pidfd_open(process)
        if self._killed:
            self._give_up_runtime()
        # Before the program is known its end, too, has to wait until it can be told.
        ended, how = self._reap() if self._program else os.waitpid(process, 0)
        while ended != process:
            ended, how = self._reap()
        os.close(self._runtime)
        self._runtime = -1
        return "" if how == 0 else _last_message(log) or f"{words[0]} of the OCI runtime has ended with {how}"

    def _become(self, command: tuple[str, ...], keeper: int) -> None:
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        os.dup2(self._order.output, 1)
        os.dup2(self._order.output, 2)
        if self._order.inside:
            kernel.enter_namespace(self._user_namespace, kernel.CLONE_NEWUSER)
            _take_user(self._order)
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        with kernel.lent_capabilities():
            os.execve(command[0], command, {})

    def _end(self) -> None:
        """End what is left, and with it the container."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._holder:
            os.kill(self._holder, signal.SIGKILL)
            # The kernel lets it end only when all others of its namespace are reaped.
            while self._holder:
                self._reap()
        if self._program:
            self._ask("delete", "--force", _CONTAINER)
        shutil.rmtree(self._order.bundle)


def _hold(order: Order, go: int, up: int) -> NoReturn:
    """The holder. It has nothing that a customer's processes could take: no view, no right, no descriptor."""
    if not os.read(go, 1):
        os._exit(CANNOT_START)
    kernel.replace_command_line("holder")
    _take_user(order)
    kernel.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    kernel.mount("tmpfs", order.nothing, "tmpfs", _INERT, "mode=0555")
    kernel.change_root(order.nothing)
    kernel.raise_loopback()
    os.write(up, b"up")
    os.close(up)
    if not os.read(go, 1):
        os._exit(CANNOT_START)
    kernel.drop_all_capabilities()
    kernel.forbid_new_privileges()
    kernel.set_dumpable(False)
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    while True:
        signal.pause()


def _take_user(order: Order) -> None:
    """Become whom the first line of the maps tells."""
    user, group = (int(lines.split()[0]) for lines in (order.users, order.groups))
    if not order.alone:
        os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    kernel.set_dumpable(True)  # else its files in /proc are not its own


def _last_message(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    return str(json.loads(lines[-1])["msg"]) if lines else ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)

"""A zygote: a process from which sandboxes are born, and what becomes of its children until they are told what to run.

A zygote has one thread, no secret and no right outside of a user namespace of its own, and sees nothing but the root
of the sandboxes to come. For each request of the launcher it forks a child into namespaces of its own:

```
launcher                     the parent of all of these, so that it learns their ends from the kernel
  zygote                     forks on request, maps the child's user
  first process              pid 1 of a sandbox: forks the program's process, mounts /proc, tells the other's end
                             (`first_process.py`). It is there since a program that is pid 1 itself is immune to
                             signals and has orphans to reap
    program's process        pid 2: gives up all rights, takes the filter, and waits for the word what to run. The word
                             may make it a template, of which others are forked (`restoring.py`). It is forked before
                             there is more to do, since memory that was written to is shared with the zygote no more
```

The word is a program to execute, or nothing: then the interpreter that was forked goes on by itself (`serve` returns
the word in the child). No code of a customer is near before the rights are gone.

The pipe `status` of each child tells the launcher `ready`, `failed TEXT`, `launch TEXT` (the program could not be
executed) and `exit N` (the wait status), each at most once and on a line.

It runs on every Python that functions run on, and is part of the runtime kits (`runtimes/python.py`); in the launcher's
own interpreter it serves the programs that are executed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from . import first_process, kernel

PACKET = 1 << 18
TEMPLATE = "_LAMBENT_TEMPLATE"
"""The variable which tells a program that is executed as a template (`restoring.py`) the descriptor of its socket."""
DESCRIPTORS = 16
CANNOT_START = 126
NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def _nothing() -> None:
    """What there is to rehearse where a program is executed."""


def enter(root: str, control: socket.socket) -> None:
    """Leave the machine: `root` becomes all that there is to see, and the rights that are left are those over a user
    namespace of our own, into which the launcher maps the users of the children to come. Raises OSError."""
    kernel.change_root(root)
    if os.geteuid() == 0:
        os.setgroups([])
    kernel.unshare(kernel.CLONE_NEWUSER)
    control.send(json.dumps({"map": os.getpid()}).encode())
    control.recv(PACKET)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    kernel.set_dumpable(True)  # else the kernel gives our children's files in /proc to its root, who we are not
    kernel.die_with_parent(signal.SIGKILL)
    kernel.preempt_nobody()


def serve(control: socket.socket, rehearse: Callable[[], None] = _nothing) -> dict[str, Any]:
    """Fork a child for each request until the launcher is gone. Returns in a child, with the word that it was given.
    One that is born before anybody wants it may `rehearse` what it will do then.

    The first message is what all children have in common: the seccomp programs (empty for none) `filter` and, for the
    call that templates need, `refuse_clone3` and `ask_about_clone3`; `hostname`, `user` and `group`. A request has `n`,
    `owner` (the user and group of ours that it becomes), `limits` (by the number of the resource), `ahead` if nobody
    waits for it, and comes with
    descriptors: the child's end of its socket, its status pipe, its output, the files by which it joins control groups,
    and if `in_group` is set the directory of the group that it is born in.
    """
    common = json.loads(control.recv(PACKET) or b"null")
    if common is None:
        sys.exit(0)
    for name in ("filter", "refuse_clone3", "ask_about_clone3"):
        common[name] = common[name].encode("latin-1")
    executable = first_process.executable()
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, PACKET, DESCRIPTORS)
        except ConnectionError:  # it was killed, and has not read all that was told it
            sys.exit(0)
        if not data:
            sys.exit(0)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        request = json.loads(data)
        go_read, go_write = os.pipe()
        group = descriptors[-1] if request["in_group"] else -1
        try:
            child = kernel.fork_into(NAMESPACES | kernel.CLONE_PARENT, group)
        except OSError as error:
            child = -1
            control.send(json.dumps({"n": request["n"], "error": str(error)}).encode())
        if child == 0:
            os.close(go_write)
            control.close()
            if group >= 0:
                os.close(descriptors.pop())
            prepare = rehearse if request["ahead"] else _nothing
            return _be_born(common, request, go_read, descriptors, executable, prepare)
        if child > 0:
            _let_go(child, common, request, go_write, descriptors[1])
            control.send(b'{"n": %d, "pid": %d}' % (request["n"], child))
        for descriptor in (go_read, go_write, *descriptors):
            os.close(descriptor)


def _let_go(child: int, common: dict[str, Any], request: dict[str, Any], go: int, status: int) -> None:
    """Map the child's user and group. One that can not be mapped sees the end of the pipe, and ends."""
    try:
        _write(f"/proc/{child}/uid_map", f"{common['user']} {request['owner']} 1")
        _write(f"/proc/{child}/setgroups", "deny")
        _write(f"/proc/{child}/gid_map", f"{common['group']} {request['owner']} 1")
        os.write(go, b"1")
    except OSError as error:
        os.write(status, f"failed its user could not be mapped: {error}\n".encode())


def _be_born(
    common: dict[str, Any],
    request: dict[str, Any],
    go: int,
    descriptors: list[int],
    executable: int,
    prepare: Callable[[], None],
) -> dict[str, Any]:
    """The first process. Only the program's process returns."""
    control, status, output = descriptors[:3]
    try:
        if not os.read(go, 1):
            os._exit(CANNOT_START)
        os.close(go)
        os.setresgid(common["group"], common["group"], common["group"])
        os.setresuid(common["user"], common["user"], common["user"])
        redirect(output)
        os.close(output)
        limit(request["limits"])
        made_read, made_write = os.pipe()
        program = kernel.fork()
        if program == 0:
            os.close(made_write)
            if executable >= 0:
                os.close(executable)
            return _wait_for_word(common, control, status, made_read, descriptors[3:], prepare)
        kernel.die_with_parent(signal.SIGKILL)
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        kernel.set_host_name(common["hostname"])
        kernel.raise_loopback()
        for descriptor in (control, made_read, *descriptors[3:]):
            os.close(descriptor)
        _give_up_rights(common["filter"])
        _filter(common["refuse_clone3"])
        os.write(made_write, b"1")  # the other may run a customer's code from now on
        os.close(made_write)
        first_process.watch(program, status, executable)
    except OSError as error:
        os.write(status, f"failed {error}\n".encode())
        os._exit(CANNOT_START)


def _wait_for_word(
    common: dict[str, Any], control: int, status: int, made: int, groups: list[int], prepare: Callable[[], None]
) -> dict[str, Any]:
    """`made` is the pipe by which the first process tells that all is there."""
    end = socket.socket(fileno=control)
    try:
        for group in groups:
            os.write(group, b"0")
            os.close(group)
        kernel.unshare(kernel.CLONE_NEWCGROUP)  # not before: its own group is to be the root of what it sees
        os.setsid()
        _give_up_rights(common["filter"])
        kernel.set_dumpable(True)
        prepare()
        if not os.read(made, 1):
            os._exit(CANNOT_START)
        os.close(made)
        os.write(status, b"ready\n")
        word: dict[str, Any] | None = json.loads(end.recv(PACKET) or b"null")
        if word is None:
            os._exit(0)  # nobody wants it
        limit(word["limits"])
        if word["snapshot"]:
            _let_launcher_decide(common["ask_about_clone3"], end)
        else:
            _filter(common["refuse_clone3"])
    except OSError as error:
        os.write(status, f"failed {error}\n".encode())
        os._exit(CANNOT_START)
    try:
        os.chdir(word["directory"])
        if word["command"]:
            if word["snapshot"]:
                end.set_inheritable(True)
                word["variables"][TEMPLATE] = str(end.fileno())
            _execute(word)
    except (OSError, ValueError) as error:
        os.write(status, f"launch {error}\n".encode())
        os._exit(CANNOT_START)
    os.close(status)
    if word["snapshot"]:
        word["control"] = end
    else:
        end.close()
    return word


def _let_launcher_decide(filter_program: bytes, control: socket.socket) -> None:
    """Have it asked about the call by which a template is forked."""
    listener = kernel.filter_and_listen(filter_program)
    socket.send_fds(control, [b"listener"], [listener])
    os.close(listener)


def limit(limits: dict[str, int]) -> None:
    """Set resource limits of this process, by the number of the resource."""
    for number, value in limits.items():
        resource.setrlimit(int(number), (value, value))


def _execute(word: dict[str, Any]) -> None:
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    os.execve(word["command"][0], word["command"], word["variables"])


def redirect(output: int) -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)


def _give_up_rights(filter_program: bytes) -> None:
    kernel.drop_all_capabilities()
    kernel.forbid_new_privileges()
    kernel.set_dumpable(False)
    _filter(filter_program)


def _filter(filter_program: bytes) -> None:
    if filter_program:
        kernel.filter_system_calls(filter_program)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def main() -> None:
    """The zygote of programs that are executed. What it must know is in its environment and not on its command line,
    which every process of a sandbox can read."""
    variables = os.environ
    with socket.socket(fileno=int(variables["CONTROL"])) as connection:
        enter(variables["ROOT"], connection)
        serve(connection)

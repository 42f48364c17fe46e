"""A template: a program that has initialised and is then forked, once for each environment that is restored from it.

The program's process asks to be forked by `wait`, when its client would ask the Runtime API to be restored. For each
order of the launcher it forks

```
first process              pid 1 of new namespaces: maps its own user, gives up the rights that it has over these, forks
                           the program's process, tells its end
  program's process        waits for the word, lets go of all that it would share with others, and returns from `wait`
```

The rights come with the user namespace, and without the launcher the filter lets nobody make one. What is in these
processes has been the customer's already, so the launcher believes nothing of what is told from here: it looks from
outside that the rights are gone, before there is anything to gain (`snapshots.py`).

It runs on every Python that functions run on, and is part of the runtime kits beside `zygote.py`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import socket
import time
from typing import Any

from . import descriptors, first_process, kernel, zygote

_VARIABLES = os.environ
"""The interpreter's own, whatever the program puts in its place."""
_LARGE_PAGE = 1 << 21
_USED = 0.75
"""Of a mapping, how much must be: large pages are filled up."""
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) rw.p [0-9a-f]+ [0-9a-f:]+ ([0-9]+)[^\n]*\n(?:[A-Z][^\n]*\n)*?Rss: +([0-9]+) kB",
    re.MULTILINE,
)


def wait(control: socket.socket) -> None:
    """Tell the launcher that this program can be restored, and fork it when asked. Returns in what is restored."""
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, all that it shares with the others
    _gather_memory()
    control.send(b"snapshot")
    user, group = os.getuid(), os.getgid()
    executable = first_process.executable()
    shared = descriptors.Shared((control.fileno(), executable))
    while True:
        data, received, _, _ = socket.recv_fds(control, zygote.PACKET, zygote.DESCRIPTORS)
        if not data:
            os._exit(0)
        order = json.loads(data)
        is_alone = len(os.listdir("/proc/self/task")) == 1
        kernel.tell_before_fork()
        try:
            process = kernel.fork_into(
                zygote.NAMESPACES | kernel.CLONE_PARENT, received[-1] if order["in_group"] else -1, told=not is_alone
            )
            answer = b"forked"
        except OSError as error:
            process, answer = -1, f"failed {error}".encode()
        if process:
            kernel.tell_after_fork(process)
        if process == 0:
            if not is_alone:
                kernel.tell_before_fork()  # of the program's process
            control.close()
            word = _be_born(order, received, user, group, executable)
            _change_variables(word["variables"])
            shared.let_go()
            return
        for descriptor in received:
            os.close(descriptor)
        control.send(answer)


def _change_variables(changes: dict[str, str | None]) -> None:
    """Those that are not the template's; None for one that is not there. All others are memory, and stay as the
    initialisation has left them."""
    for variables in {id(one): one for one in (_VARIABLES, os.environ)}.values():
        for name, value in changes.items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
    if "TZ" in changes:
        time.tzset()


def _gather_memory() -> None:
    """Have memory that is in use kept in large pages, where the kernel can: a fork copies one entry in the place of
    512 (100 MB in 0.4 ms and not 4)."""
    with open("/proc/self/smaps", encoding="utf-8", errors="surrogateescape") as file:
        found = _MAPPING.findall(file.read())
    for begin, end, inode, resident in found:
        start = -(-int(begin, 16) // _LARGE_PAGE) * _LARGE_PAGE
        size = int(end, 16) // _LARGE_PAGE * _LARGE_PAGE - start
        whole = int(end, 16) - int(begin, 16)
        if inode == "0" and size > 0 and int(resident) << 10 > whole * _USED:
            kernel.gather_memory(start, size)


def _be_born(order: dict[str, Any], received: list[int], user: int, group: int, executable: int) -> dict[str, Any]:
    """The first process. Only the program's process returns, with the word that it was given."""
    control, status, output = received[:3]
    try:
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{group} {group} 1")
        for join in received[3 : -1 if order["in_group"] else None]:
            os.write(join, b"0")
        kernel.drop_all_capabilities()
        kernel.set_dumpable(False)
        # From here on nobody is asked about the call: the launcher forks templates, and not what comes of them.
        if order["filter"]:
            kernel.filter_system_calls(order["filter"].encode("latin-1"))
        zygote.limit(order["limits"])
        zygote.redirect(output)
        with socket.socket(fileno=control) as end:
            end.send(b"born")
            _use_up_a_process_id()
            program = kernel.fork()
            if program == 0:
                kernel.tell_after_fork(program)
                for descriptor in (*received[2:], executable):
                    if descriptor >= 0:
                        os.close(descriptor)
                return _wait_for_word(end, status)
        _close_all_but(status, executable)
        first_process.watch(program, status, executable)
    except OSError as error:
        os.write(status, f"failed {error}\n".encode())
        os._exit(zygote.CANNOT_START)


def _close_all_but(*kept: int) -> None:
    """What the customer's program has open may not be meant to end with what is executed."""
    begin = 3
    for number in sorted((*kept, resource.getrlimit(resource.RLIMIT_NOFILE)[1])):
        os.closerange(begin, number)
        begin = max(begin, number + 1)


def _use_up_a_process_id() -> None:
    """A program's process has another id than the template's: OpenSSL takes new random numbers from the kernel when it
    finds itself with another one, and others notice that they were forked in the same way. No memory is copied for a
    child that only tries to execute something."""
    with contextlib.suppress(OSError):
        os.posix_spawn("", ["nothing"], {})


def _wait_for_word(end: socket.socket, status: int) -> dict[str, Any]:
    os.setsid()
    kernel.set_dumpable(True)
    os.write(status, b"ready\n")
    os.close(status)
    word: dict[str, Any] | None = json.loads(end.recv(zygote.PACKET) or b"null")
    end.close()
    if word is None:
        os._exit(0)
    return word


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

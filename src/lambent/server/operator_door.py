"""The operator's door: HTTP on a Unix socket in the data directory.

What is told here is of all accounts. So it is not on the port that customers and functions reach, and whoever may
connect is whoever may read the data directory.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lambent.core.allowance import Allowance
from lambent.server.http_protocol import Answer, Connections
from lambent.server.request_tasks import RequestTasks
from lambent.wire.http import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

SOCKET = "operator.sock"
CONNECTIONS = 16
HELD_BYTES = 1 << 20
LONGEST_PATH = 100
"""What the address of a Unix socket has room for, less a little."""

View = Callable[[], Coroutine[Any, Any, object]]
"""Gives what is to be told, of what JSON has."""


def operator_connections(views: Mapping[str, View], tasks: RequestTasks) -> Connections:
    """Makes the connections of a door with these views, by path."""

    def serve(request: HttpRequest, answer: Answer) -> None:
        view = views.get(request.path.strip("/"))
        if view is None:
            answer(HttpResponse(404))
        else:
            tasks.run(view(), partial(_tell, answer))

    return Connections(serve, Allowance(connections=CONNECTIONS, held_bytes=HELD_BYTES))


def _tell(answer: Answer, told: object) -> None:
    if isinstance(told, Exception):
        _log.error("view failed", exc_info=told)
        answer(HttpResponse(500))
    else:
        answer(HttpResponse(200, (("Content-Type", "application/json"),), json.dumps(told).encode()))


async def open_operator_door(data_dir: Path, connections: Connections) -> asyncio.AbstractServer:
    """Listen. The caller holds the data directory, so that a socket which is there is nobody's."""
    (data_dir / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(_address(data_dir, directory))
        finally:
            os.umask(before)
    finally:
        os.close(directory)
    return await asyncio.get_running_loop().create_unix_server(connections, sock=listener)


def _address(data_dir: Path, directory: int) -> str:
    """The socket's path, or another one to the same place where that is too long to be an address."""
    path = str(data_dir / SOCKET)
    return path if len(os.fsencode(path)) <= LONGEST_PATH else f"/proc/self/fd/{directory}/{SOCKET}"

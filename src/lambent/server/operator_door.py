"""The operator's door: HTTP on a Unix socket in the data directory.

What is told here is of all accounts. So it is not on the port that customers and functions reach, and whoever may
connect is whoever may read the data directory.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from lambent.core.allowance import Allowance
from lambent.server.http_protocol import Answer, Connections
from lambent.wire.http import HttpRequest, HttpResponse

SOCKET = "operator.sock"
CONNECTIONS = 16
HELD_BYTES = 1 << 20
LONGEST_PATH = 100
"""What the address of a Unix socket has room for, less a little."""

View = Callable[[], object]
"""Gives what is to be told, of what JSON has."""


def operator_connections(views: Mapping[str, View]) -> Connections:
    """Makes the connections of a door with these views, by path."""

    def serve(request: HttpRequest, answer: Answer) -> None:
        view = views.get(request.path.strip("/"))
        if view is None:
            answer(HttpResponse(404))
            return
        answer(HttpResponse(200, (("Content-Type", "application/json"),), json.dumps(view()).encode()))

    return Connections(serve, Allowance(connections=CONNECTIONS, held_bytes=HELD_BYTES))


async def open_operator_door(data_dir: Path, views: Mapping[str, View]) -> asyncio.AbstractServer:
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
    return await asyncio.get_running_loop().create_unix_server(operator_connections(views), sock=listener)


def _address(data_dir: Path, directory: int) -> str:
    """The socket's path, or another one to the same place where that is too long to be an address."""
    path = str(data_dir / SOCKET)
    return path if len(os.fsencode(path)) <= LONGEST_PATH else f"/proc/self/fd/{directory}/{SOCKET}"

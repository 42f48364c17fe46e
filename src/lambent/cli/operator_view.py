"""The way to a server's operator door: a Unix socket in the data directory, and HTTP on it."""

import argparse
import http.client
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambent import settings
from lambent.cli import output
from lambent.cli.outcome import CommandError, ExitCode

SOCKET = "operator.sock"
WITHIN_S = 30

Run = Callable[[argparse.Namespace, Any], int]
"""Shows what the server has told."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="the server's data directory (default: as `lambent serve`)")
    parser.add_argument("--config", metavar="FILE.toml", help="the server's file of settings")
    parser.add_argument("--json", action="store_true", help="print results and errors as JSON")


def run(view: str, show: Run, arguments: argparse.Namespace) -> int:
    """Ask for a view and show it. Returns the exit code."""
    try:
        return show(arguments, ask(settings.read(arguments, os.environ).data_dir, view))
    except CommandError as error:
        output.error(error, as_json=arguments.json)
        return error.exit_code


def ask(data_dir: Path, view: str) -> Any:
    """What the server that owns the directory tells. Raises CommandError."""
    connection = _UnixConnection(data_dir)
    try:
        connection.request("GET", f"/{view}")
        response = connection.getresponse()
        body = response.read()
    except PermissionError as error:
        raise CommandError(f"{data_dir} is another user's", hint="Ask as the user that the server runs as.") from error
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"no server answers in {data_dir}",
            exit_code=ExitCode.UNREACHABLE,
            hint="Name the directory of the one that runs with --data-dir or LAMBENT_DATA_DIR.",
        ) from error
    finally:
        connection.close()
    if response.status == http.client.NOT_FOUND:
        raise CommandError(f"the server has no view of the {view}: it is of another version")
    if response.status != http.client.OK:
        raise CommandError(f"the server could not tell its {view}", hint="Its log says why.")
    return json.loads(body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=WITHIN_S)
        self._data_dir = data_dir

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WITHIN_S)
        # By way of the directory: the path as a whole may be longer than an address.
        directory = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        finally:
            os.close(directory)

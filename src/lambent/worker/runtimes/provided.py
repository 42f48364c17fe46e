"""The runtimes `provided.*`: the function's package is its own runtime, an executable called `bootstrap`."""

import os
import stat
from pathlib import Path

from lambent.worker.runtimes.launch import InvalidEntrypoint, Launch
from lambent.worker.runtimes.variables import common_variables


def launch(code: Path) -> Launch:
    """Raises InvalidEntrypoint when `code` has no bootstrap that can be executed."""
    bootstrap = code / "bootstrap"
    try:
        mode = os.stat(bootstrap).st_mode  # noqa: PTH116 - one call for both questions
    except OSError:
        mode = 0
    # Asked of the mode, not of access(2): the function runs as another user than the server.
    if not (stat.S_ISREG(mode) and mode & stat.S_IXOTH):
        raise InvalidEntrypoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    return Launch((), (), ("/var/task/bootstrap",), common_variables())

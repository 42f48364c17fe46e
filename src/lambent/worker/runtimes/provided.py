"""The runtimes `provided.*`: the function brings its own runtime, an executable called `bootstrap`, in its package or
in a layer."""

import os
import stat
from pathlib import Path

from lambent.worker.runtimes.launch import InvalidEntrypoint, Launch
from lambent.worker.runtimes.variables import common_variables
from lambent.worker.sandbox.driver import Template


def launch(code: Path, layers: Path | None = None) -> Launch:
    """The function's own bootstrap, or that of its layers. Raises InvalidEntrypoint when none can be executed."""
    for tree, directory in ((code, "/var/task"), (layers, "/opt")):
        if tree is not None and _is_program(tree / "bootstrap"):
            return Launch(Template(), (f"{directory}/bootstrap",), common_variables())
    raise InvalidEntrypoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")


def _is_program(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - one call for both questions
    except OSError:
        return False
    # Asked of the mode, not of access(2): the function runs as another user than the server.
    return stat.S_ISREG(mode) and bool(mode & stat.S_IXOTH)

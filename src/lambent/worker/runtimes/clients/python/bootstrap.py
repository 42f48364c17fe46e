"""What a Python function's interpreter runs first: sets the search path up, then becomes the official client.

It is mounted at /var/runtime beside the client and boto3, and runs on every Python from 3.9 up. The file's name
matters: the client leaves frames of a file of this name out of the stack traces that it reports.

The interpreter is started with -S, so that nothing which the machine has installed into it can be seen; what the
module `site` would have added to the builtins is added here.
"""

import os
import site
import socket
import sys
from importlib import import_module, reload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TEMPLATE = "_LAMBENT_TEMPLATE"
_PACKAGE = "lambent_zygote"
_READ_AT_IMPORT = ("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL")
"""What the client takes from the environment when it is imported."""

_ZYGOTES = frozenset(("contextlib", "ctypes", "fcntl", "mmap", "resource", "signal", "struct", "typing"))
"""Modules of the standard library that a zygote imports, and a client that was executed may not have."""


def search_path(task: str, runtime: str, inherited: "list[str]") -> "list[str]":
    """AWS's order: the function's own packages, the customer's PYTHONPATH, the layers', the client and boto3, and
    then the standard library."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    # Without a sandbox, /opt is below a directory of the environment's own.
    layers = os.environ.get("_LAMBENT_ROOT", "") + "/opt/python"
    platforms = [f"{layers}/lib/{version}/site-packages", layers, runtime]
    given = os.environ.get("PYTHONPATH", "").split(":")
    # The interpreter has put this script's directory first, by its real path.
    ours = {task, *platforms, os.path.dirname(os.path.realpath(__file__))}
    customers = [entry for entry in given if entry and entry not in ours]
    library = [entry for entry in inherited if entry not in ours and entry not in customers]
    return [task, *customers, *platforms, *library]


def add_builtins() -> None:
    site.setquit()
    site.setcopyright()
    site.sethelper()


def import_rest_of_client() -> None:
    """What it would import at its first event only."""
    import_module("awslambdaric.lambda_literals")
    if sys.version_info >= (3, 12):
        import_module("concurrent.futures.thread")  # in which it then waits


def be_template(control: "socket.socket") -> None:
    """Have the client wait to be restored where it would ask the Runtime API: this process is forked then."""
    import_rest_of_client()
    restoring = import_module(f"{_PACKAGE}.restoring")
    client = import_module("awslambdaric.lambda_runtime_client").LambdaRuntimeClient
    client.restore_next = lambda _: restoring.wait(control)
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]  # no trace that the function's own could meet


def start_before(become: "Callable[[], socket.socket | None]") -> None:
    """Start the client in a zygote, up to where it would import the handler. What `become` returns there, once it has
    forked the process of a function, is where a template is told to fork."""
    client: Any = import_module("awslambdaric.bootstrap")
    config = import_module("awslambdaric.lambda_config").LambdaConfigProvider(
        ("", ""), {"AWS_LAMBDA_RUNTIME_API": "", **os.environ}
    )
    connection = import_module("awslambdaric.lambda_runtime_client").LambdaRuntimeClient("", config.use_thread_polling)
    path = search_path("/var/task", "/var/runtime", sys.path)
    get_handler = client._get_handler

    def get_handler_of_function(_: str) -> object:
        control = become()
        client._get_handler = get_handler
        connection.lambda_runtime_address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        if any(name in os.environ for name in _READ_AT_IMPORT):
            _set_logging_up(client)
        if control is not None:
            be_template(control)
        sys.path[:] = path
        _give_way(path[: path.index("/var/runtime")])
        return client._get_handler(os.environ["_HANDLER"])

    client._get_handler = get_handler_of_function
    client.run("", connection)


def _give_way(directories: "list[str]") -> None:
    """Where the function or a layer has a module of a name that the zygote has imported, let that be found."""
    for directory in directories:
        try:
            names = {entry.partition(".")[0] for entry in os.listdir(directory)}
        except OSError:
            continue
        for name in _ZYGOTES & names:
            sys.modules.pop(name, None)


def _set_logging_up(client: "Any") -> None:
    """Anew, as the environment now says."""
    reload(client)
    root = import_module("logging").getLogger()
    (made,) = root.handlers
    root.removeHandler(made)
    made.close()
    for name in ("stdout", "stderr"):
        setattr(sys, name, client.Unbuffered(getattr(sys, name).stream))
    client._setup_logging(client._AWS_LAMBDA_LOG_FORMAT, client._AWS_LAMBDA_LOG_LEVEL, made.log_sink)


def main(control: "socket.socket | None" = None) -> None:
    """`control` is where a template is told to fork; one that was executed has its number in the environment."""
    given = os.environ.pop(_TEMPLATE, None)
    if given is not None:
        control = socket.socket(fileno=int(given))
        control.set_inheritable(False)
    if control is not None:
        be_template(control)
    client: Any = import_module("awslambdaric.__main__")  # before a function's files could take its modules' places
    task = os.environ["LAMBDA_TASK_ROOT"]
    sys.path[:] = search_path(task, os.environ["LAMBDA_RUNTIME_DIR"], sys.path)
    client.main([task, os.environ["_HANDLER"]])


if __name__ == "__main__":
    add_builtins()
    main()

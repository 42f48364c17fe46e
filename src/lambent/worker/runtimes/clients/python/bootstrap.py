"""What a Python function's interpreter runs first: sets the search path up, then becomes the official client.

It is mounted at /var/runtime beside the client and boto3, and runs on every Python from 3.9 up. The file's name
matters: the client leaves frames of a file of this name out of the stack traces that it reports.

The interpreter is started with -S, so that nothing which the machine has installed into it can be seen; what the
module `site` would have added to the builtins is added here.
"""

import os
import site
import sys
from importlib import import_module


def search_path(task: str, runtime: str, inherited: "list[str]") -> "list[str]":
    """AWS's order: the function's own packages, the customer's PYTHONPATH, the layers', the client and boto3, and
    then the standard library."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    # Without a sandbox, /opt is below a directory of the environment's own.
    layers = os.environ.get("LAMBENT_ROOT", "") + "/opt/python"
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


def main() -> None:
    task = os.environ["LAMBDA_TASK_ROOT"]
    sys.path[:] = search_path(task, os.environ["LAMBDA_RUNTIME_DIR"], sys.path)
    add_builtins()
    import_module("awslambdaric.__main__").main([task, os.environ["_HANDLER"]])


if __name__ == "__main__":
    main()

"""The zygote of Python functions: an interpreter that has imported the official client, from which they are forked.

What is set when a process starts a fork can not have of its own: a function whose variables ask for that is started
by `wrap.py`, in the sandbox that is there.
"""

import gc
import os
import socket
import sys
import time
from importlib import import_module, reload
from types import ModuleType

# What the client takes from the environment when it is imported.
_READ_AT_IMPORT = ("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL")
_OURS = ("lambent_zygote", "lambent_zygote.kernel", "lambent_zygote.first_process", "lambent_zygote.zygote")


def become(variables: "dict[str, str]") -> "list[ModuleType]":
    """Be the function's process: its environment, and of our modules no trace that its own could meet. Returns them: to
    free them would touch, and so copy, all of their memory."""
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    # The interpreter does not know that it was forked: what its modules would do then.
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "threading" in sys.modules:
        sys.modules["threading"].main_thread()._set_native_id()
    ours = [sys.modules.pop(name) for name in (*_OURS, "bootstrap")]
    if any(name in variables for name in _READ_AT_IMPORT):
        reload(sys.modules["awslambdaric.bootstrap"])
    gc.enable()
    return ours


def main() -> None:
    import_module("awslambdaric.__main__")
    zygote = import_module("lambent_zygote.zygote")
    bootstrap = import_module("bootstrap")
    bootstrap.add_builtins()
    bootstrap.import_rest_of_client()
    gc.disable()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, all that it shares with the others
    with socket.socket(fileno=int(sys.argv.pop())) as control:
        word = zygote.serve(control)
    _ours = become(word["variables"])
    bootstrap.main(word.get("control"))


if __name__ == "__main__":
    main()

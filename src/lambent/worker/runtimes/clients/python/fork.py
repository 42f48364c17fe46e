"""The zygote of Python functions: an interpreter whose official client is about to import a handler.

What is set when a process starts a fork can not have of its own: a function whose variables ask for that is started
by `wrap.py`, in the sandbox that is there.

Each function's process shares the zygote's memory until either writes to it, a page at a time. So what all would do is
done here, once, and nothing is written without need.
"""

import ctypes
import gc
import os
import socket
import sys
import time
import traceback
from importlib import import_module
from types import CodeType, ModuleType

_OURS = ("lambent_zygote", "lambent_zygote.kernel", "lambent_zygote.first_process", "lambent_zygote.zygote")
_MEMORY = (ctypes.c_uint32 * (1 << 45)).from_address(0)
"""All of ours, in words of four bytes: an object's number is its address."""
_NOT_COUNTED = 1 << 31
"""From here on a count of references says that they are not counted."""
_PARTS_OF_CODE = (
    *("co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_name", "co_qualname", "co_filename"),
    *("co_linetable", "co_exceptiontable"),
)
"""What the collector is not told that a code object refers to."""


def become(variables: "dict[str, str]") -> "list[ModuleType]":
    """Be the function's process: its environment, and of our modules no trace that its own could meet. Returns them: to
    free them would touch, and so copy, all of their memory."""
    before = dict(os.environ)
    for name in before.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if before.get(name) != value:
            os.environ[name] = value
    if before.get("TZ") != variables.get("TZ"):
        time.tzset()
    # The interpreter does not know that it was forked: what its modules would do then.
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "threading" in sys.modules:
        sys.modules["threading"].main_thread()._set_native_id()
    ours = [sys.modules.pop(name) for name in (*_OURS, "bootstrap")]
    gc.enable()
    return ours


def share_memory() -> None:
    """Have what there is written to as little as can be: by no collection (nor is one made before: what is allocated
    in the gaps that it leaves would be written all over), and where the interpreter has objects that live for ever
    (from 3.12 on), by no reference to it."""
    if _knows_immortals():
        _make_immortal(gc.get_objects())
    gc.freeze()


def _knows_immortals() -> bool:
    """Whether they are known by the low half of the count that an object begins with."""
    ordinary = object()
    return _MEMORY[id(ordinary) >> 2] == 1 and _MEMORY[id(None) >> 2] >= _NOT_COUNTED


def _make_immortal(objects: "list[object]") -> None:
    """These, and all that they refer to, as None is."""
    known: dict[int, object] = {}
    while objects:
        known.update({id(one): one for one in objects})
        parts = [getattr(code, part) for code in objects if type(code) is CodeType for part in _PARTS_OF_CODE]
        parts += gc.get_referents(*objects)
        found = {id(one): one for one in parts}
        objects = [found[number] for number in found.keys() - known.keys()]
    count = _MEMORY[id(None) >> 2]
    for number in known:
        _MEMORY[number >> 2] = count


def main() -> None:
    gc.disable()
    import_module("awslambdaric.__main__")
    zygote = import_module("lambent_zygote.zygote")
    bootstrap = import_module("bootstrap")
    bootstrap.add_builtins()
    bootstrap.import_rest_of_client()
    compile("", "", "exec")  # the first time makes a hundred types
    control = socket.socket(fileno=int(sys.argv.pop()))
    kept: list[ModuleType] = []

    def fork() -> "socket.socket | None":
        share_memory()
        try:
            word = zygote.serve(control)
        except Exception:  # noqa: BLE001 the client would take it for an error of the function
            sys.exit(traceback.format_exc())
        kept.extend(become(word["variables"]))
        orders: socket.socket | None = word.get("control")
        return orders

    bootstrap.start_before(fork)


if __name__ == "__main__":
    main()

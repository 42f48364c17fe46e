"""The zygote of Python functions: an interpreter whose official client is about to import a handler.

What is set when a process starts a fork can not have of its own: a function whose variables ask for that is started
by `wrap.py`, in the sandbox that is there.

Each function's process shares the zygote's memory until either writes to it, a page at a time. So what all would do is
done here, once, and nothing is written without need.
"""

import ctypes
import gc
import json
import os
import resource
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
_LARGEST_GAP, _GAPS_BYTES = 1 << 16, 1 << 22
"""A gap, and all of them of one size, are not larger."""
_POOL_BYTES = 1 << 14 if sys.version_info >= (3, 10) else 1 << 12
_POOL_HEADER_BYTES = 48
"""Of what the interpreter has for objects of one size."""
_VARIABLES = tuple(f"_LAMBENT_REHEARSAL_{number}" for number in range(25))
_NOT_IMPORTED_YET = "lambent_zygote.descriptors"
_FUNCTION = "import json\n\n\ndef handler(event, context):\n    return event\n"
_EVENT = b'{"key": ["value", 1, 2.5, null, true]}'
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
    if "logging" in sys.modules:
        logging = vars(sys.modules["logging"])  # which tells how long it has been there
        logging["_startTime"] = time.time_ns() if isinstance(logging["_startTime"], int) else time.time()
    ours = [sys.modules.pop(name) for name in (*_OURS, "bootstrap")]
    gc.enable()
    return ours


def rehearse() -> None:
    """Do what the process of any function does first, to nothing, while nobody waits for it: the memory that this
    writes to is the process's own afterwards, and the interpreter knows its way."""
    for name in _VARIABLES:
        os.environ[name] = name
    for name in _VARIABLES:
        del os.environ[name]
    json.loads(json.dumps({"directory": "/", "command": [], "snapshot": False, "variables": dict(os.environ)}))
    resource.setrlimit(resource.RLIMIT_NPROC, resource.getrlimit(resource.RLIMIT_NPROC))
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "threading" in sys.modules:
        sys.modules["threading"].main_thread()._set_native_id()
    import_module(_NOT_IMPORTED_YET)
    del sys.modules[_NOT_IMPORTED_YET]
    compile(_FUNCTION, "rehearsal.py", "exec", dont_inherit=True)
    client = import_module("awslambdaric.bootstrap")
    about = ("request", _EVENT, "application/json", None, None, "arn", 0, None, None)
    client.handle_event_request(_Nobody(), lambda event, _: event, *about)


class _Nobody:
    """Whom the client tells of the end of an invocation."""

    def __init__(self) -> None:
        self.marshaller = import_module("awslambdaric.lambda_runtime_marshaller").LambdaMarshaller()

    def post_invocation_result(self, *_: object) -> None:
        """There is nobody to be told."""

    post_invocation_error = post_invocation_result


def share_memory() -> None:
    """Have what there is written to as little as can be: by nothing that is allocated in its gaps, by no collection,
    and where the interpreter has objects that live for ever (from 3.12 on), by no reference to it."""
    gc.collect()
    _fill_gaps()
    if _knows_immortals():
        _make_immortal(gc.get_objects())
    gc.freeze()


def _fill_gaps() -> None:
    """Take the memory that is free between what lives, by the allocators of the C library and of the interpreter, so
    that what is allocated from here on is together, on pages of its own."""
    allocate = ctypes.CDLL(None).malloc
    allocate.argtypes, allocate.restype = (ctypes.c_size_t,), ctypes.c_size_t
    end = allocate(_LARGEST_GAP)
    for size in (*range(_LARGEST_GAP, 1024, -1024), *range(1024, 8, -16)):
        for _ in range(_GAPS_BYTES // size):
            if allocate(size) >= end:
                break  # beyond all that was there
    take = ctypes.pythonapi.PyObject_Malloc
    take.argtypes, take.restype = (ctypes.c_size_t,), ctypes.c_size_t
    for size in range(16, 513, 16):
        for _ in range(_GAPS_BYTES // size):
            if take(size) % _POOL_BYTES == _POOL_HEADER_BYTES:
                break  # the first of a pool that was empty


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
            word = zygote.serve(control, rehearse)
        except Exception:  # noqa: BLE001 the client would take it for an error of the function
            sys.exit(traceback.format_exc())
        kept.extend(become(word["variables"]))
        orders: socket.socket | None = word.get("control")
        return orders

    bootstrap.start_before(fork)


if __name__ == "__main__":
    main()

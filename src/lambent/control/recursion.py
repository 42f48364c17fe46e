"""What becomes of recursive loops: GetFunctionRecursionConfig, PutFunctionRecursionConfig.

The setting is the function's as a whole and kept with its `$LATEST`.
"""

from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find, named_unqualified, not_found
from lambent.core.function import FunctionVersion
from lambent.store import functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def get_function_recursion_config(deps: Control, call: Call) -> dict[str, Any]:
    return _shape(await find(deps, named_unqualified(call), None))


async def put_function_recursion_config(deps: Control, call: Call) -> dict[str, Any]:
    function = named_unqualified(call)

    def transaction(connection: WritingConnection) -> FunctionVersion:
        before = functions.get(connection, function)
        if before is None:
            raise not_found(function)
        after = replace(before, recursive_loop=call.params["RecursiveLoop"], revision_id=deps.new_id())
        functions.replace(connection, after, expected_revision=before.revision_id)
        return after

    return _shape(await deps.store.run(transaction))


def _shape(latest: FunctionVersion) -> dict[str, Any]:
    return {"RecursiveLoop": latest.recursive_loop}


OPERATIONS: dict[str, ControlOperation] = {
    "GetFunctionRecursionConfig": get_function_recursion_config,
    "PutFunctionRecursionConfig": put_function_recursion_config,
}

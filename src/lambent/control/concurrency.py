"""The resource reserved concurrency: PutFunctionConcurrency, GetFunctionConcurrency, DeleteFunctionConcurrency.

It is of the function as a whole. Invocations are held to it from the answer on (`lambent.core.admission`).
"""

import sqlite3
from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import named_unqualified, not_found
from lambent.core.concurrency import check_reservation
from lambent.core.function import LATEST, FunctionName
from lambent.store import concurrency, functions, provisioned_concurrency
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def put_function_concurrency(deps: Control, call: Call) -> dict[str, Any]:
    function, wanted = named_unqualified(call), call.params["ReservedConcurrentExecutions"]

    def transaction(connection: WritingConnection) -> None:
        # Of these three operations, this one tells the function that it misses with its qualifier.
        _require_function(connection, function, LATEST)
        unreserved = deps.concurrency_limit - concurrency.claimed(connection, function.account, function.region)
        check_reservation(
            wanted,
            concurrency.get(connection, function),
            provisioned=provisioned_concurrency.total(connection, function),
            unreserved=unreserved,
        )
        concurrency.put(connection, function, wanted)

    await deps.store.run(transaction)
    return {"ReservedConcurrentExecutions": wanted}


async def get_function_concurrency(deps: Control, call: Call) -> dict[str, Any]:
    function = named_unqualified(call)

    def query(connection: sqlite3.Connection) -> int | None:
        _require_function(connection, function)
        return concurrency.get(connection, function)

    return {"ReservedConcurrentExecutions": await deps.store.read(query)}


async def delete_function_concurrency(deps: Control, call: Call) -> dict[str, Any]:
    """Where nothing is reserved, the answer is the same."""
    function = named_unqualified(call)

    def transaction(connection: WritingConnection) -> None:
        _require_function(connection, function)
        concurrency.delete(connection, function)

    await deps.store.run(transaction)
    return {}


def _require_function(connection: sqlite3.Connection, function: FunctionName, qualifier: str | None = None) -> None:
    if functions.get(connection, function) is None:
        raise not_found(function, qualifier)


OPERATIONS: dict[str, ControlOperation] = {
    "PutFunctionConcurrency": put_function_concurrency,
    "GetFunctionConcurrency": get_function_concurrency,
    "DeleteFunctionConcurrency": delete_function_concurrency,
}

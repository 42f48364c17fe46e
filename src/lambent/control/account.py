"""The account's limits and what it uses of them: GetAccountSettings."""

from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.core.limits import CODE_STORAGE_BYTES, UNZIPPED_BYTES, ZIPPED_BYTES
from lambent.store.usage import usage
from lambent.wire.call import Call


async def get_account_settings(deps: Control, call: Call) -> dict[str, Any]:
    """All concurrency is unreserved: no function can reserve any yet."""
    used = await deps.store.read(lambda connection: usage(connection, call.caller.account, call.region))
    return {
        "AccountLimit": {
            "TotalCodeSize": CODE_STORAGE_BYTES,
            "CodeSizeUnzipped": UNZIPPED_BYTES,
            "CodeSizeZipped": ZIPPED_BYTES,
            "ConcurrentExecutions": deps.concurrency_limit,
            "UnreservedConcurrentExecutions": deps.concurrency_limit,
        },
        "AccountUsage": {"TotalCodeSize": used.code_bytes, "FunctionCount": used.functions},
    }


OPERATIONS: dict[str, ControlOperation] = {"GetAccountSettings": get_account_settings}

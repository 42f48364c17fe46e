"""The account's limits and what it uses of them: GetAccountSettings."""

from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.core.limits import CODE_STORAGE_BYTES, UNZIPPED_BYTES, ZIPPED_BYTES
from lambent.store import concurrency
from lambent.store.usage import usage
from lambent.wire.call import Call


async def get_account_settings(deps: Control, call: Call) -> dict[str, Any]:
    account, region = call.caller.account, call.region
    used, claimed = await deps.store.read(
        lambda connection: (usage(connection, account, region), concurrency.claimed(connection, account, region))
    )
    return {
        "AccountLimit": {
            "TotalCodeSize": CODE_STORAGE_BYTES,
            "CodeSizeUnzipped": UNZIPPED_BYTES,
            "CodeSizeZipped": ZIPPED_BYTES,
            "ConcurrentExecutions": deps.concurrency_limit,
            # Reservations may be from a time when the server's limit was larger.
            "UnreservedConcurrentExecutions": max(0, deps.concurrency_limit - claimed),
        },
        "AccountUsage": {"TotalCodeSize": used.code_bytes, "FunctionCount": used.functions},
    }


OPERATIONS: dict[str, ControlOperation] = {"GetAccountSettings": get_account_settings}

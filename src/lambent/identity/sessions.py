"""STS GetCallerIdentity."""

from collections.abc import Mapping
from typing import Any

from lambent.wire.call import Call


async def get_caller_identity(call: Call) -> Mapping[str, Any]:
    caller = call.caller
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}


OPERATIONS = {"GetCallerIdentity": get_caller_identity}

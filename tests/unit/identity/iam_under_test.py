"""Calls of IAM operations without the server."""

from collections.abc import Mapping
from typing import Any

from lambent.core.caller import Caller
from lambent.identity.authentication import root_of
from lambent.wire.call import Call, Operation

ACCOUNT = "123456789012"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
    '"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}'
)
PERMISSIONS = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'


def call_of(operation: str, caller: Caller, params: Mapping[str, Any]) -> Call:
    return Call(
        service="iam",
        operation=operation,
        params=params,
        caller=caller,
        region="us-east-1",
        partition="aws",
        request_id="r",
        endpoint="http://127.0.0.1:4566",
        headers={},
    )


class Iam:
    """`ask` calls an operation as the root of an account."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations

    async def ask(self, operation: str, account: str = ACCOUNT, **params: Any) -> Mapping[str, Any]:
        answer = await self._operations[operation](call_of(operation, root_of(account), params))
        assert isinstance(answer, Mapping)
        return answer

    async def create(self, name: str, **params: Any) -> Mapping[str, Any]:
        role: Mapping[str, Any] = (
            await self.ask("CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST, **params)
        )["Role"]
        return role

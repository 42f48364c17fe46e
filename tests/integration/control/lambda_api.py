"""What the tests of the Lambda API's resources share: functions with versions, and how a refusal reads."""

import io
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
REGION = "us-east-1"
ARNS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
CODE = "def handler(event, context):\n    return [context.function_version, context.invoked_function_arn]\n"
TELLS_LATEST = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API "


def role_of(account: str) -> str:
    return f"arn:aws:iam::{account}:role/runner"


ROLE = role_of(ACCOUNT)


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


def zipped(text: str = CODE) -> bytes:
    """The same bytes whenever it is asked for: of the archive's own time, not of now."""
    member = zipfile.ZipInfo("app.py")
    member.external_attr = 0o600 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()


def clients(server: Any, **where: Any) -> Any:
    """A client that leaves all validation to the server."""
    return server.client("lambda", parameter_validation=False, **where)


def account_of(api: Any) -> str:
    """The account that a client asks for."""
    return str(api._request_signer._credentials.access_key)


def make_function(api: Any, name: str, versions: int = 0, **members: Any) -> str:
    """An active function with so many published versions. Returns its ARN."""
    created = api.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Role": role_of(account_of(api)),
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped()},
            **members,
        }
    )
    settle(api, name)
    for number in range(1, versions + 1):
        reconfigure(api, name, Description=f"version {number}")
        assert api.publish_version(FunctionName=name)["Version"] == str(number)
    return str(created["FunctionArn"])


def reconfigure(api: Any, name: str, **members: Any) -> None:
    api.update_function_configuration(FunctionName=name, **members)
    settle(api, name)


def settle(api: Any, name: str) -> None:
    quick = {"Delay": 0.02, "MaxAttempts": 1500}
    api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=quick)
    api.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=quick)


def told_everywhere(api: Any, name: str, member: str) -> Any:
    """A member of the configuration, which every operation that tells of it must tell alike."""
    listed = api.get_paginator("list_functions").paginate().build_full_result()
    every = [
        api.get_function_configuration(FunctionName=name),
        api.get_function(FunctionName=name)["Configuration"],
        *(each for each in listed["Functions"] if each["FunctionName"] == name),
        *(
            each
            for each in api.list_versions_by_function(FunctionName=name)["Versions"]
            if each["Version"] == "$LATEST"
        ),
    ]
    found = [answer.get(member) for answer in every]
    assert len(found) == 4
    assert found == found[:1] * 4
    return found[0]


def shape(answer: dict[str, Any]) -> dict[str, Any]:
    """All that the answer's body has."""
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def status(answer: dict[str, Any]) -> int:
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    message: str
    fault: str | None


def refusal(operation: Callable[..., Any], **params: Any) -> Refusal:
    """How the server refuses the call, which it must."""
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        operation(**params)
    response = raised.value.response
    return Refusal(
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
        response.get("Type"),
    )


def not_found(message: str) -> Refusal:
    return Refusal(404, "ResourceNotFoundException", message, "User")


def invalid(message: str) -> Refusal:
    return Refusal(400, "InvalidParameterValueException", message, "User")


def conflict(message: str) -> Refusal:
    return Refusal(409, "ResourceConflictException", message, "User")


def broken_constraint(found: Refusal, *texts: str) -> None:
    """The model's own validation refused, with these texts among its own."""
    assert (found.status, found.code, found.fault) == (400, "ValidationException", None)
    for text in texts:
        assert text in found.message


def is_recent(wall_s: float) -> bool:
    return abs(time.time() - wall_s) < 120

"""Whole answers of the Lambda API, to be compared as they are: what the server alone decides is known by its form."""

import base64
import hashlib
import re
from datetime import datetime
from typing import Any

from lambda_api import ARNS, REGION, ROLE, is_recent, zipped


class Form:
    """Equal to every text that has the form."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._pattern.fullmatch(other) is not None

    def __repr__(self) -> str:
        return f"Form({self._pattern.pattern!r})"


class Recently:
    """Equal to every moment that is near."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, datetime) and is_recent(other.timestamp())

    def __repr__(self) -> str:
        return "Recently()"


ID = Form(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = Form(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
TIME_OF_URL = Form(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TIME_IN_SECONDS = Form(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000")
URL = Form(rf"https://[a-z0-9]{{32}}\.lambda-url\.{REGION}\.on\.aws/")
CODE_LINK = Form(r"http://127\.0\.0\.1:\d+/\S+")
RUNTIME_VERSION = Form(rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}")
NOW = Recently()

PENDING = {"State": "Pending", "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
ACTIVE = {"State": "Active", "LastUpdateStatus": "Successful"}
UPDATING = {
    "State": "Active",
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}


def code(archive: bytes) -> dict[str, Any]:
    """What is told of the code of a function, or of a layer."""
    return {"CodeSize": len(archive), "CodeSha256": base64.b64encode(hashlib.sha256(archive).digest()).decode()}


def configuration(name: str, **members: Any) -> dict[str, Any]:
    """A function for which nothing was asked that it need not have, in the answer about it alone."""
    return {**listed(name, **members), "RuntimeVersionConfig": {"RuntimeVersionArn": RUNTIME_VERSION}}


def listed(name: str, **members: Any) -> dict[str, Any]:
    """The same function in a list."""
    return {
        "FunctionName": name,
        "FunctionArn": ARNS + name,
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "app.handler",
        **code(zipped()),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": TIME,
        "RevisionId": ID,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        **members,
    }

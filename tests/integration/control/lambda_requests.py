"""A valid request for each operation of the Lambda API that Lambent answers, and what these name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from lambda_api import ACCOUNT, ARNS, REGION, ROLE, make_function, unique, zipped

PYTHON = "python3.11"
SIGNER = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"


@dataclass(frozen=True)
class World:
    """A function with all that can hang on it, by name. `made` has what the server gave names to."""

    function: str = field(default_factory=lambda: unique("walked"))
    alias: str = field(default_factory=lambda: unique("alias"))
    layer: str = field(default_factory=lambda: unique("layer"))
    statement: str = field(default_factory=lambda: unique("statement"))
    queue: str = field(default_factory=lambda: f"arn:aws:sqs:{REGION}:{ACCOUNT}:{unique('queue')}")
    tag: str = field(default_factory=lambda: unique("tag"))
    made: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return ARNS + self.function

    @property
    def alias_arn(self) -> str:
        return f"{self.arn}:{self.alias}"


def requests(at: World, new: World) -> Mapping[str, dict[str, Any]]:
    """By operation, in an order in which all are accepted one after another: what makes something makes it under the
    names of `new`, everything else is about what `at` has and, at the end, takes it away."""
    function = {"FunctionName": at.function}
    alias = {**function, "Qualifier": at.alias}
    layer = {"LayerName": at.layer, "VersionNumber": 1}
    signing = {"CodeSigningConfigArn": at.made.get("CodeSigningConfigArn")}
    mapping = {"UUID": at.made.get("UUID")}
    return {
        # What makes something.
        "CreateFunction": {
            "FunctionName": new.function,
            "Runtime": PYTHON,
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped()},
        },
        "PublishVersion": dict(function),
        "CreateAlias": {**function, "Name": new.alias, "FunctionVersion": "1"},
        "PublishLayerVersion": {"LayerName": new.layer, "Content": {"ZipFile": zipped()}},
        "AddLayerVersionPermission": {
            **layer,
            "StatementId": new.statement,
            "Action": "lambda:GetLayerVersion",
            "Principal": "*",
        },
        "AddPermission": {
            **function,
            "StatementId": new.statement,
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
        },
        "CreateCodeSigningConfig": {"AllowedPublishers": {"SigningProfileVersionArns": [SIGNER]}},
        "CreateEventSourceMapping": {**function, "EventSourceArn": new.queue},
        "CreateFunctionUrlConfig": {**function, "AuthType": "NONE"},
        "PutFunctionCodeSigningConfig": {**function, **signing},
        "PutFunctionConcurrency": {**function, "ReservedConcurrentExecutions": 7},
        "PutFunctionEventInvokeConfig": {**alias, "MaximumRetryAttempts": 1},
        "PutFunctionRecursionConfig": {**function, "RecursiveLoop": "Allow"},
        "PutProvisionedConcurrencyConfig": {**alias, "ProvisionedConcurrentExecutions": 2},
        "PutResourcePolicy": {"ResourceArn": at.alias_arn, "Policy": policy(at.alias_arn)},
        "PutRuntimeManagementConfig": {**function, "UpdateRuntimeOn": "FunctionUpdate"},
        "TagResource": {"Resource": at.arn, "Tags": {new.tag: "value"}},
        # What tells.
        "GetAccountSettings": {},
        "GetAlias": {**function, "Name": at.alias},
        "GetCodeSigningConfig": dict(signing),
        "GetEventSourceMapping": dict(mapping),
        "GetFunction": dict(function),
        "GetFunctionCodeSigningConfig": dict(function),
        "GetFunctionConcurrency": dict(function),
        "GetFunctionConfiguration": dict(function),
        "GetFunctionEventInvokeConfig": dict(alias),
        "GetFunctionRecursionConfig": dict(function),
        "GetFunctionUrlConfig": dict(alias),
        "GetLayerVersion": dict(layer),
        "GetLayerVersionByArn": {"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{at.layer}:1"},
        "GetLayerVersionPolicy": dict(layer),
        "GetPolicy": dict(function),
        "GetProvisionedConcurrencyConfig": dict(alias),
        "GetResourcePolicy": {"ResourceArn": at.alias_arn},
        "GetRuntimeManagementConfig": dict(function),
        "Invoke": {**function, "Payload": b"{}"},
        "InvokeAsync": {**function, "InvokeArgs": b"{}"},
        "ListAliases": dict(function),
        "ListCodeSigningConfigs": {},
        "ListEventSourceMappings": dict(function),
        "ListFunctionEventInvokeConfigs": dict(function),
        "ListFunctionUrlConfigs": dict(function),
        "ListFunctions": {},
        "ListFunctionsByCodeSigningConfig": dict(signing),
        "ListLayerVersions": {"LayerName": at.layer},
        "ListLayers": {},
        "ListProvisionedConcurrencyConfigs": dict(function),
        "ListTags": {"Resource": at.arn},
        "ListVersionsByFunction": dict(function),
        # What changes something.
        "UpdateAlias": {**function, "Name": at.alias, "Description": "changed"},
        "UpdateCodeSigningConfig": {**signing, "Description": "changed"},
        "UpdateEventSourceMapping": {**mapping, "BatchSize": 3},
        "UpdateFunctionCode": {**function, "ZipFile": zipped("handler = print\n")},
        "UpdateFunctionConfiguration": {**function, "Description": "changed"},
        "UpdateFunctionEventInvokeConfig": {**alias, "MaximumRetryAttempts": 0},
        "UpdateFunctionUrlConfig": {**alias, "AuthType": "AWS_IAM"},
        # What takes it away.
        "UntagResource": {"Resource": at.arn, "TagKeys": [at.tag]},
        "RemovePermission": {**function, "StatementId": at.statement},
        "RemoveLayerVersionPermission": {**layer, "StatementId": at.statement},
        "DeleteResourcePolicy": {"ResourceArn": at.alias_arn},
        "DeleteProvisionedConcurrencyConfig": dict(alias),
        "DeleteFunctionUrlConfig": dict(alias),
        "DeleteFunctionEventInvokeConfig": dict(alias),
        "DeleteFunctionConcurrency": dict(function),
        "DeleteFunctionCodeSigningConfig": dict(function),
        "DeleteCodeSigningConfig": dict(signing),
        "DeleteEventSourceMapping": dict(mapping),
        "DeleteLayerVersion": dict(layer),
        "DeleteAlias": {**function, "Name": at.alias},
        "DeleteFunction": dict(function),
    }


MAKES = (
    "PublishVersion",
    "CreateAlias",
    "PublishLayerVersion",
    "AddLayerVersionPermission",
    "AddPermission",
    "CreateCodeSigningConfig",
    "CreateEventSourceMapping",
    "CreateFunctionUrlConfig",
    "PutFunctionCodeSigningConfig",
    "PutFunctionConcurrency",
    "PutFunctionEventInvokeConfig",
    "PutProvisionedConcurrencyConfig",
    "PutResourcePolicy",
    "TagResource",
)
"""What, beside CreateFunction, makes what a world has."""


def policy(resource: str) -> str:
    statement = {
        "Sid": "whole",
        "Effect": "Allow",
        "Principal": {"AWS": "444455556666"},
        "Action": "lambda:InvokeFunction",
        "Resource": resource,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def method(operation: str) -> str:
    """By which boto3's client is asked for the operation."""
    return str(xform_name(operation))


def make(api: Any, world: World) -> None:
    """Make all that the world has."""
    make_function(api, world.function)
    for operation in MAKES:
        params = requests(world, world)[operation]
        if operation == "CreateFunctionUrlConfig":
            params["Qualifier"] = world.alias
        answer = getattr(api, method(operation))(**params)
        if operation == "CreateCodeSigningConfig":
            world.made["CodeSigningConfigArn"] = answer["CodeSigningConfig"]["CodeSigningConfigArn"]
        elif operation == "CreateEventSourceMapping":
            world.made["UUID"] = answer["UUID"]

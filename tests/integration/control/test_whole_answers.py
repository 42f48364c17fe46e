"""The whole answer of every operation of the Lambda API, from the making of a thing to its end, as boto3 reads it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from answer_forms import (
    ACTIVE,
    CODE_LINK,
    ID,
    NOW,
    PENDING,
    TIME,
    TIME_IN_SECONDS,
    TIME_OF_URL,
    UPDATING,
    URL,
    Form,
    code,
    configuration,
    listed,
)
from lambda_api import ACCOUNT, REGION, clients, shape, zipped
from lambda_requests import SIGNER, World, make, method, policy, requests
from live_functions import eventually
from stored_state import stored_state

LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:"
AT = World("there", "alias-1", "layer-1", "statement-1", f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue-1", "tag-1")
NEW = World("there-too", "alias-2", "layer-2", "statement-2", f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue-2", "tag-2")
NOTHING: dict[str, Any] = {}


def alias(name: str, **members: Any) -> dict[str, Any]:
    return {
        "AliasArn": f"{AT.arn}:{name}",
        "Name": name,
        "FunctionVersion": "1",
        "Description": "",
        "RevisionId": ID,
        **members,
    }


def layer_version(name: str) -> dict[str, Any]:
    return {"LayerVersionArn": f"{LAMBDA}layer:{name}:1", "Version": 1, "Description": "", "CreatedDate": TIME}


def layer(name: str) -> dict[str, Any]:
    return {
        **layer_version(name),
        "LayerArn": f"{LAMBDA}layer:{name}",
        "Content": {"Location": CODE_LINK, **code(zipped())},
    }


def newest_of_layer(name: str) -> dict[str, Any]:
    return {"LayerName": name, "LayerArn": f"{LAMBDA}layer:{name}", "LatestMatchingVersion": layer_version(name)}


def layer_statement(sid: str) -> str:
    return (
        f'{{"Sid":"{sid}","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion",'
        f'"Resource":"{LAMBDA}layer:{AT.layer}:1"}}'
    )


def statement(sid: str) -> str:
    return (
        f'{{"Sid":"{sid}","Effect":"Allow","Principal":{{"Service":"s3.amazonaws.com"}},'
        f'"Action":"lambda:InvokeFunction","Resource":"{AT.arn}"}}'
    )


def document(*statements: str) -> str:
    return f'{{"Version":"2012-10-17","Id":"default","Statement":[{",".join(statements)}]}}'


def signing(world: World, **members: Any) -> dict[str, Any]:
    arn = world.made["CodeSigningConfigArn"]
    return {
        "CodeSigningConfigId": arn.rpartition(":")[2],
        "CodeSigningConfigArn": arn,
        "Description": "",
        "AllowedPublishers": {"SigningProfileVersionArns": [SIGNER]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
        "LastModified": TIME,
        **members,
    }


def mapping(world: World, state: str, **members: Any) -> dict[str, Any]:
    return {
        "UUID": world.made["UUID"],
        "EventSourceMappingArn": f"{LAMBDA}event-source-mapping:{world.made['UUID']}",
        "EventSourceArn": world.queue,
        "FunctionArn": AT.arn,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "LastModified": NOW,
        "State": state,
        "StateTransitionReason": "USER_INITIATED",
        **members,
    }


def url(arn: str, **members: Any) -> dict[str, Any]:
    return {
        "FunctionUrl": URL,
        "FunctionArn": arn,
        "AuthType": "NONE",
        "CreationTime": TIME_OF_URL,
        "LastModifiedTime": TIME_OF_URL,
        "InvokeMode": "BUFFERED",
        **members,
    }


def event_invoke(attempts: int) -> dict[str, Any]:
    return {
        "FunctionArn": AT.alias_arn,
        "MaximumRetryAttempts": attempts,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
        "LastModified": NOW,
    }


def provisioned(status: str, there: int) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": there,
        "AvailableProvisionedConcurrentExecutions": there,
        "Status": status,
        "LastModified": TIME_IN_SECONDS,
    }


def by(member: str, *items: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item[member]))


FIRST = {"FunctionArn": f"{AT.arn}:1", "Version": "1"}
CHANGED = "handler = print\n"
"""The code of the update that lambda_requests asks for."""
COMPACT = json.dumps(json.loads(policy(AT.alias_arn)), separators=(",", ":"))
POLICY = {"Policy": COMPACT, "RevisionId": ID}
TAGS = {AT.tag: "value", NEW.tag: "value"}
RESERVED = {"ReservedConcurrentExecutions": 7}
OF_RUNTIME = {"UpdateRuntimeOn": "FunctionUpdate", "FunctionArn": AT.arn}


def answers() -> Mapping[str, Any]:
    """By operation, in the order of `requests`; called when both worlds have all that the server names."""
    config_of_function = {"CodeSigningConfigArn": AT.made["CodeSigningConfigArn"], "FunctionName": AT.function}
    return {
        "CreateFunction": configuration(NEW.function, **PENDING),
        # Nothing has changed since the first was published.
        "PublishVersion": configuration(AT.function, **FIRST, **ACTIVE),
        "CreateAlias": alias(NEW.alias),
        "PublishLayerVersion": layer(NEW.layer),
        "AddLayerVersionPermission": {"Statement": layer_statement(NEW.statement), "RevisionId": ID},
        "AddPermission": {"Statement": statement(NEW.statement)},
        "CreateCodeSigningConfig": {"CodeSigningConfig": signing(NEW)},
        "CreateEventSourceMapping": mapping(NEW, "Creating"),
        "CreateFunctionUrlConfig": {
            member: value for member, value in url(AT.arn).items() if member not in ("LastModifiedTime", "InvokeMode")
        },
        "PutFunctionCodeSigningConfig": config_of_function,
        "PutFunctionConcurrency": RESERVED,
        "PutFunctionEventInvokeConfig": event_invoke(1),
        "PutFunctionRecursionConfig": {"RecursiveLoop": "Allow"},
        "PutProvisionedConcurrencyConfig": provisioned("IN_PROGRESS", 0),
        "PutResourcePolicy": POLICY,
        "PutRuntimeManagementConfig": OF_RUNTIME,
        "TagResource": NOTHING,
        "GetAccountSettings": {
            "AccountLimit": {
                "TotalCodeSize": 80530636800,
                "CodeSizeUnzipped": 262144000,
                "CodeSizeZipped": 52428800,
                "ConcurrentExecutions": 1000,
                "UnreservedConcurrentExecutions": 993,
            },
            # Of two functions, a version and two layers.
            "AccountUsage": {"TotalCodeSize": 5 * len(zipped()), "FunctionCount": 2},
        },
        "GetAlias": alias(AT.alias),
        "GetCodeSigningConfig": {"CodeSigningConfig": signing(AT)},
        "GetEventSourceMapping": mapping(AT, "Enabled"),
        "GetFunction": {
            "Configuration": configuration(AT.function, **ACTIVE),
            "Code": {"RepositoryType": "S3", "Location": CODE_LINK},
            "Tags": TAGS,
            "Concurrency": RESERVED,
        },
        "GetFunctionCodeSigningConfig": config_of_function,
        "GetFunctionConcurrency": RESERVED,
        "GetFunctionConfiguration": configuration(AT.function, **ACTIVE),
        "GetFunctionEventInvokeConfig": event_invoke(1),
        "GetFunctionRecursionConfig": {"RecursiveLoop": "Allow"},
        "GetFunctionUrlConfig": url(AT.alias_arn),
        "GetLayerVersion": layer(AT.layer),
        "GetLayerVersionByArn": layer(AT.layer),
        "GetLayerVersionPolicy": {
            "Policy": document(layer_statement(AT.statement), layer_statement(NEW.statement)),
            "RevisionId": ID,
        },
        "GetPolicy": {"Policy": document(statement(AT.statement), statement(NEW.statement)), "RevisionId": ID},
        "GetProvisionedConcurrencyConfig": provisioned("READY", 2),
        "GetResourcePolicy": POLICY,
        "GetRuntimeManagementConfig": OF_RUNTIME,
        "Invoke": {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": ["$LATEST", AT.arn]},
        "InvokeAsync": {"Status": 202},
        "ListAliases": {"Aliases": [alias(AT.alias), alias(NEW.alias)]},
        "ListCodeSigningConfigs": {"CodeSigningConfigs": by("CodeSigningConfigArn", signing(AT), signing(NEW))},
        "ListEventSourceMappings": {"EventSourceMappings": by("UUID", mapping(AT, "Enabled"), mapping(NEW, "Enabled"))},
        "ListFunctionEventInvokeConfigs": {"FunctionEventInvokeConfigs": [event_invoke(1)]},
        "ListFunctionUrlConfigs": {"FunctionUrlConfigs": [url(AT.arn), url(AT.alias_arn)]},
        "ListFunctions": {"Functions": [listed(AT.function), listed(NEW.function)]},
        "ListFunctionsByCodeSigningConfig": {"FunctionArns": [AT.arn]},
        "ListLayerVersions": {"LayerVersions": [layer_version(AT.layer)]},
        "ListLayers": {"Layers": [newest_of_layer(AT.layer), newest_of_layer(NEW.layer)]},
        "ListProvisionedConcurrencyConfigs": {
            "ProvisionedConcurrencyConfigs": [{"FunctionArn": AT.alias_arn, **provisioned("READY", 2)}]
        },
        "ListTags": {"Tags": TAGS},
        "ListVersionsByFunction": {
            "Versions": [listed(AT.function, FunctionArn=f"{AT.arn}:$LATEST"), listed(AT.function, **FIRST)]
        },
        "UpdateAlias": alias(AT.alias, Description="changed"),
        "UpdateCodeSigningConfig": {"CodeSigningConfig": signing(AT, Description="changed")},
        "UpdateEventSourceMapping": mapping(AT, "Updating", BatchSize=3),
        "UpdateFunctionCode": configuration(AT.function, **code(zipped(CHANGED)), **UPDATING),
        "UpdateFunctionConfiguration": configuration(
            AT.function, **code(zipped(CHANGED)), **UPDATING, Description="changed"
        ),
        "UpdateFunctionEventInvokeConfig": event_invoke(0),
        "UpdateFunctionUrlConfig": url(AT.alias_arn, AuthType="AWS_IAM"),
        "UntagResource": NOTHING,
        "RemovePermission": NOTHING,
        "RemoveLayerVersionPermission": NOTHING,
        "DeleteResourcePolicy": NOTHING,
        "DeleteProvisionedConcurrencyConfig": NOTHING,
        "DeleteFunctionUrlConfig": NOTHING,
        "DeleteFunctionEventInvokeConfig": NOTHING,
        "DeleteFunctionConcurrency": NOTHING,
        "DeleteFunctionCodeSigningConfig": NOTHING,
        "DeleteCodeSigningConfig": NOTHING,
        "DeleteEventSourceMapping": mapping(AT, "Deleting", BatchSize=3),
        "DeleteLayerVersion": NOTHING,
        "DeleteAlias": NOTHING,
        # boto3 reads it from the status: the body is empty.
        "DeleteFunction": {"StatusCode": 204},
    }


@pytest.fixture(scope="module")
def told(new_server: Any) -> dict[str, dict[str, Any]]:
    """What the server answers to every request, one after another; each when it has settled the one before."""
    told: dict[str, dict[str, Any]] = {}
    with new_server() as server, stored_state(server.data_dir) as stored:
        api = clients(server)
        make(api, AT)
        for name, params in requests(AT, NEW).items():
            stored.at_rest()
            if name == "GetProvisionedConcurrencyConfig":
                eventually(lambda params=params: is_ready(api, params))
            told[name] = shape(getattr(api, method(name))(**params))
            if name == "Invoke":
                told[name]["Payload"] = json.loads(told[name]["Payload"].read())
    NEW.made["CodeSigningConfigArn"] = told["CreateCodeSigningConfig"]["CodeSigningConfig"]["CodeSigningConfigArn"]
    NEW.made["UUID"] = told["CreateEventSourceMapping"]["UUID"]
    return told


def is_ready(api: Any, params: dict[str, Any]) -> bool:
    return bool(api.get_provisioned_concurrency_config(**params)["Status"] == "READY")


@pytest.mark.parametrize("name", requests(World(), World()))
def test_the_answer_is_the_whole_of_awss(told: dict[str, dict[str, Any]], name: str) -> None:
    assert told[name] == answers()[name]


def test_what_the_server_names_is_of_awss_form(told: dict[str, dict[str, Any]]) -> None:
    for world in (AT, NEW):
        assert world.made == {
            "CodeSigningConfigArn": Form(f"{LAMBDA}code-signing-config:csc-[a-z0-9]{{17}}"),
            "UUID": ID,
        }
    urls = [found["FunctionUrl"] for found in told["ListFunctionUrlConfigs"]["FunctionUrlConfigs"]]
    assert urls == [
        told["CreateFunctionUrlConfig"]["FunctionUrl"],
        told["GetFunctionUrlConfig"]["FunctionUrl"],
    ]
    assert told["UpdateFunctionUrlConfig"]["FunctionUrl"] == urls[1]

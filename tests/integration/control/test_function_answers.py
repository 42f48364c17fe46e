"""All that the answers about a function have, seen with boto3: what is there, what is not, and what it is at first."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import ARNS, REGION, ROLE, settle, shape, status, unique, zipped

RUNTIME_VERSION = re.compile(rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}")
MODIFIED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
REVISION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PENDING = {"State": "Pending", "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
ACTIVE = {"State": "Active", "LastUpdateStatus": "Successful"}
UPDATING = {
    "State": "Active",
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}


@pytest.fixture
def name(api: Any) -> Iterator[str]:
    name = unique("answers")
    yield name
    api.delete_function(FunctionName=name)


def create(api: Any, name: str, **members: Any) -> dict[str, Any]:
    created = api.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped()},
        **members,
    )
    assert status(created) == 201
    return shape(created)


def expected(name: str, **members: Any) -> dict[str, Any]:
    """A function for which nothing was asked that it need not have."""
    return {
        "FunctionName": name,
        "FunctionArn": ARNS + name,
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(zipped()),
        "CodeSha256": base64.b64encode(hashlib.sha256(zipped()).digest()).decode(),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        **members,
    }


def without_its_own(answer: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
    """The answer without what the server alone decides, which has the right form. Lists do not tell the runtime."""
    rest = dict(answer)
    assert MODIFIED.fullmatch(rest.pop("LastModified"))
    assert REVISION.fullmatch(rest.pop("RevisionId"))
    if not listed:
        runtime = rest.pop("RuntimeVersionConfig")
        assert RUNTIME_VERSION.fullmatch(runtime.pop("RuntimeVersionArn"))
        assert runtime == {}
    return rest


def test_a_new_function_is_pending_then_active_and_listed_without_its_state(api: Any, name: str) -> None:
    created = create(api, name)
    assert without_its_own(created) == expected(name, **PENDING)
    settle(api, name)
    shown = shape(api.get_function_configuration(FunctionName=name))
    assert without_its_own(shown) == expected(name, **ACTIVE)
    assert shown["RevisionId"] != created["RevisionId"]
    assert (shown["LastModified"], shown["RuntimeVersionConfig"]) == (
        created["LastModified"],
        created["RuntimeVersionConfig"],
    )
    listed = [
        each
        for page in api.get_paginator("list_functions").paginate()
        for each in page["Functions"]
        if each["FunctionName"] == name
    ]
    assert [without_its_own(each, listed=True) for each in listed] == [expected(name)]


def test_a_function_with_its_code_tags_and_concurrency(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    whole = shape(api.get_function(FunctionName=name))
    assert whole.keys() == {"Configuration", "Code"}
    assert without_its_own(whole["Configuration"]) == expected(name, **ACTIVE)
    assert whole["Code"].keys() == {"RepositoryType", "Location"}
    assert whole["Code"]["RepositoryType"] == "S3"
    api.tag_resource(Resource=ARNS + name, Tags={"team": "blue"})
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    whole = shape(api.get_function(FunctionName=name))
    assert whole.keys() == {"Configuration", "Code", "Tags", "Concurrency"}
    assert (whole["Tags"], whole["Concurrency"]) == ({"team": "blue"}, {"ReservedConcurrentExecutions": 3})


def test_the_arn_has_the_qualifier_that_was_asked_by(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    version = api.publish_version(FunctionName=name)
    assert status(version) == 201
    assert without_its_own(shape(version)) == expected(name, FunctionArn=f"{ARNS}{name}:1", Version="1", **ACTIVE)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier, number in (("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")):
        shown = api.get_function_configuration(FunctionName=name, Qualifier=qualifier)
        assert without_its_own(shape(shown)) == expected(
            name, FunctionArn=f"{ARNS}{name}:{qualifier}", Version=number, **ACTIVE
        )
    versions = shape(api.list_versions_by_function(FunctionName=name))
    assert versions.keys() == {"Versions"}
    assert [without_its_own(each, listed=True) for each in versions["Versions"]] == [
        expected(name, FunctionArn=f"{ARNS}{name}:$LATEST"),
        expected(name, FunctionArn=f"{ARNS}{name}:1", Version="1"),
    ]


def test_an_update_tells_that_it_is_under_way(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    configured = api.update_function_configuration(FunctionName=name, Description="d", Timeout=9, MemorySize=256)
    assert status(configured) == 200
    changed = {"Description": "d", "Timeout": 9, "MemorySize": 256}
    assert without_its_own(shape(configured)) == expected(name, **changed, **UPDATING)
    settle(api, name)
    code = zipped("handler = print\n")
    coded = api.update_function_code(FunctionName=name, ZipFile=code)
    assert status(coded) == 200
    changed |= {"CodeSize": len(code), "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode()}
    assert without_its_own(shape(coded)) == expected(name, **changed, **UPDATING)
    settle(api, name)
    shown = shape(api.get_function_configuration(FunctionName=name))
    assert without_its_own(shown) == expected(name, **changed, **ACTIVE)
    assert len({each["RevisionId"] for each in (configured, coded, shown)}) == 3


def test_what_was_asked_for_is_told_and_what_was_cleared_leaves_its_shape(api: Any, name: str) -> None:
    asked: dict[str, Any] = {
        "Description": "all of it",
        "Timeout": 60,
        "MemorySize": 512,
        "Environment": {"Variables": {"NAME": "value"}},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:111122223333:dead"},
        "KMSKeyArn": "arn:aws:kms:us-east-1:111122223333:key/k",
        "TracingConfig": {"Mode": "Active"},
        "EphemeralStorage": {"Size": 1024},
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "elsewhere"},
    }
    network = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    told = {
        **asked,
        "VpcConfig": {**network, "VpcId": "", "Ipv6AllowedForDualStack": False},
        "LoggingConfig": {**asked["LoggingConfig"], **levels},
    }
    assert without_its_own(create(api, name, VpcConfig=network, **asked)) == expected(name, **told, **PENDING)
    settle(api, name)
    cleared = api.update_function_configuration(
        FunctionName=name,
        Environment={},
        DeadLetterConfig={"TargetArn": ""},
        KMSKeyArn="",
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        LoggingConfig={"LogFormat": "Text"},
    )
    kept = {member: asked[member] for member in ("Description", "Timeout", "MemorySize", "TracingConfig")}
    assert without_its_own(shape(cleared)) == expected(
        name,
        **kept,
        EphemeralStorage={"Size": 1024},
        Environment={"Variables": {}},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": False},
        LoggingConfig={"LogFormat": "Text", "LogGroup": "elsewhere"},
        **UPDATING,
    )


def test_a_first_version_has_the_arn_of_the_function_in_the_answer_to_its_creation(api: Any, name: str) -> None:
    created = create(api, name, Publish=True)
    assert without_its_own(created) == expected(name, Version="1", **PENDING)
    settle(api, name)
    shown = api.get_function_configuration(FunctionName=name, Qualifier="1")
    assert without_its_own(shape(shown)) == expected(name, FunctionArn=f"{ARNS}{name}:1", Version="1", **ACTIVE)

"""All that the answers about a function have, seen with boto3: what is there, what is not, and what it is at first."""

from collections.abc import Iterator
from typing import Any

import pytest
from answer_forms import ACTIVE, CODE_LINK, PENDING, UPDATING, code, configuration, listed
from lambda_api import (
    ARNS,
    ROLE,
    clients,
    invalid,
    make_function,
    refusal,
    role_of,
    settle,
    shape,
    status,
    unique,
    zipped,
)


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


def test_a_new_function_is_pending_then_active_and_listed_without_its_state(api: Any, name: str) -> None:
    created = create(api, name)
    assert created == configuration(name, **PENDING)
    settle(api, name)
    shown = shape(api.get_function_configuration(FunctionName=name))
    assert shown == configuration(name, **ACTIVE)
    assert shown["RevisionId"] != created["RevisionId"]
    assert (shown["LastModified"], shown["RuntimeVersionConfig"]) == (
        created["LastModified"],
        created["RuntimeVersionConfig"],
    )
    found = [
        each
        for page in api.get_paginator("list_functions").paginate()
        for each in page["Functions"]
        if each["FunctionName"] == name
    ]
    assert found == [listed(name)]


def test_a_function_with_its_code_tags_and_concurrency(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    expected = {
        "Configuration": configuration(name, **ACTIVE),
        "Code": {"RepositoryType": "S3", "Location": CODE_LINK},
    }
    assert shape(api.get_function(FunctionName=name)) == expected
    api.tag_resource(Resource=ARNS + name, Tags={"team": "blue"})
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert shape(api.get_function(FunctionName=name)) == {
        **expected,
        "Tags": {"team": "blue"},
        "Concurrency": {"ReservedConcurrentExecutions": 3},
    }


def test_the_arn_has_the_qualifier_that_was_asked_by(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    version = api.publish_version(FunctionName=name)
    assert status(version) == 201
    assert shape(version) == configuration(name, FunctionArn=f"{ARNS}{name}:1", Version="1", **ACTIVE)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier, number in (("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")):
        shown = api.get_function_configuration(FunctionName=name, Qualifier=qualifier)
        assert shape(shown) == configuration(name, FunctionArn=f"{ARNS}{name}:{qualifier}", Version=number, **ACTIVE)
    versions = shape(api.list_versions_by_function(FunctionName=name))
    assert versions.keys() == {"Versions"}
    assert versions["Versions"] == [
        listed(name, FunctionArn=f"{ARNS}{name}:$LATEST"),
        listed(name, FunctionArn=f"{ARNS}{name}:1", Version="1"),
    ]


def test_an_update_tells_that_it_is_under_way(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    configured = api.update_function_configuration(FunctionName=name, Description="d", Timeout=9, MemorySize=256)
    assert status(configured) == 200
    changed = {"Description": "d", "Timeout": 9, "MemorySize": 256}
    assert shape(configured) == configuration(name, **changed, **UPDATING)
    settle(api, name)
    archive = zipped("handler = print\n")
    coded = api.update_function_code(FunctionName=name, ZipFile=archive)
    assert status(coded) == 200
    changed |= code(archive)
    assert shape(coded) == configuration(name, **changed, **UPDATING)
    settle(api, name)
    shown = shape(api.get_function_configuration(FunctionName=name))
    assert shown == configuration(name, **changed, **ACTIVE)
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
    assert create(api, name, VpcConfig=network, **asked) == configuration(name, **told, **PENDING)
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
    assert shape(cleared) == configuration(
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
    assert created == configuration(name, Version="1", **PENDING)
    settle(api, name)
    shown = api.get_function_configuration(FunctionName=name, Qualifier="1")
    assert shape(shown) == configuration(name, FunctionArn=f"{ARNS}{name}:1", Version="1", **ACTIVE)


def test_code_that_is_published_at_once_is_told_as_the_version_and_is_under_way_in_both(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    archive = zipped("handler = print\n")
    version = {"FunctionArn": f"{ARNS}{name}:1", "Version": "1"}
    published = api.update_function_code(FunctionName=name, ZipFile=archive, Publish=True)
    assert shape(published) == configuration(name, **code(archive), **version, **PENDING)
    settle(api, name)
    api.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0.02})
    shown = api.get_function_configuration(FunctionName=name, Qualifier="1")
    assert shape(shown) == configuration(name, **code(archive), **version, **ACTIVE)
    assert shape(api.get_function_configuration(FunctionName=name)) == configuration(name, **code(archive), **ACTIVE)


def test_a_dry_run_tells_what_would_be_and_makes_nothing_of_it(api: Any, name: str) -> None:
    create(api, name)
    settle(api, name)
    before = shape(api.get_function_configuration(FunctionName=name))
    archive = zipped("handler = print\n")
    tried = api.update_function_code(FunctionName=name, ZipFile=archive, Architectures=["arm64"], DryRun=True)
    assert shape(tried) == {**before, **code(archive), "Architectures": ["arm64"]}
    assert shape(api.get_function_configuration(FunctionName=name)) == before


def test_a_list_of_every_version_has_qualified_arns(server: Any) -> None:
    # An account of this test's own: the server is shared.
    api = clients(server, account="333344445555")
    arn = make_function(api, "listed", versions=1)
    every = shape(api.list_functions(FunctionVersion="ALL"))
    members = {"Description": "version 1", "Role": role_of("333344445555")}
    assert every == {
        "Functions": [
            listed("listed", **members, FunctionArn=f"{arn}:$LATEST"),
            listed("listed", **members, FunctionArn=f"{arn}:1", Version="1"),
        ]
    }
    assert shape(api.list_functions()) == {"Functions": [listed("listed", **members, FunctionArn=arn)]}
    of_edges = refusal(api.list_functions, MasterRegion="us-east-1")
    assert of_edges == invalid("With MasterRegion, FunctionVersion must be ALL.")
    assert shape(api.list_functions(MasterRegion="ALL", FunctionVersion="ALL")) == every
    # No function here is a replica of one of that region, nor of its own.
    for region in ("us-east-1", "eu-west-1"):
        assert shape(api.list_functions(MasterRegion=region, FunctionVersion="ALL")) == {"Functions": []}
    api.delete_function(FunctionName="listed")

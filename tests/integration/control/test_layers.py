"""Layers as boto3 uses them, against a running server."""

import base64
import hashlib
import re
import urllib.request
from functools import partial
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    OTHER_ACCOUNT,
    REGION,
    Refusal,
    broken_constraint,
    clients,
    invalid,
    not_found,
    refusal,
    shape,
    status,
    unique,
)
from layer_archives import archive

LAYERS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:"
CODE = archive({"python/thing.py": "VALUE = 1\n"})


@pytest.fixture
def layer() -> str:
    return unique("layer")


def publish(api: Any, layer: str, code: bytes = CODE, **members: Any) -> Any:
    return api.publish_layer_version(LayerName=layer, Content={"ZipFile": code}, **members)


def without_link(version: dict[str, Any]) -> dict[str, Any]:
    content = {member: value for member, value in version["Content"].items() if member != "Location"}
    return {**shape(version), "Content": content}


def test_a_layer_version_lives_from_publication_to_deletion(api: Any, layer: str) -> None:
    members = {
        "Description": "things",
        "LicenseInfo": "MIT",
        "CompatibleRuntimes": ["python3.11", "python3.12"],
        "CompatibleArchitectures": ["x86_64", "arm64"],
    }
    published = publish(api, layer, **members)
    assert status(published) == 201
    assert shape(published) == {
        "Content": {
            "Location": published["Content"]["Location"],
            "CodeSha256": base64.b64encode(hashlib.sha256(CODE).digest()).decode(),
            "CodeSize": len(CODE),
        },
        "LayerArn": LAYERS + layer,
        "LayerVersionArn": f"{LAYERS}{layer}:1",
        "CreatedDate": published["CreatedDate"],
        "Version": 1,
        **members,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", published["CreatedDate"])
    with urllib.request.urlopen(published["Content"]["Location"]) as response:
        assert response.read() == CODE

    for name in (layer, LAYERS + layer):
        found = api.get_layer_version(LayerName=name, VersionNumber=1)
        assert without_link(found) == without_link(published)
        with urllib.request.urlopen(found["Content"]["Location"]) as response:
            assert response.read() == CODE
    by_arn = api.get_layer_version_by_arn(Arn=f"{LAYERS}{layer}:1")
    assert without_link(by_arn) == without_link(published)

    for _ in range(2):
        deleted = api.delete_layer_version(LayerName=layer, VersionNumber=1)
        assert (status(deleted), shape(deleted)) == (204, {})
    for gone in (
        refusal(api.get_layer_version, LayerName=layer, VersionNumber=1),
        refusal(api.get_layer_version_by_arn, Arn=f"{LAYERS}{layer}:1"),
    ):
        assert gone == not_found("The resource you requested does not exist.")


def test_what_the_publisher_leaves_out_is_left_out_and_an_empty_list_is_shown(api: Any, layer: str) -> None:
    bare = publish(api, layer)
    assert bare["Description"] == ""
    assert not bare.keys() & {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"}
    empty = publish(api, layer, CompatibleRuntimes=[], CompatibleArchitectures=[])
    assert (empty["CompatibleRuntimes"], empty["CompatibleArchitectures"]) == ([], [])
    assert without_link(api.get_layer_version(LayerName=layer, VersionNumber=1)) == without_link(bare)
    assert without_link(api.get_layer_version(LayerName=layer, VersionNumber=2)) == without_link(empty)


def test_numbers_ascend_and_are_never_used_twice(api: Any, layer: str) -> None:
    assert [publish(api, layer)["Version"] for _ in range(2)] == [1, 2]
    for number in (1, 2):
        api.delete_layer_version(LayerName=layer, VersionNumber=number)
    assert publish(api, LAYERS + layer)["LayerVersionArn"] == f"{LAYERS}{layer}:3"


def test_versions_are_listed_from_the_newest_by_pages_and_by_what_they_are_compatible_with(
    api: Any, layer: str
) -> None:
    publish(api, layer, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=["x86_64"])
    publish(api, layer, CompatibleRuntimes=["nodejs20.x"], Description="two")
    publish(api, layer)

    def numbers(**members: Any) -> list[int]:
        return [version["Version"] for version in api.list_layer_versions(LayerName=layer, **members)["LayerVersions"]]

    listed = shape(api.list_layer_versions(LayerName=layer))
    assert listed["LayerVersions"][1] == {
        "LayerVersionArn": f"{LAYERS}{layer}:2",
        "Version": 2,
        "Description": "two",
        "CreatedDate": listed["LayerVersions"][1]["CreatedDate"],
        "CompatibleRuntimes": ["nodejs20.x"],
    }
    assert numbers() == [3, 2, 1]
    assert numbers(CompatibleRuntime="python3.11") == [1]
    assert numbers(CompatibleArchitecture="x86_64") == [1]
    assert numbers(CompatibleRuntime="nodejs20.x", CompatibleArchitecture="x86_64") == []
    pages = list(api.get_paginator("list_layer_versions").paginate(LayerName=layer, PaginationConfig={"PageSize": 2}))
    assert [[version["Version"] for version in page["LayerVersions"]] for page in pages] == [[3, 2], [1]]
    assert "NextMarker" not in pages[-1]
    assert shape(api.list_layer_versions(LayerName=unique("absent"))) == {"LayerVersions": []}


def test_layers_are_listed_by_name_each_with_its_newest_matching_version(server: Any) -> None:
    api = clients(server, account="666677778888")
    for name in ("b", "a", "c"):
        publish(api, name, CompatibleRuntimes=["python3.11"])
    publish(api, "a", Description="newest")
    publish(api, "gone")
    api.delete_layer_version(LayerName="gone", VersionNumber=1)

    listed = shape(api.list_layers())
    assert [found["LayerName"] for found in listed["Layers"]] == ["a", "b", "c"]
    arn = f"arn:aws:lambda:{REGION}:666677778888:layer:a"
    assert listed["Layers"][0] == {
        "LayerName": "a",
        "LayerArn": arn,
        "LatestMatchingVersion": {
            "LayerVersionArn": f"{arn}:2",
            "Version": 2,
            "Description": "newest",
            "CreatedDate": listed["Layers"][0]["LatestMatchingVersion"]["CreatedDate"],
        },
    }
    matching = api.list_layers(CompatibleRuntime="python3.11")["Layers"]
    assert [found["LatestMatchingVersion"]["Version"] for found in matching] == [1, 1, 1]
    assert api.list_layers(CompatibleArchitecture="arm64")["Layers"] == []
    pages = list(api.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 2}))
    assert [[found["LayerName"] for found in page["Layers"]] for page in pages] == [["a", "b"], ["c"]]


def test_what_is_wrong_is_refused_in_awss_words(api: Any, layer: str) -> None:
    for operation in (api.get_layer_version, api.delete_layer_version, api.get_layer_version_policy):
        for number in (0, -1):
            assert refusal(operation, LayerName=layer, VersionNumber=number) == invalid(
                "Layer Version Cannot be less than 1"
            )
    assert refusal(api.get_layer_version, LayerName=layer, VersionNumber=2**63 - 1).status == 404
    assert refusal(api.get_layer_version_by_arn, Arn=f"{LAYERS}{layer}:{'9' * 100}").status == 404
    assert refusal(api.get_layer_version_by_arn, Arn=f"{LAYERS}{layer}:0") == invalid(
        "Layer Version Cannot be less than 1"
    )
    assert refusal(api.get_layer_version_by_arn, Arn="arn:aws:lambda:::awslayer:Amazon").status == 404
    assert refusal(partial(publish, api, layer, b"no archive")) == invalid(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )
    assert refusal(partial(publish, api, layer, b"")) == invalid("Uploaded file must be a non-empty zip")
    damaged = bytearray(archive({"a.py": "x" * 100}))
    damaged[damaged.index(b"a.py") + 6] ^= 1
    assert refusal(partial(publish, api, layer, bytes(damaged))) == invalid(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )
    escaping = archive({"../../escaped": ""})
    assert refusal(partial(publish, api, layer, escaping)).code == "InvalidParameterValueException"
    for content, message in (
        ({}, "Please provide a source for function code."),
        ({"S3Key": "key"}, "S3Bucket and S3Key are needed together."),
        ({"S3Bucket": "bucket"}, "S3Bucket and S3Key are needed together."),
        (
            {"ZipFile": CODE, "S3Bucket": "bucket", "S3Key": "key"},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
        ),
    ):
        assert refusal(api.publish_layer_version, LayerName=layer, Content=content) == invalid(message)
    from_s3 = refusal(api.publish_layer_version, LayerName=layer, Content={"S3Bucket": "bucket", "S3Key": "key"})
    assert (from_s3.status, from_s3.code) == (400, "InvalidParameterValueException")
    assert shape(api.list_layer_versions(LayerName=layer)) == {"LayerVersions": []}
    assert publish(api, layer)["Version"] == 1


def test_the_models_constraints_hold(api: Any, layer: str) -> None:
    named = {"LayerName": layer, "Content": {"ZipFile": CODE}}
    for broken, text in (
        ({"LayerName": "x" * 141}, "at 'layerName'"),
        ({"LayerName": "a b"}, "at 'layerName'"),
        ({"Description": "x" * 257}, "at 'description'"),
        ({"LicenseInfo": "x" * 513}, "at 'licenseInfo'"),
        ({"CompatibleRuntimes": ["cobol"]}, "at 'compatibleRuntimes'"),
        ({"CompatibleRuntimes": ["python3.11"] * 16}, "at 'compatibleRuntimes'"),
        ({"CompatibleArchitectures": ["mips"]}, "at 'compatibleArchitectures'"),
    ):
        broken_constraint(refusal(api.publish_layer_version, **{**named, **broken}), text)
    broken_constraint(refusal(api.list_layers, CompatibleRuntime="cobol"), "at 'compatibleRuntime'")
    broken_constraint(refusal(api.list_layers, CompatibleArchitecture="mips"), "at 'compatibleArchitecture'")
    broken_constraint(refusal(api.list_layers, MaxItems=51), "at 'maxItems'")
    broken_constraint(refusal(api.list_layer_versions, LayerName=layer, MaxItems=0), "at 'maxItems'")


def test_layers_are_those_of_one_account_and_region(server: Any, api: Any, layer: str) -> None:
    publish(api, layer)
    for elsewhere in (clients(server, account=OTHER_ACCOUNT), clients(server, region="eu-west-1")):
        assert refusal(elsewhere.get_layer_version, LayerName=layer, VersionNumber=1).status == 404
        assert layer not in [found["LayerName"] for found in elsewhere.list_layers()["Layers"]]
        assert publish(elsewhere, layer)["Version"] == 1
    far = clients(server, region="eu-west-1")
    assert refusal(far.get_layer_version_by_arn, Arn=f"{LAYERS}{layer}:1").status == 404
    assert refusal(far.delete_layer_version, LayerName=LAYERS + layer, VersionNumber=1).status == 404


def granted(layer: str, **more: Any) -> dict[str, Any]:
    return {
        "LayerName": layer,
        "VersionNumber": 1,
        "StatementId": "share",
        "Action": "lambda:GetLayerVersion",
        "Principal": OTHER_ACCOUNT,
        **more,
    }


def test_a_permission_is_added_shown_and_removed_and_the_last_one_takes_the_policy_along(api: Any, layer: str) -> None:
    publish(api, layer)
    version = {"LayerName": layer, "VersionNumber": 1}
    arn = f"{LAYERS}{layer}:1"
    assert refusal(api.get_layer_version_policy, **version) == not_found(
        "No policy is associated with the given resource."
    )
    first = api.add_layer_version_permission(**granted(layer))
    statement = (
        f'{{"Sid":"share","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{OTHER_ACCOUNT}:root"}},'
        f'"Action":"lambda:GetLayerVersion","Resource":"{arn}"}}'
    )
    assert status(first) == 201
    assert shape(first) == {"Statement": statement, "RevisionId": first["RevisionId"]}
    second = api.add_layer_version_permission(
        **granted(layer, StatementId="all", Principal="*", OrganizationId="o-0123456789"),
        RevisionId=first["RevisionId"],
    )
    organisation = (
        f'{{"Sid":"all","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"{arn}",'
        '"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-0123456789"}}}'
    )
    assert second["Statement"] == organisation
    assert shape(api.get_layer_version_policy(**version)) == {
        "Policy": f'{{"Version":"2012-10-17","Id":"default","Statement":[{statement},{organisation}]}}',
        "RevisionId": second["RevisionId"],
    }

    removed = api.remove_layer_version_permission(**version, StatementId="share", RevisionId=second["RevisionId"])
    assert (status(removed), shape(removed)) == (204, {})
    assert api.get_layer_version_policy(**version)["RevisionId"] not in (first["RevisionId"], second["RevisionId"])
    api.remove_layer_version_permission(**version, StatementId="all")
    assert refusal(api.get_layer_version_policy, **version).status == 404
    assert refusal(api.remove_layer_version_permission, **version, StatementId="all") == not_found(
        "No policy is associated with the given resource."
    )


def test_a_permission_is_refused_in_awss_words(api: Any, layer: str) -> None:
    publish(api, layer)
    version = {"LayerName": layer, "VersionNumber": 1}
    arn = f"{LAYERS}{layer}:2"
    missing = not_found(f"Layer version {arn} does not exist.")
    assert refusal(api.add_layer_version_permission, **granted(layer, VersionNumber=2)) == missing
    assert refusal(api.get_layer_version_policy, LayerName=layer, VersionNumber=2) == missing
    assert (
        refusal(api.remove_layer_version_permission, LayerName=layer, VersionNumber=2, StatementId="share") == missing
    )
    stale = Refusal(
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetLayerPolicy API to retrieve the latest Revision Id",
        "User",
    )
    assert refusal(api.add_layer_version_permission, **granted(layer), RevisionId="wrong") == stale
    api.add_layer_version_permission(**granted(layer))
    before = shape(api.get_layer_version_policy(**version))
    assert refusal(api.add_layer_version_permission, **granted(layer)) == Refusal(
        409,
        "ResourceConflictException",
        "The statement id (share) provided already exists. "
        "Please provide a new statement id, or remove the existing statement.",
        "User",
    )
    assert refusal(api.add_layer_version_permission, **granted(layer, StatementId="b"), RevisionId="x") == stale
    assert refusal(api.remove_layer_version_permission, **version, StatementId="share", RevisionId="wrong") == stale
    assert refusal(api.remove_layer_version_permission, **version, StatementId="b") == not_found(
        "Statement b is not found in resource policy."
    )
    for broken, text in (
        ({"Action": "lambda:InvokeFunction"}, "at 'action'"),
        ({"Principal": "someone"}, "at 'principal'"),
        ({"StatementId": "a.b"}, "at 'statementId'"),
        ({"OrganizationId": "o-1"}, "at 'organizationId'"),
    ):
        broken_constraint(refusal(api.add_layer_version_permission, **{**granted(layer), **broken}), text)
    assert shape(api.get_layer_version_policy(**version)) == before


def test_another_account_sees_a_version_when_its_policy_lets_it_and_changes_it_never(
    server: Any, api: Any, layer: str
) -> None:
    publish(api, layer)
    arn = f"{LAYERS}{layer}:1"
    other = clients(server, account=OTHER_ACCOUNT)
    denied = refusal(other.get_layer_version_by_arn, Arn=arn)
    assert (denied.status, denied.code) == (403, "AccessDeniedException")
    assert denied.message.endswith(
        f"is not authorized to perform: lambda:GetLayerVersion on resource: {arn} "
        "because no resource-based policy allows the lambda:GetLayerVersion action"
    )
    # What is not there is not told apart.
    assert refusal(other.get_layer_version_by_arn, Arn=f"{LAYERS}{layer}:2").status == 403
    api.add_layer_version_permission(**granted(layer, Principal="*", OrganizationId="o-0123456789"))
    assert refusal(other.get_layer_version_by_arn, Arn=arn).status == 403
    api.add_layer_version_permission(**granted(layer, StatementId="named"))
    assert other.get_layer_version_by_arn(Arn=arn)["LayerVersionArn"] == arn
    assert other.get_layer_version(LayerName=LAYERS + layer, VersionNumber=1)["Version"] == 1
    third = clients(server, account="999900001111")
    assert refusal(third.get_layer_version_by_arn, Arn=arn).status == 403
    for operation, members in (
        (other.delete_layer_version, {"VersionNumber": 1}),
        (other.get_layer_version_policy, {"VersionNumber": 1}),
        (other.list_layer_versions, {}),
        (other.publish_layer_version, {"Content": {"ZipFile": CODE}}),
    ):
        assert refusal(operation, LayerName=LAYERS + layer, **members).status == 403
    assert api.get_layer_version(LayerName=layer, VersionNumber=1)["Version"] == 1


def test_a_policy_that_grows_too_long_is_refused(api: Any, layer: str) -> None:
    publish(api, layer)

    def grow() -> None:
        for number in range(200):
            api.add_layer_version_permission(**granted(layer, StatementId=f"{number:04}".ljust(100, "x")))

    too_long = refusal(grow)
    assert (too_long.status, too_long.code) == (400, "PolicyLengthExceededException")
    assert re.fullmatch(r"The final policy size \(\d+\) is bigger than the limit \(20480\)\.", too_long.message)
    assert len(api.get_layer_version_policy(LayerName=layer, VersionNumber=1)["Policy"]) <= 20480


def test_layers_and_their_policies_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    api = clients(crashing)
    made = without_link(publish(api, "kept", CompatibleRuntimes=["python3.11"]))
    publish(api, "kept")
    api.delete_layer_version(LayerName="kept", VersionNumber=2)
    api.add_layer_version_permission(**granted("kept"))
    policy = shape(api.get_layer_version_policy(LayerName="kept", VersionNumber=1))
    crashing.kill()
    crashing.start()
    try:
        api = clients(crashing)
        found = api.get_layer_version(LayerName="kept", VersionNumber=1)
        assert without_link(found) == made
        with urllib.request.urlopen(found["Content"]["Location"]) as response:
            assert response.read() == CODE
        assert shape(api.get_layer_version_policy(LayerName="kept", VersionNumber=1)) == policy
        assert publish(api, "kept")["Version"] == 3
    finally:
        assert crashing.stop() == 0

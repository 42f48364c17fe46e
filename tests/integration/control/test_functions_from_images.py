"""Functions whose code is a container image: kept as AWS keeps them, and Failed, since nothing runs them yet."""

from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    ROLE,
    conflict,
    invalid,
    make_function,
    refusal,
    shape,
    status,
    unique,
    zipped,
)

REPOSITORY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/team/app"
TAGGED = f"{REPOSITORY}:v1"
DIGEST = "0a" * 32
BY_DIGEST = f"{REPOSITORY}@sha256:{DIGEST}"
CONFIG = {"EntryPoint": ["/app/run"], "Command": ["app.handler", "--fast"], "WorkingDirectory": "/app"}
NOT_RUN = "Lambent can not run container images yet: see docs/compatibility.md. "
WAIT = {"Delay": 0.02, "MaxAttempts": 500}


def creation(name: str, **members: Any) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Role": ROLE,
        "PackageType": "Image",
        "Code": {"ImageUri": TAGGED},
        **members,
    }


def settle(api: Any, name: str) -> dict[str, Any]:
    """How the function is when the work on it has ended, as it must: in failure."""
    for waiter in ("function_active_v2", "function_updated_v2"):
        with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
            api.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=WAIT)
    return shape(api.get_function_configuration(FunctionName=name))


@pytest.fixture
def name(api: Any) -> Iterator[str]:
    made = unique("image")
    yield made
    api.delete_function(FunctionName=made)


def test_a_function_from_an_image_is_kept_whole_and_fails_with_the_reason(api: Any, name: str) -> None:
    created = api.create_function(**creation(name, ImageConfig=CONFIG, Environment={"Variables": {"MODE": "1"}}))
    assert (status(created), created["State"], created["StateReasonCode"]) == (201, "Pending", "Creating")
    after = settle(api, name)
    assert after.pop("StateReason").startswith(NOT_RUN)
    assert after.pop("LastUpdateStatusReason").startswith(NOT_RUN)
    changing = {"RevisionId", "LastModified"}
    assert {member: value for member, value in after.items() if member not in changing} == {
        "FunctionName": name,
        "FunctionArn": ARNS + name,
        "Role": ROLE,
        "CodeSize": 0,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Image",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        "Environment": {"Variables": {"MODE": "1"}},
        "ImageConfigResponse": {"ImageConfig": CONFIG},
        "State": "Failed",
        "StateReasonCode": "InvalidImage",
        "LastUpdateStatus": "Failed",
        "LastUpdateStatusReasonCode": "InvalidImage",
    }
    listed = [one for one in api.list_functions()["Functions"] if one["FunctionName"] == name]
    assert [one["PackageType"] for one in listed] == ["Image"]
    assert "Runtime" not in listed[0]
    failed = "The operation cannot be performed at this time. The function is currently in the following state: Failed"
    assert refusal(api.invoke, FunctionName=name) == conflict(failed)


def test_get_function_tells_the_image_and_resolves_it_where_it_is_named_by_digest(api: Any, name: str) -> None:
    api.create_function(**creation(name))
    assert api.get_function(FunctionName=name)["Code"] == {"RepositoryType": "ECR", "ImageUri": TAGGED}
    settle(api, name)
    tried = api.update_function_code(FunctionName=name, ImageUri=BY_DIGEST, DryRun=True)
    assert tried["CodeSha256"] == DIGEST
    assert api.get_function(FunctionName=name)["Code"]["ImageUri"] == TAGGED
    updated = api.update_function_code(FunctionName=name, ImageUri=BY_DIGEST)
    assert (updated["LastUpdateStatus"], updated["CodeSha256"]) == ("InProgress", DIGEST)
    assert settle(api, name)["State"] == "Failed"
    assert api.get_function(FunctionName=name)["Code"] == {
        "RepositoryType": "ECR",
        "ImageUri": BY_DIGEST,
        "ResolvedImageUri": BY_DIGEST,
    }


def test_a_version_of_an_image_fails_as_it_does(api: Any, name: str) -> None:
    created = api.create_function(**creation(name, Publish=True))
    assert created["Version"] == "1"
    settle(api, name)
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
        api.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig=WAIT)
    assert api.get_function_configuration(FunctionName=name, Qualifier="1")["StateReasonCode"] == "InvalidImage"
    # Nothing has changed since.
    assert api.publish_version(FunctionName=name)["Version"] == "1"
    api.update_function_code(FunctionName=name, ImageUri=f"{REPOSITORY}:v2")
    settle(api, name)
    assert api.publish_version(FunctionName=name)["Version"] == "2"


def test_the_image_config_is_replaced_as_a_whole_and_an_empty_one_clears_it(api: Any, name: str) -> None:
    api.create_function(**creation(name, ImageConfig=CONFIG))
    settle(api, name)
    for given, shown in (
        ({"Command": ["other"]}, {"ImageConfig": {"Command": ["other"]}}),
        ({"EntryPoint": [], "Command": ["third"]}, {"ImageConfig": {"Command": ["third"]}}),
        ({}, None),
    ):
        api.update_function_configuration(FunctionName=name, ImageConfig=given)
        assert settle(api, name).get("ImageConfigResponse") == shown
    api.update_function_configuration(FunctionName=name, Timeout=5)
    after = settle(api, name)
    assert (after["Timeout"], after["State"], after["PackageType"]) == (5, "Failed", "Image")


NOT_WITH_IMAGE = "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
NO_URI = "Please provide ImageUri when {} a function with packageType Image."
OTHERS = "Please do not provide other FunctionCode parameters when providing an ImageUri."
LAYER = f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:l:1"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"Handler": "app.handler"}, NOT_WITH_IMAGE),
        ({"Runtime": "python3.11"}, NOT_WITH_IMAGE),
        ({"Layers": [LAYER]}, NOT_WITH_IMAGE),
        ({"Code": {}}, NO_URI.format("creating")),
        ({"Code": {"ZipFile": zipped()}}, NO_URI.format("creating")),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, NO_URI.format("creating")),
        ({"Code": {"ImageUri": TAGGED, "ZipFile": zipped()}}, OTHERS),
        ({"Code": {"ImageUri": TAGGED, "S3ObjectStorageMode": "REFERENCE"}}, OTHERS),
        ({"Code": {"ImageUri": TAGGED, "SourceKMSKeyArn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"}}, OTHERS),
        ({"Code": {"ImageUri": "app:1"}}, "Source image app:1 is not valid. Provide a valid source image."),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions"}, "EphemeralStorage": {"Size": 513}},
            "Ephemeral storage larger than 512 MB is not supported for SnapStart enabled functions.",
        ),
        (
            {"CodeSigningConfigArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"},
            "Code signing is not supported for a function with packageType Image.",
        ),
        ({"ImageConfig": {"Command": ["x" * 16_384]}}, "ImageConfig must not be larger than 16384 bytes."),
        ({"ImageConfig": {"Command": ["a\0b"]}}, "ImageConfig must not contain characters that are not valid in text."),
    ],
)
def test_what_an_image_can_not_have_is_refused(api: Any, members: dict[str, Any], told: str) -> None:
    assert refusal(api.create_function, **creation("never", **members)) == invalid(told)
    assert refusal(api.get_function, FunctionName="never").status == 404


def test_an_image_may_ask_for_snapshots(api: Any, name: str) -> None:
    created = api.create_function(**creation(name, SnapStart={"ApplyOn": "PublishedVersions"}))
    assert created["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}


def test_a_function_stays_of_the_kind_that_it_was_created_as(api: Any, name: str) -> None:
    api.create_function(**creation(name))
    before = settle(api, name)
    assert refusal(api.update_function_code, FunctionName=name, ZipFile=zipped()) == invalid(NO_URI.format("updating"))
    for members in ({"Handler": "app.handler"}, {"Runtime": "python3.11"}, {"Layers": [LAYER]}):
        assert refusal(api.update_function_configuration, FunctionName=name, **members) == invalid(NOT_WITH_IMAGE)
    config = api.create_code_signing_config(
        AllowedPublishers={
            "SigningProfileVersionArns": [f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-profiles/p/0123456789"]
        }
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    assert refusal(api.put_function_code_signing_config, FunctionName=name, CodeSigningConfigArn=config) == invalid(
        "Code signing is not supported for a function with packageType Image."
    )
    assert shape(api.get_function_configuration(FunctionName=name)) == before

    make_function(api, zip_name := unique("zip"))
    not_for_zip = invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
    assert refusal(api.update_function_code, FunctionName=zip_name, ImageUri=TAGGED) == not_for_zip
    assert refusal(api.update_function_configuration, FunctionName=zip_name, ImageConfig=CONFIG) == invalid(
        "Please don't provide ImageConfig for a function with packageType Zip."
    )

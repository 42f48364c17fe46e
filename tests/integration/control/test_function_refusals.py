"""What functions may not be or do beyond the service model's constraints, in AWS's words, as boto3 is told by a running
server. What the model itself forbids is in test_model_walk."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    ROLE,
    Refusal,
    clients,
    conflict,
    invalid,
    make_function,
    not_found,
    reconfigure,
    refusal,
    settle,
    shape,
    status,
    unique,
    zipped,
)
from layer_archives import archive
from stored_state import StoredState, changes, stored_state

FUNCTION = "refusing"
CREATION: dict[str, Any] = {
    "FunctionName": "refused",
    "Runtime": "python3.11",
    "Role": ROLE,
    "Handler": "app.handler",
    "Code": {"ZipFile": zipped()},
}
ACCESS_POINT = "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-01234567890123456"
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/a:1"


def without(member: str) -> dict[str, Any]:
    return {name: value for name, value in CREATION.items() if name != member}


def not_yet(member: str) -> Refusal:
    return Refusal(
        501,
        "NotImplementedException",
        f"{member} is not supported by Lambent yet: see docs/compatibility.md.",
        None,
    )


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """Nobody else changes what it has."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def api(own_server: Any) -> Any:
    """With a function that has a version and an alias of it, and a layer that has two versions."""
    api = clients(own_server)
    for _ in range(2):
        api.publish_layer_version(LayerName="a", Content={"ZipFile": zipped()})
    make_function(api, FUNCTION, versions=1)
    api.create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
    return api


@pytest.fixture
def stored(own_server: Any) -> Iterator[StoredState]:
    with stored_state(own_server.data_dir) as state:
        yield state


# The configuration, at creation and at an update ----------------------------------------------------------------------

RETIRED = [
    "python3.7",
    "python2.7",
    "nodejs14.x",
    "nodejs12.x",
    "go1.x",
    "java8",
    "provided",
    "dotnetcore3.1",
    "ruby2.7",
]
LEVEL_OF_TEXT = invalid(
    "Log Level is not supported when LogFormat is set to Text. "
    "Remove log level from your request or change the LogFormat to JSON and try again."
)
ONE_OF_TWO = invalid("SubnetIds and SecurityIds must coexist or be both empty list.")


def retired(runtime: str) -> Refusal:
    return invalid(
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
        "We recommend you use a supported runtime while creating or updating functions."
    )


def reserved(keys: str) -> Refusal:
    return invalid(
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
        "contains reserved keys that are currently not supported for modification. "
        f"Reserved keys used in this request: {keys}"
    )


def too_large(variables: dict[str, str]) -> Refusal:
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    return invalid(
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
        f"exceeded the 4KB limit. String measured: {measured}"
    )


def layer(name: str, version: int = 1, region: str = "us-east-1") -> str:
    return f"arn:aws:lambda:{region}:111122223333:layer:{name}:{version}"


def twice(one: str, other: str) -> Refusal:
    return invalid(
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{one} and {other} are versions of the same layer."
    )


LARGE = {"KEY": "v" * (4096 - len('{"KEY":""}'))}
"""As much as there may be."""
LARGER = {"KEY": LARGE["KEY"] + "v"}
WIDER = {"KEY": "v" * (4095 - len('{"KEY":""}')) + "é"}
"""As many characters as there may be bytes."""

CONFIGURATION: list[tuple[dict[str, Any], Refusal]] = [
    *(({"Runtime": runtime}, retired(runtime)) for runtime in RETIRED),
    ({"Environment": {"Variables": LARGER}}, too_large(LARGER)),
    ({"Environment": {"Variables": WIDER}}, too_large(WIDER)),
    ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, reserved("AWS_REGION")),
    (
        {"Environment": {"Variables": {"LAMBDA_TASK_ROOT": "x", "MINE": "y", "AWS_ACCESS_KEY_ID": "z"}}},
        reserved("AWS_ACCESS_KEY_ID, LAMBDA_TASK_ROOT"),
    ),
    ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, ONE_OF_TWO),
    ({"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": ["sg-1"]}}, ONE_OF_TWO),
    *(
        (
            {"DeadLetterConfig": {"TargetArn": target}},
            invalid(f"The target {target} is neither an SQS standard queue nor an SNS standard topic."),
        )
        for target in (
            "arn:aws:sqs:us-east-1:111122223333:dead.fifo",
            "arn:aws:sns:us-east-1:111122223333:dead.fifo",
            "arn:aws:lambda:us-east-1:111122223333:function:dead",
            "arn:aws:s3:::dead",
        )
    ),
    ({"LoggingConfig": {"ApplicationLogLevel": "INFO"}}, LEVEL_OF_TEXT),
    ({"LoggingConfig": {"LogFormat": "Text", "SystemLogLevel": "WARN"}}, LEVEL_OF_TEXT),
    ({"Layers": [layer("a", 3)]}, invalid(f"Layer version {layer('a', 3)} does not exist.")),
    ({"Layers": [layer(name) for name in "abcdef"]}, invalid("Cannot reference more than 5 layers.")),
    ({"Layers": [layer("a", 1), layer("a", 2)]}, twice(layer("a", 1), layer("a", 2))),
    ({"Layers": [layer("a", 2), layer("a", 2)]}, twice(layer("a", 2), layer("a", 2))),
    (
        {"Layers": [layer("a", region="eu-west-1")]},
        invalid("Layers are not in the same region as the function. Layers are expected to be in region us-east-1."),
    ),
    (
        {"FileSystemConfigs": [{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/a"}]},
        invalid(f"Function must be configured to execute in a VPC to reference access point {ACCESS_POINT}."),
    ),
    (
        {"DurableConfig": {"RetentionPeriodInDays": 1, "ExecutionTimeout": 60}},
        not_yet("DurableConfig"),
    ),
]


@pytest.mark.parametrize(("members", "refused"), CONFIGURATION)
def test_a_configuration_that_no_function_may_have_is_refused_and_changes_nothing(
    api: Any, stored: StoredState, members: dict[str, Any], refused: Refusal
) -> None:
    before = stored.at_rest()
    assert refusal(api.create_function, **{**CREATION, **members}) == refused
    assert refusal(api.update_function_configuration, FunctionName=FUNCTION, **members) == refused
    assert changes(before, stored.rows()) == {}


def test_variables_may_be_as_large_as_four_kilobytes(api: Any) -> None:
    reconfigure(api, FUNCTION, Environment={"Variables": LARGE})
    assert api.get_function_configuration(FunctionName=FUNCTION)["Environment"] == {"Variables": LARGE}


# The code -------------------------------------------------------------------------------------------------------------

NO_SOURCE = invalid("Please provide a source for function code.")
NOT_BOTH = invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
NO_ARCHIVE = invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
CODE: list[tuple[dict[str, Any], Refusal]] = [
    ({}, NO_SOURCE),
    ({"ZipFile": zipped(), "S3Bucket": "bucket", "S3Key": "key"}, NOT_BOTH),
    ({"S3Bucket": "bucket"}, invalid("S3Bucket and S3Key are needed together.")),
    ({"S3Key": "key"}, invalid("S3Bucket and S3Key are needed together.")),
    ({"ZipFile": b"none"}, NO_ARCHIVE),
    ({"ZipFile": zipped()[:-30]}, NO_ARCHIVE),
    ({"ZipFile": b""}, invalid("Uploaded file must be a non-empty zip")),
    (
        {"ZipFile": zipped(), "S3ObjectStorageMode": "REFERENCE"},
        invalid("S3ObjectStorageMode REFERENCE needs S3Bucket and S3Key."),
    ),
]


@pytest.mark.parametrize(("code", "refused"), CODE)
def test_code_that_is_none_is_refused_and_changes_nothing(
    api: Any, stored: StoredState, code: dict[str, Any], refused: Refusal
) -> None:
    before = stored.at_rest()
    assert refusal(api.create_function, **{**CREATION, "Code": code}) == refused
    for dry in (True, False):
        assert refusal(api.update_function_code, FunctionName=FUNCTION, **code, DryRun=dry) == refused
    assert changes(before, stored.rows()) == {}


def test_an_archive_needs_what_runs_it(api: Any, stored: StoredState) -> None:
    before = stored.at_rest()
    for member in ("Runtime", "Handler"):
        assert refusal(api.create_function, **without(member)) == invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    for doing, operation, params in (
        ("creating", api.create_function, {**CREATION, "Code": {"ImageUri": IMAGE}}),
        ("updating", api.update_function_code, {"FunctionName": FUNCTION, "ImageUri": IMAGE}),
    ):
        assert refusal(operation, **params) == invalid(
            f"Please don't provide ImageUri when {doing} a function with packageType Zip."
        )
    assert changes(before, stored.rows()) == {}


def test_tags_of_a_new_function_are_fifty_at_most_and_the_callers_own(api: Any, stored: StoredState) -> None:
    before = stored.at_rest()
    many = {f"key{number}": "" for number in range(51)}
    assert refusal(api.create_function, **CREATION, Tags=many) == invalid("Number of tags exceeds resource tag limit.")
    assert refusal(api.create_function, **CREATION, Tags={"aws:mine": ""}) == invalid(
        "Tag keys that begin with aws: are reserved."
    )
    assert changes(before, stored.rows()) == {}


# What is there already, or on its way ---------------------------------------------------------------------------------

FILES = 8_000
"""So many in each of two layers take the server a while to merge: for that long the function is on its way."""
EITHER = "def one(event, context): return 1\ndef two(event, context): return 2\n"


@pytest.fixture(scope="module")
def slow_layers(api: Any) -> list[str]:
    """The ARNs of two layers. One alone is not merged."""
    return [
        api.publish_layer_version(
            LayerName=unique(name),
            Content={"ZipFile": archive({f"{name}/{number}": b"" for number in range(FILES)})},
        )["LayerVersionArn"]
        for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    "role",
    [ROLE.replace(ACCOUNT, OTHER_ACCOUNT), ROLE.replace("arn:aws:", "arn:aws-cn:")],
    ids=["another account's", "another partition's"],
)
def test_a_function_has_a_role_of_its_own_account_and_partition(api: Any, stored: StoredState, role: str) -> None:
    denied = Refusal(403, "AccessDeniedException", "Cross-account pass role is not allowed.", None)
    before = stored.at_rest()
    assert refusal(api.create_function, **{**CREATION, "Role": role}) == denied
    assert refusal(api.update_function_configuration, FunctionName=FUNCTION, Role=role) == denied
    assert changes(before, stored.rows()) == {}


def test_a_name_is_given_once(api: Any, stored: StoredState) -> None:
    before = stored.at_rest()
    for name in (FUNCTION, ARNS + FUNCTION):
        assert refusal(api.create_function, **{**CREATION, "FunctionName": name}) == conflict(
            f"Function already exist: {FUNCTION}"
        )
    assert changes(before, stored.rows()) == {}


def changing(api: Any, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    yield api.update_function_configuration, {"FunctionName": name, "Timeout": 5}
    yield api.update_function_code, {"FunctionName": name, "ZipFile": zipped()}
    yield api.update_function_code, {"FunctionName": name, "ZipFile": zipped(), "DryRun": True}
    yield api.publish_version, {"FunctionName": name}


def test_a_function_that_is_pending_can_not_be_changed_or_invoked(api: Any, slow_layers: list[str]) -> None:
    name = unique("pending")
    created = api.create_function(
        **{
            **CREATION,
            "FunctionName": name,
            "Code": {"ZipFile": zipped("def handler(event, context): return 1")},
            "Layers": slow_layers,
        }
    )
    pending = conflict(
        "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    )
    for operation, params in changing(api, name):
        assert refusal(operation, **params) == pending
    assert refusal(api.invoke, FunctionName=name) == pending
    assert shape(api.get_function_configuration(FunctionName=name)) == shape(created)
    settle(api, name)
    assert api.invoke(FunctionName=name)["Payload"].read() == b"1"
    assert api.get_function_configuration(FunctionName=name)["Timeout"] == 3
    api.delete_function(FunctionName=name)


def test_a_function_under_an_update_can_not_be_changed_and_runs_what_it_ran(api: Any, slow_layers: list[str]) -> None:
    name = unique("updating")
    arn = make_function(api, name, Code={"ZipFile": zipped(EITHER)}, Handler="app.one")
    # In another order than any function has had: that is another tree.
    updated = api.update_function_configuration(FunctionName=name, Handler="app.two", Layers=slow_layers[::-1])
    under_way = conflict(
        f"The operation cannot be performed at this time. An update is in progress for resource: {arn}"
    )
    for operation, params in changing(api, name):
        assert refusal(operation, **params) == under_way
    assert api.invoke(FunctionName=name)["Payload"].read() == b"1"
    assert shape(api.get_function_configuration(FunctionName=name)) == shape(updated)
    settle(api, name)
    assert api.invoke(FunctionName=name)["Payload"].read() == b"2"
    assert [version["Version"] for version in api.list_versions_by_function(FunctionName=name)["Versions"]] == [
        "$LATEST"
    ]
    api.delete_function(FunctionName=name)


# Versions -------------------------------------------------------------------------------------------------------------


def test_a_version_is_published_of_the_code_that_its_caller_means(api: Any, stored: StoredState) -> None:
    reconfigure(api, FUNCTION, Description="to be published")
    before = stored.at_rest()
    present = base64.b64encode(hashlib.sha256(zipped()).digest()).decode()
    other = base64.b64encode(bytes(32)).decode()
    assert refusal(api.publish_version, FunctionName=FUNCTION, CodeSha256=other) == invalid(
        f"CodeSHA256 ({other}) is different from current CodeSHA256 in $LATEST ({present}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    for operation, params in (
        (api.publish_version, {}),
        (api.update_function_code, {"ZipFile": zipped()}),
    ):
        found = refusal(operation, FunctionName=FUNCTION, PublishTo="LATEST_PUBLISHED", **params)
        assert found == not_yet("PublishTo")
    assert changes(before, stored.rows()) == {}
    assert status(api.publish_version(FunctionName=FUNCTION, CodeSha256=present)) == 201


def test_the_description_given_to_a_version_is_that_versions_alone(api: Any) -> None:
    name = unique("described")
    make_function(api, name, Description="of the function")
    version = api.publish_version(FunctionName=name, Description="of the version")
    assert (version["Version"], version["Description"]) == ("1", "of the version")
    assert api.get_function_configuration(FunctionName=name)["Description"] == "of the function"
    # Nothing of the function has changed: there is no second one, whatever its description would be.
    assert shape(api.publish_version(FunctionName=name, Description="another")) == shape(version)
    api.delete_function(FunctionName=name)


def test_latest_and_aliases_are_not_deleted_like_versions(api: Any, stored: StoredState) -> None:
    before = stored.at_rest()
    for params in ({"FunctionName": FUNCTION, "Qualifier": "$LATEST"}, {"FunctionName": f"{FUNCTION}:$LATEST"}):
        assert refusal(api.delete_function, **params) == invalid(
            "$LATEST version cannot be deleted without deleting the function."
        )
    for qualifier in ("live", "nowhere"):
        assert refusal(api.delete_function, FunctionName=FUNCTION, Qualifier=qualifier) == invalid(
            "Deletion of aliases is not currently supported."
        )
    assert refusal(api.delete_function, FunctionName=FUNCTION, Qualifier="1") == conflict(
        "Unable to delete version because the following aliases reference it: [live]"
    )
    for qualifier in ("1", "$LATEST", "live"):
        assert refusal(api.delete_function, FunctionName="absent", Qualifier=qualifier) == not_found(
            f"Function not found: {ARNS}absent"
        )
    # A version that is not there is as good as deleted.
    for qualifier in ("77", "9" * 100):
        assert status(api.delete_function(FunctionName=FUNCTION, Qualifier=qualifier)) == 204
    assert changes(before, stored.rows()) == {}


def test_numbers_of_versions_ascend_and_are_not_used_twice(api: Any) -> None:
    name = unique("numbered")
    make_function(api, name, versions=2)
    for number in ("1", "2"):
        assert status(api.delete_function(FunctionName=name, Qualifier=number)) == 204
    gone = not_found(f"Function not found: {ARNS}{name}:2")
    for operation in (api.get_function, api.get_function_configuration, api.invoke):
        assert refusal(operation, FunctionName=name, Qualifier="2") == gone
    reconfigure(api, name, Description="third")
    assert api.publish_version(FunctionName=name)["Version"] == "3"
    api.delete_function(FunctionName=name)

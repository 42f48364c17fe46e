"""The life of a function as boto3 lives it, against a running server."""

import base64
import contextlib
import hashlib
import io
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/runner"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:"


def zipped(text: str = "def handler(event, context): return event\n") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", text)
    return buffer.getvalue()


@pytest.fixture
def functions(server: Any) -> Any:
    return server.client("lambda", parameter_validation=False)


@pytest.fixture
def name(functions: Any) -> Iterator[str]:
    name = f"life-{uuid.uuid4().hex[:12]}"
    yield name
    with contextlib.suppress(functions.exceptions.ResourceNotFoundException):
        functions.delete_function(FunctionName=name)


def create(functions: Any, name: str, **members: Any) -> Any:
    return functions.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped()},
            **members,
        }
    )


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def test_a_function_is_created_waited_for_updated_published_listed_and_deleted(functions: Any, name: str) -> None:
    created = create(functions, name, Environment={"Variables": {"KEY": "1"}}, Tags={"team": "blue"})
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    functions.get_waiter("function_exists").wait(FunctionName=name)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    shown = functions.get_function_configuration(FunctionName=name)
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    volatile = {"State", "StateReason", "StateReasonCode", "LastUpdateStatus", "RevisionId", "ResponseMetadata"}
    assert {k: v for k, v in shown.items() if k not in volatile} == {
        k: v for k, v in created.items() if k not in volatile
    }

    code = zipped("def handler(event, context): return 2\n")
    updated = functions.update_function_code(FunctionName=name, ZipFile=code, RevisionId=shown["RevisionId"])
    assert updated["LastUpdateStatus"] == "InProgress"
    assert updated["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    functions.update_function_configuration(FunctionName=name, Timeout=60, MemorySize=256, Environment={})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    version = functions.publish_version(FunctionName=name, Description="first")
    assert version["ResponseMetadata"]["HTTPStatusCode"] == 201
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    assert (version["Version"], version["Timeout"], version["Environment"]) == ("1", 60, {"Variables": {}})

    listed = functions.list_versions_by_function(FunctionName=name)["Versions"]
    assert [shape["FunctionArn"] for shape in listed] == [f"{ARN}{name}:$LATEST", f"{ARN}{name}:1"]
    pages = functions.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 1})
    arns = [shape["FunctionArn"] for page in pages for shape in page["Functions"]]
    assert {f"{ARN}{name}:$LATEST", f"{ARN}{name}:1"} <= set(arns)

    assert functions.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(functions.exceptions.ResourceNotFoundException) as gone:
        functions.get_function(FunctionName=name)
    assert gone.value.response["Error"]["Message"] == f"Function not found: {ARN}{name}"
    assert gone.value.response["Type"] == "User"


def test_the_code_link_gives_the_archive_to_whoever_has_it_and_to_nobody_else(functions: Any, name: str) -> None:
    code = zipped("# mine\n")
    create(functions, name, Code={"ZipFile": code}, Tags={"a": "b"})
    answer = functions.get_function(FunctionName=name)
    assert answer["Tags"] == {"a": "b"}
    location = answer["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=30) as response:
        assert response.read() == code
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(location[:-1] + ("0" if location[-1] != "0" else "1"), timeout=30)
    with refused.value:
        assert refused.value.code == 403


@pytest.mark.parametrize(
    ("members", "status", "code", "message"),
    [
        ({"Code": {"ZipFile": b"no"}}, 400, "InvalidParameterValueException", "Could not unzip uploaded file."),
        ({"Runtime": "cobol"}, 400, "InvalidParameterValueException", "Value cobol at 'runtime'"),
        ({"Timeout": 901}, 400, "ValidationException", "less than or equal to 900"),
        ({"MemorySize": 64}, 400, "ValidationException", "1 validation error detected: Value '64' at 'memorySize'"),
        ({"Role": "nobody"}, 400, "ValidationException", "Value 'nobody' at 'role' failed"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "k"}}, 400, "InvalidParameterValueException", "s3_endpoint"),
        ({"Code": {"ZipFile": bytes(52_428_800)}}, 413, "RequestEntityTooLargeException", "52428800 bytes"),
        (
            {"Code": {"ZipFile": bytes(60_000_000)}},
            413,
            "RequestEntityTooLargeException",
            "Request must be smaller than 70167211 bytes for the CreateFunction operation",
        ),
    ],
    ids=["zip", "runtime", "timeout", "memory", "role", "s3", "size", "size of the request"],
)
def test_what_is_refused_has_awss_status_code_and_message(
    functions: Any, name: str, members: dict[str, Any], status: int, code: str, message: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        create(functions, name, **members)
    response = raised.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (status, code)
    assert message in response["Error"]["Message"]
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=name)


def test_conflicts_and_preconditions_have_awss_status(functions: Any, name: str) -> None:
    create(functions, name)
    with pytest.raises(functions.exceptions.ResourceConflictException) as taken:
        create(functions, name)
    assert taken.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    with pytest.raises(functions.exceptions.PreconditionFailedException) as stale:
        functions.update_function_configuration(FunctionName=name, Timeout=4, RevisionId=str(uuid.uuid4()))
    assert stale.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_a_new_revision_of_code_is_what_the_next_invocation_runs(functions: Any, name: str) -> None:
    create(functions, name, Code={"ZipFile": zipped("def handler(event, context): return 'old'\n")})
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    assert functions.invoke(FunctionName=name)["Payload"].read() == b'"old"'
    functions.update_function_code(
        FunctionName=name, ZipFile=zipped("def handler(event, context): return 'new'\n"), Publish=True
    )
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    for qualified in ({}, {"Qualifier": "1"}):
        assert functions.invoke(FunctionName=name, **qualified)["Payload"].read() == b'"new"'


def test_everything_acknowledged_survives_kill_9_and_nothing_stays_in_between(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    functions = crashing.client("lambda")
    shown = {}
    for number in range(20):
        create(functions, f"f{number:02}", Publish=True)
    crashing.kill()
    crashing.start()
    try:
        functions = crashing.client("lambda")
        for number in range(20):
            name = f"f{number:02}"
            functions.get_waiter("function_active_v2").wait(FunctionName=name)
            functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
            shown[name] = without_metadata(functions.get_function_configuration(FunctionName=name))
        assert len(shown) == 20
    finally:
        assert crashing.stop() == 0

import asyncio
import base64
import hashlib
import io
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from plane import ACCOUNT, ARN, REGION, ROLE, Plane, creation, damaged, running, with_plane, zipped

from lambent.core.errors import (
    CodeSigningConfigNotFoundException,
    InvalidParameterValueException,
    ModelledError,
    NotImplementedException,
    RequestEntityTooLargeException,
    ResourceConflictException,
    ValidationException,
)


def test_the_answer_has_every_default_and_is_pending() -> None:
    async def scenario(plane: Plane) -> None:
        code = zipped()
        answer = dict(await plane.call("CreateFunction", **creation(Code={"ZipFile": code})))
        version_arn = answer.pop("RuntimeVersionConfig")["RuntimeVersionArn"]
        assert re.fullmatch(rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}", version_arn)
        assert answer == {
            "FunctionName": "echo",
            "FunctionArn": ARN + "echo",
            "Runtime": "python3.13",
            "Role": ROLE,
            "Handler": "app.handler",
            "CodeSize": len(code),
            "Description": "",
            "Timeout": 3,
            "MemorySize": 128,
            "LastModified": "2023-11-14T22:13:20.123+0000",
            "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
            "Version": "$LATEST",
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": "id-1",
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/echo"},
        }

    with_plane(scenario)


def test_what_was_asked_for_is_what_is_shown() -> None:
    asked = {
        "Description": "d",
        "Timeout": 900,
        "MemorySize": 10_240,
        "EphemeralStorage": {"Size": 10_240},
        "Environment": {"Variables": {"A": "1"}},
        "TracingConfig": {"Mode": "Active"},
        "Architectures": ["arm64"],
        "DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"},
        "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k",
    }

    async def scenario(plane: Plane) -> None:
        shown = await plane.active(
            **asked,
            VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            LoggingConfig={"LogFormat": "JSON", "LogGroup": "/mine"},
        )
        assert {member: shown[member] for member in asked} == asked
        assert shown["VpcConfig"] == {
            "SubnetIds": ["subnet-1"],
            "SecurityGroupIds": ["sg-1"],
            "VpcId": "",
            "Ipv6AllowedForDualStack": False,
        }
        assert shown["LoggingConfig"] == {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            "SystemLogLevel": "INFO",
            "LogGroup": "/mine",
        }

    with_plane(scenario)


def test_an_empty_environment_is_shown_and_an_absent_one_is_not() -> None:
    async def scenario(plane: Plane) -> None:
        assert (await plane.active("empty", Environment={}))["Environment"] == {"Variables": {}}
        assert "Environment" not in await plane.active("absent")

    with_plane(scenario)


def test_a_name_is_taken_only_once_in_an_account() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active()
        with pytest.raises(ResourceConflictException, match=r"^Function already exist: echo$"):
            await plane.call("CreateFunction", **creation())
        other = await plane.reply(
            "CreateFunction", account="999999999999", **creation(Role="arn:aws:iam::999999999999:role/runner")
        )
        assert other["FunctionArn"] == f"arn:aws:lambda:{REGION}:999999999999:function:echo"  # type: ignore[index]

    with_plane(scenario)


def test_publish_gives_version_1_with_the_unqualified_arn() -> None:
    async def scenario(plane: Plane) -> None:
        answer = await plane.call("CreateFunction", **creation(Publish=True))
        assert (answer["Version"], answer["FunctionArn"], answer["State"]) == ("1", ARN + "echo", "Pending")
        await plane.settled()
        version = await plane.call("GetFunctionConfiguration", FunctionName="echo", Qualifier="1")
        assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")
        latest = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        assert len({answer["RevisionId"], version["RevisionId"], latest["RevisionId"]}) == 3

    with_plane(scenario)


REFUSED: list[tuple[dict[str, Any], type[ModelledError], str]] = [
    (
        {"FunctionName": "n" * 65},
        InvalidParameterValueException,
        f"1 validation error detected: Value '{'n' * 65}' at 'functionName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64",
    ),
    ({"Code": {"ZipFile": b"no zip"}}, InvalidParameterValueException, "Could not unzip uploaded file. Please check"),
    ({"Code": {"ZipFile": b""}}, InvalidParameterValueException, "Uploaded file must be a non-empty zip"),
    (
        {"Code": {"ZipFile": bytes(52_428_800)}},
        RequestEntityTooLargeException,
        "Zipped size must be smaller than 52428800 bytes",
    ),
    ({"Code": {}}, InvalidParameterValueException, "Please provide a source for function code."),
    ({"Code": {"S3Bucket": "b", "S3Key": "k"}}, InvalidParameterValueException, "the setting s3_endpoint names none"),
    (
        {"PackageType": "Image", "Code": {"ImageUri": "i"}},
        InvalidParameterValueException,
        "Please don't provide Handler",
    ),
    ({"Code": {"ImageUri": "i"}}, InvalidParameterValueException, "Please don't provide ImageUri when creating"),
    ({"RuntimeConfig": {"a": "b"}}, NotImplementedException, "RuntimeConfig"),
    ({"CodeSigningConfigArn": "arn:csc"}, CodeSigningConfigNotFoundException, "not deleted: arn:csc."),
    ({"Runtime": None}, InvalidParameterValueException, "Runtime and Handler are mandatory parameters"),
    (
        {"Runtime": "cobol"},
        InvalidParameterValueException,
        "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ",
    ),
    (
        {"Runtime": "python3.7"},
        InvalidParameterValueException,
        "The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions.",
    ),
    (
        {"Timeout": 901, "MemorySize": 10_241},
        ValidationException,
        "2 validation errors detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value "
        "less than or equal to 900; Value '10241' at 'memorySize'",
    ),
    (
        {"Environment": {"Variables": {"AWS_REGION": "x"}}},
        InvalidParameterValueException,
        "Reserved keys used in this request: AWS_REGION",
    ),
    (
        {"Environment": {"Variables": {"A": "é" * 2048}}},
        InvalidParameterValueException,
        'exceeded the 4KB limit. String measured: {"A":"éé',
    ),
    (
        {"LoggingConfig": {"ApplicationLogLevel": "WARN"}},
        InvalidParameterValueException,
        "Log Level is not supported when LogFormat is set to Text.",
    ),
    (
        {"VpcConfig": {"SubnetIds": ["subnet-1"]}},
        InvalidParameterValueException,
        "SubnetIds and SecurityIds must coexist or be both empty list.",
    ),
    (
        {"Tags": {str(n): "" for n in range(51)}},
        InvalidParameterValueException,
        "Number of tags exceeds resource tag limit.",
    ),
]


@pytest.mark.parametrize(
    ("members", "error", "text"), REFUSED, ids=["+".join(m) + f"-{n}" for n, (m, _, _) in enumerate(REFUSED)]
)
def test_what_is_wrong_is_refused_in_awss_words_and_nothing_is_kept(
    members: dict[str, Any], error: type[ModelledError], text: str
) -> None:
    pattern = text if ".*" in text else re.escape(text)

    async def scenario(plane: Plane) -> None:
        with pytest.raises(error, match=pattern) as raised:
            await plane.call("CreateFunction", **creation() | members)
        assert type(raised.value) is error
        assert (await plane.call("ListFunctions"))["Functions"] == []
        assert plane.changes == []

    with_plane(scenario)


def test_the_environment_may_have_exactly_4096_bytes() -> None:
    async def scenario(plane: Plane) -> None:
        overhead = len('{"A":""}')
        await plane.active("fits", Environment={"Variables": {"A": "x" * (4096 - overhead)}})
        with pytest.raises(InvalidParameterValueException, match="4KB"):
            await plane.active("over", Environment={"Variables": {"A": "x" * (4097 - overhead)}})

    with_plane(scenario)


def test_a_package_that_can_not_be_unpacked_is_refused_and_nothing_of_it_is_kept() -> None:
    async def scenario(plane: Plane) -> None:
        with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
            await plane.call("CreateFunction", **creation(Code={"ZipFile": damaged()}))
        assert plane.changes == []
        assert plane.kept() == []

    with_plane(scenario)


def test_a_package_that_is_damaged_on_the_disk_ends_in_failed_and_can_be_mended(disk: Path) -> None:
    async def main() -> None:
        async with running(disk, preparing=False) as plane:
            await plane.call("CreateFunction", **creation())
            (package,) = plane.kept()
            # As after a start of the machine, which unpacks again what the disk has garbled since.
            next(package.glob("tree.*")).rename(package / "tree.earlier-boot")
            (package / "package.zip").write_bytes(damaged())
        async with running(disk) as plane:
            await plane.heard(lambda: len(plane.changes) == 1)
            shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
            assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
            assert shown["StateReason"].startswith("Could not unzip")
            assert shown["LastUpdateStatus"] == "Failed"
            await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=zipped(app="'another'"))
            await plane.settled()
            shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
            assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
            assert "StateReason" not in shown

    asyncio.run(main())


def test_a_disk_that_fails_ends_in_failed_with_what_it_said(disk: Path) -> None:
    async def main() -> None:
        async with running(disk, preparing=False) as plane:
            await plane.call("CreateFunction", **creation())
            shutil.rmtree(plane.kept()[0])
        async with running(disk) as plane:
            await plane.heard(lambda: len(plane.changes) == 1)
            shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
            assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InternalError")
            assert shown["StateReason"] == "The package could not be unpacked: No such file or directory"

    asyncio.run(main())


def test_layers_that_lead_out_of_the_tree_together_end_in_failed() -> None:
    def linked(name: str, target: str) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, target)
        return buffer.getvalue()

    async def scenario(plane: Plane) -> None:
        # Each is in the tree for itself: what the second leads through is a directory there, and a link in the first.
        layers = [
            (await plane.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": content}))["LayerVersionArn"]
            for name, content in (("one", linked("a/b", "..")), ("two", linked("out", "a/b/../x")))
        ]
        shown = await plane.active(Layers=layers)
        assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidZipFileException")

    with_plane(scenario)


def test_a_runtime_that_this_machine_lacks_ends_in_failed_with_the_reason() -> None:
    async def scenario(plane: Plane) -> None:
        plane.runtimes.unavailable["java21"] = "no Java here"
        shown = await plane.active(Runtime="java21")
        assert (shown["State"], shown["StateReason"], shown["StateReasonCode"]) == (
            "Failed",
            "no Java here",
            "InvalidRuntime",
        )

    with_plane(scenario)

import asyncio
from pathlib import Path

import pytest
from plane import ARN, Plane, creation, damaged, running, with_plane, zipped

from lambent.core.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambent.store import functions
from lambent.store.changes import FunctionRemoved, VersionChanged


def test_a_function_becomes_active_when_its_work_is_done_and_not_before() -> None:
    async def scenario(plane: Plane) -> None:
        plane.runtimes.gate.clear()
        created = await plane.call("CreateFunction", **creation())
        for operation, more in (
            ("UpdateFunctionCode", {"ZipFile": zipped()}),
            ("UpdateFunctionConfiguration", {"Timeout": 4}),
            ("PublishVersion", {}),
        ):
            with pytest.raises(ResourceConflictException) as raised:
                await plane.call(operation, FunctionName="echo", **more)
            assert raised.value.message == (
                "The operation cannot be performed at this time. "
                "The function is currently in the following state: Pending"
            )
        plane.runtimes.gate.set()
        await plane.settled()
        shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
        assert "StateReason" not in shown
        assert "StateReasonCode" not in shown
        assert shown["RevisionId"] != created["RevisionId"]
        assert shown["LastModified"] == created["LastModified"]

    with_plane(scenario)


def test_what_ran_goes_on_running_until_an_update_is_prepared() -> None:
    async def scenario(plane: Plane) -> None:
        before = await plane.active()
        plane.runtimes.gate.clear()
        answer = await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=60)
        assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "InProgress")
        assert answer["LastUpdateStatusReason"] == "The function is being created."
        assert answer["LastUpdateStatusReasonCode"] == "Creating"
        assert (answer["Timeout"], before["Timeout"]) == (60, 3)
        change = plane.changes[-1]
        assert isinstance(change, VersionChanged)
        assert change.serving is not None
        assert (change.current.configuration.timeout_s, change.serving.configuration.timeout_s) == (60, 3)
        with pytest.raises(ResourceConflictException) as raised:
            await plane.call("PublishVersion", FunctionName="echo")
        assert raised.value.message == (
            f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}echo"
        )
        plane.runtimes.gate.set()
        await plane.settled()
        change = plane.changes[-1]
        assert isinstance(change, VersionChanged)
        assert change.serving is change.current
        assert change.current.configuration.timeout_s == 60

    with_plane(scenario)


def test_code_that_can_not_be_unpacked_is_refused_and_changes_nothing() -> None:
    async def scenario(plane: Plane) -> None:
        before = await plane.active()
        changes, kept = len(plane.changes), plane.kept()
        for dry in (True, False):
            with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
                await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=damaged(), DryRun=dry)
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo") == before
        assert (len(plane.changes), plane.kept()) == (changes, kept)
        # Also what is good leaves nothing where it is only tried.
        await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=zipped(app="'tried'"), DryRun=True)
        assert (len(plane.changes), plane.kept()) == (changes, kept)

    with_plane(scenario)


def test_a_failed_update_keeps_what_ran_also_over_a_restart(disk: Path) -> None:
    async def main() -> None:
        async with running(disk) as plane:
            before = await plane.active()
            plane.runtimes.unavailable["java21"] = "no Java here"
            await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Runtime="java21")
            await plane.settled()
            await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=zipped(app="'new'"))
            await plane.settled()
            shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
            assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Failed")
            assert shown["LastUpdateStatusReasonCode"] == "InvalidRuntime"
            assert shown["CodeSha256"] != before["CodeSha256"]
        async with running(disk) as plane:
            (entry,) = await plane.store.read(lambda connection: list(functions.load_all(connection)))
            assert entry.serving is not None
            assert entry.serving.package != entry.current.package
            assert entry.serving.package.digest in await plane.store.read(functions.digests_in_use)

    asyncio.run(main())


def test_work_that_a_killed_server_left_is_finished_by_the_next(disk: Path) -> None:
    async def main() -> None:
        async with running(disk, preparing=False) as plane:
            await plane.call("CreateFunction", **creation("left", Publish=True))
        async with running(disk) as plane:
            await plane.heard(lambda: len(plane.changes) == 2)
            for qualifier in ("$LATEST", "1"):
                shown = await plane.call("GetFunctionConfiguration", FunctionName="left", Qualifier=qualifier)
                assert shown["State"] == "Active"

    asyncio.run(main())


def test_preparations_are_bounded() -> None:
    async def scenario(plane: Plane) -> None:
        plane.runtimes.gate.clear()
        for number in range(6):
            await plane.call("CreateFunction", **creation(f"f{number}"))
        plane.runtimes.gate.set()
        await plane.settled()
        assert plane.runtimes.most_preparing <= 2
        assert plane.runtimes.prepared["python3.13"] == 6

    with_plane(scenario)


def test_a_preparation_that_breaks_ends_with_its_function_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_runtime: str) -> None:
        raise RecursionError

    async def scenario(plane: Plane) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(plane.runtimes, "prepare", broken)
            await plane.call("CreateFunction", **creation("bad"))
            await plane.settled()
        shown = await plane.call("GetFunctionConfiguration", FunctionName="bad")
        assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InternalError")
        await plane.call("CreateFunction", **creation("good"))
        await plane.settled()
        assert (await plane.call("GetFunctionConfiguration", FunctionName="good"))["State"] == "Active"

    with_plane(scenario)


def test_a_function_deleted_while_it_is_prepared_stays_deleted() -> None:
    async def scenario(plane: Plane) -> None:
        plane.runtimes.gate.clear()
        await plane.call("CreateFunction", **creation("gone"))
        await plane.call("DeleteFunction", FunctionName="gone")
        assert plane.changes[-1] == FunctionRemoved(plane.changes[0].current.function)  # type: ignore[union-attr]
        plane.runtimes.gate.set()
        # The queue is worked off in order, by two: when these are done, so is the deleted one's work.
        plane.overlook()
        for number in range(3):
            await plane.active(f"after{number}")
        with pytest.raises(ResourceNotFoundException):
            await plane.call("GetFunctionConfiguration", FunctionName="gone")

    with_plane(scenario)


def test_an_update_keeps_what_it_does_not_name_and_clears_what_it_empties() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(
            Environment={"Variables": {"A": "1"}},
            KMSKeyArn="arn:aws:kms:eu-west-1:1:key/k",
            DeadLetterConfig={"TargetArn": "arn:aws:sqs:eu-west-1:1:q"},
            VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"},
        )
        kept = await plane.call("UpdateFunctionConfiguration", FunctionName="echo", MemorySize=256)
        await plane.settled()
        assert kept["Environment"] == {"Variables": {"A": "1"}}
        assert kept["VpcConfig"]["SubnetIds"] == ["subnet-1"]
        assert kept["MemorySize"] == 256
        part = await plane.call(
            "UpdateFunctionConfiguration", FunctionName="echo", LoggingConfig={"ApplicationLogLevel": "ERROR"}
        )
        await plane.settled()
        assert part["LoggingConfig"] == {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "ERROR",
            "SystemLogLevel": "WARN",
            "LogGroup": "/aws/lambda/echo",
        }
        cleared = await plane.call(
            "UpdateFunctionConfiguration",
            FunctionName="echo",
            Environment={},
            KMSKeyArn="",
            DeadLetterConfig={"TargetArn": ""},
            VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
            LoggingConfig={"LogFormat": "Text"},
        )
        assert cleared["Environment"] == {"Variables": {}}
        assert "KMSKeyArn" not in cleared
        assert "DeadLetterConfig" not in cleared
        assert cleared["VpcConfig"] == {
            "SubnetIds": [],
            "SecurityGroupIds": [],
            "VpcId": "",
            "Ipv6AllowedForDualStack": False,
        }
        assert cleared["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/echo"}

    with_plane(scenario)


def test_a_stale_revision_changes_nothing() -> None:
    async def scenario(plane: Plane) -> None:
        stale = (await plane.call("CreateFunction", **creation()))["RevisionId"]
        await plane.settled()
        before = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        for operation, more in (
            ("UpdateFunctionCode", {"ZipFile": zipped(app="1")}),
            ("UpdateFunctionCode", {"ZipFile": zipped(app="1"), "DryRun": True}),
            ("UpdateFunctionConfiguration", {"Timeout": 4}),
            ("PublishVersion", {}),
        ):
            with pytest.raises(PreconditionFailedException) as raised:
                await plane.call(operation, FunctionName="echo", RevisionId=stale, **more)
            assert raised.value.message == (
                "The Revision Id provided does not match the latest Revision Id. "
                "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
            )
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo") == before
        await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=4, RevisionId=before["RevisionId"])

    with_plane(scenario)


def test_of_updates_with_one_revision_exactly_one_wins() -> None:
    async def scenario(plane: Plane) -> None:
        shown = await plane.active()
        for _ in range(20):
            answers = await asyncio.gather(
                *(
                    plane.call(
                        "UpdateFunctionConfiguration",
                        FunctionName="echo",
                        Description=str(number),
                        RevisionId=shown["RevisionId"],
                    )
                    for number in range(4)
                ),
                return_exceptions=True,
            )
            won = [answer for answer in answers if isinstance(answer, dict)]
            assert len(won) == 1
            await plane.settled()
            shown = await plane.call("GetFunctionConfiguration", FunctionName="echo")
            assert shown["Description"] == won[0]["Description"]

    with_plane(scenario)


def test_dry_run_checks_and_changes_nothing() -> None:
    async def scenario(plane: Plane) -> None:
        before = await plane.active()
        new = zipped(app="print()")
        answer = await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=new, DryRun=True)
        assert answer["CodeSize"] == len(new)
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo") == before
        with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
            await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=b"PK", DryRun=True)

    with_plane(scenario)


def test_what_an_update_can_not_have_is_refused() -> None:
    async def scenario(plane: Plane) -> None:
        before = await plane.active()
        with pytest.raises(InvalidParameterValueException) as image:
            await plane.call("UpdateFunctionCode", FunctionName="echo", ImageUri="i")
        assert image.value.message == "Please don't provide ImageUri when updating a function with packageType Zip."
        with pytest.raises(InvalidParameterValueException, match="the setting s3_endpoint names none for account"):
            await plane.call("UpdateFunctionCode", FunctionName="echo", S3Bucket="b", S3Key="k")
        with pytest.raises(InvalidParameterValueException, match="no longer supported"):
            await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Runtime="nodejs14.x")
        for operation in ("UpdateFunctionCode", "UpdateFunctionConfiguration"):
            with pytest.raises(ResourceNotFoundException) as raised:
                await plane.call(operation, FunctionName="none", ZipFile=zipped())
            assert raised.value.message == f"Function not found: {ARN}none"
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo") == before

    with_plane(scenario)


def test_a_state_that_can_not_be_written_is_written_when_it_can(caplog: pytest.LogCaptureFixture) -> None:
    jam = """CREATE TRIGGER jam BEFORE UPDATE ON function_version BEGIN SELECT RAISE(ABORT, 'jammed'); END"""

    async def scenario(plane: Plane) -> None:
        await plane.store.run(lambda connection: connection.execute(jam).rowcount)
        plane.runtimes.gate.clear()
        await plane.call("CreateFunction", **creation())
        plane.runtimes.gate.set()
        async with asyncio.timeout(20):
            while not caplog.records:
                await plane.store.run(lambda connection: None)
        await plane.store.run(lambda connection: connection.execute("DROP TRIGGER jam").rowcount)
        await plane.settled()
        assert (await plane.call("GetFunctionConfiguration", FunctionName="echo"))["State"] == "Active"

    with_plane(scenario)


def test_what_is_changed_and_changed_back_is_the_version_that_it_was() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active()
        first = await plane.call("PublishVersion", FunctionName="echo")
        for timeout in (60, 3):
            await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=timeout)
            await plane.settled()
        again = await plane.call("PublishVersion", FunctionName="echo")
        assert (again["Version"], again["RevisionId"]) == ("1", first["RevisionId"])
        await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=61)
        await plane.settled()
        assert (await plane.call("PublishVersion", FunctionName="echo"))["Version"] == "2"

    with_plane(scenario)

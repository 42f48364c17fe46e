"""A version with SnapStart on its way from Pending to what its template makes of it."""

import asyncio
from typing import Any

from plane import Plane, with_plane

from lambent.core.snap_start import Snapshot

ON = {"SnapStart": {"ApplyOn": "PublishedVersions"}}


async def shown(plane: Plane, version: str = "1") -> tuple[str, str | None, str]:
    told = await plane.call("GetFunctionConfiguration", FunctionName="echo", Qualifier=version)
    return told["State"], told.get("LastUpdateStatus"), told["SnapStart"]["OptimizationStatus"]


async def asked(plane: Plane) -> None:
    """The template of a version is being made."""
    async with asyncio.timeout(20):
        await plane.snapshots.was_asked.wait()


def test_a_version_is_pending_until_its_template_is_made_and_active_then() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(**ON)
        plane.snapshots.gate.clear()
        answer = await plane.call("PublishVersion", FunctionName="echo")
        assert (answer["State"], answer["StateReasonCode"]) == ("Pending", "Creating")
        assert answer["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
        await asked(plane)
        assert await shown(plane) == ("Pending", None, "Off")
        plane.snapshots.gate.set()
        await plane.settled()
        assert await shown(plane) == ("Active", "Successful", "On")
        # It is the version's, and $LATEST has none.
        assert await shown(plane, "$LATEST") == ("Active", "Successful", "Off")
        assert plane.snapshots.asked == ["1"]

    with_plane(scenario)


def test_a_version_that_can_not_be_initialised_is_failed_for_a_reason() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(**ON)
        plane.snapshots.outcome = Snapshot.FAILED
        await plane.call("PublishVersion", FunctionName="echo")
        await plane.settled()
        told = await plane.call("GetFunctionConfiguration", FunctionName="echo", Qualifier="1")
        assert (told["State"], told["StateReasonCode"]) == ("Failed", "FunctionError")
        assert told["StateReason"] == "An error occurred during function initialization."
        assert (told["LastUpdateStatus"], told["LastUpdateStatusReasonCode"]) == ("Failed", "FunctionError")
        assert told["SnapStart"]["OptimizationStatus"] == "Off"

    with_plane(scenario)


def test_where_there_are_no_templates_the_version_is_active_without_one() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(**ON)
        plane.snapshots.outcome = Snapshot.NORMALLY
        await plane.call("PublishVersion", FunctionName="echo")
        await plane.settled()
        assert await shown(plane) == ("Active", "Successful", "Off")

    with_plane(scenario)


def test_a_long_initialisation_keeps_no_other_function_waiting() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(**ON)
        plane.snapshots.gate.clear()
        versions: list[Any] = []
        for timeout in range(1, 5):  # more of them than are prepared at one time
            await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=timeout)
            await plane.heard(lambda: ("echo", "$LATEST") not in plane._unfinished)
            versions.append(await plane.call("PublishVersion", FunctionName="echo"))
        assert {version["State"] for version in versions} == {"Pending"}
        plane.overlook()
        assert (await plane.active("another"))["State"] == "Active"

    with_plane(scenario)


def test_a_version_that_is_deleted_meanwhile_is_not_initialised_any_more() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(**ON)
        plane.snapshots.gate.clear()
        await plane.call("PublishVersion", FunctionName="echo")
        await asked(plane)
        plane.overlook()
        await plane.call("DeleteFunction", FunctionName="echo", Qualifier="1")
        async with asyncio.timeout(20):
            await plane.snapshots.was_given_up.wait()

    with_plane(scenario)

import pytest
from plane import ARN, Plane, with_plane, zipped

from lambent.core.errors import InvalidParameterValueException, ResourceNotFoundException


def test_a_version_is_a_copy_with_a_number_and_an_id_of_its_own() -> None:
    async def scenario(plane: Plane) -> None:
        before = await plane.active(Description="latest", Timeout=7)
        version = await plane.call("PublishVersion", FunctionName="echo", Description="first")
        assert (version["Version"], version["FunctionArn"]) == ("1", ARN + "echo:1")
        assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")
        assert (version["Description"], version["Timeout"]) == ("first", 7)
        after = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        assert after["Description"] == "latest"
        assert len({before["RevisionId"], after["RevisionId"], version["RevisionId"]}) == 3
        await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Timeout=9)
        await plane.settled()
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo", Qualifier="1") == version

    with_plane(scenario)


def test_without_a_change_the_last_version_is_the_answer_again() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active()
        first = await plane.call("PublishVersion", FunctionName="echo")
        latest = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        assert await plane.call("PublishVersion", FunctionName="echo", Description="other") == first
        assert await plane.call("GetFunctionConfiguration", FunctionName="echo") == latest
        await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Description="")
        await plane.settled()
        assert await plane.call("PublishVersion", FunctionName="echo") == first
        await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Description="changed")
        await plane.settled()
        assert (await plane.call("PublishVersion", FunctionName="echo"))["Version"] == "2"

    with_plane(scenario)


def test_numbers_are_never_used_twice() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(Publish=True)
        await plane.call("DeleteFunction", FunctionName="echo", Qualifier="1")
        assert (await plane.call("PublishVersion", FunctionName="echo"))["Version"] == "2"

    with_plane(scenario)


def test_the_expected_code_must_be_what_is_there() -> None:
    async def scenario(plane: Plane) -> None:
        present = (await plane.active())["CodeSha256"]
        with pytest.raises(InvalidParameterValueException) as raised:
            await plane.call("PublishVersion", FunctionName="echo", CodeSha256="other")
        assert raised.value.message == (
            f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({present}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
        assert (await plane.call("PublishVersion", FunctionName="echo", CodeSha256=present))["Version"] == "1"

    with_plane(scenario)


def test_updating_code_with_publish_answers_the_version_while_both_are_prepared() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active()
        plane.runtimes.gate.clear()
        answer = await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=zipped(app="1"), Publish=True)
        assert (answer["FunctionArn"], answer["Version"]) == (ARN + "echo:1", "1")
        assert (answer["State"], answer["StateReasonCode"]) == ("Pending", "Creating")
        latest = await plane.call("GetFunctionConfiguration", FunctionName="echo")
        assert latest["LastUpdateStatus"] == "InProgress"
        plane.runtimes.gate.set()
        await plane.settled()
        version = await plane.call("GetFunctionConfiguration", FunctionName="echo", Qualifier="1")
        assert (version["State"], version["CodeSha256"]) == ("Active", latest["CodeSha256"])
        # The same code once more: the version that there is.
        again = await plane.call("UpdateFunctionCode", FunctionName="echo", ZipFile=zipped(app="1"), Publish=True)
        assert again["Version"] == "1"

    with_plane(scenario)


def test_versions_are_listed_from_latest_on_in_pages() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active()
        for number in range(1, 12):
            await plane.call("UpdateFunctionConfiguration", FunctionName="echo", Description=str(number))
            await plane.settled()
            await plane.call("PublishVersion", FunctionName="echo")
        first = await plane.call("ListVersionsByFunction", FunctionName="echo", MaxItems=10)
        second = await plane.call("ListVersionsByFunction", FunctionName="echo", Marker=first["NextMarker"])
        shapes = first["Versions"] + second["Versions"]
        assert [shape["Version"] for shape in shapes] == ["$LATEST", *map(str, range(1, 12))]
        assert [shape["FunctionArn"] for shape in shapes[:2]] == [ARN + "echo:$LATEST", ARN + "echo:1"]
        assert "NextMarker" not in second
        assert not any(member in shapes[0] for member in ("State", "LastUpdateStatus", "RuntimeVersionConfig"))
        with pytest.raises(ResourceNotFoundException) as raised:
            await plane.call("ListVersionsByFunction", FunctionName="none")
        assert raised.value.message == f"Function not found: {ARN}none"

    with_plane(scenario)

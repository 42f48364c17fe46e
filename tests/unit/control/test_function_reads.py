from urllib.parse import parse_qs, urlsplit

import pytest
from plane import ACCOUNT, ARN, REGION, Plane, creation, with_plane, zipped

from lambent.control import code_links
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lambent.wire.call import Reply


def test_the_code_link_leads_to_the_archive_for_ten_minutes() -> None:
    async def scenario(plane: Plane) -> None:
        code = zipped(app="print(1)")
        await plane.active(Code={"ZipFile": code}, Tags={"team": "blue"})
        answer = await plane.call("GetFunction", FunctionName="echo")
        assert answer["Tags"] == {"team": "blue"}
        assert answer["Code"]["RepositoryType"] == "S3"
        assert "Concurrency" not in answer
        link = urlsplit(answer["Code"]["Location"])
        assert f"{link.scheme}://{link.netloc}" == "http://127.0.0.1:4566"
        digest = link.path.removeprefix(code_links.PATH)
        query = {name: value[0] for name, value in parse_qs(link.query).items()}
        assert code_links.verify(b"secret", digest, **query, now_ms=plane.clock.wall_ms())
        file = plane.packages.open_archive(digest)
        assert file is not None
        with file:
            assert file.read() == code
        assert not code_links.verify(b"other", digest, **query, now_ms=plane.clock.wall_ms())
        assert not code_links.verify(b"secret", "0" * 64, **query, now_ms=plane.clock.wall_ms())
        later = {**query, "expires": str(int(query["expires"]) + 1)}
        assert not code_links.verify(b"secret", digest, **later, now_ms=plane.clock.wall_ms())
        plane.clock.advance_ms(600_000)
        assert not code_links.verify(b"secret", digest, **query, now_ms=plane.clock.wall_ms())

    with_plane(scenario)


def test_tags_are_shown_only_where_there_are_any_and_for_versions_too() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active("tagged", Tags={"a": "b"}, Publish=True)
        await plane.active("bare", Tags={})
        assert (await plane.call("GetFunction", FunctionName="tagged", Qualifier="1"))["Tags"] == {"a": "b"}
        assert "Tags" not in await plane.call("GetFunction", FunctionName="bare")

    with_plane(scenario)


@pytest.mark.parametrize(
    ("name", "qualifier", "shown"),
    [
        ("echo", None, ARN + "echo"),
        ("echo", "$LATEST", ARN + "echo:$LATEST"),
        ("echo", "1", ARN + "echo:1"),
        ("echo:1", None, ARN + "echo:1"),
        ("echo:1", "1", ARN + "echo:1"),
        (f"{ACCOUNT}:function:echo", None, ARN + "echo"),
        (f"{ARN}echo:$LATEST", None, ARN + "echo:$LATEST"),
        (f"{ARN}echo", "1", ARN + "echo:1"),
    ],
)
def test_every_form_of_a_name_finds_the_function(name: str, qualifier: str | None, shown: str) -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(Publish=True)
        params = {"FunctionName": name} | ({"Qualifier": qualifier} if qualifier else {})
        assert (await plane.call("GetFunctionConfiguration", **params))["FunctionArn"] == shown
        assert (await plane.call("GetFunction", **params))["Configuration"]["FunctionArn"] == shown

    with_plane(scenario)


@pytest.mark.parametrize(
    ("name", "qualifier", "missing"),
    [
        ("none", None, "none"),
        ("none", "$LATEST", "none:$LATEST"),
        ("echo", "2", "echo:2"),
        ("echo", "0", "echo:0"),
        ("echo", "01", "echo:01"),
        ("echo", "9" * 30, "echo:" + "9" * 30),
        ("echo", "live", "echo:live"),
        ("echo", "$latest", "echo:$latest"),
        ("n" * 65, None, "n" * 65),
    ],
)
def test_what_is_not_there_is_not_found_by_its_arn(name: str, qualifier: str | None, missing: str) -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(Publish=True)
        params = {"FunctionName": name} | ({"Qualifier": qualifier} if qualifier else {})
        for operation in ("GetFunction", "GetFunctionConfiguration"):
            with pytest.raises(ResourceNotFoundException) as raised:
                await plane.call(operation, **params)
            assert raised.value.message == f"Function not found: {ARN}{missing}"

    with_plane(scenario)


def test_functions_elsewhere_are_out_of_reach() -> None:
    async def scenario(plane: Plane) -> None:
        with pytest.raises(ResourceNotFoundException) as raised:
            await plane.call("GetFunction", FunctionName=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:echo")
        assert raised.value.message == f"Functions from 'us-east-1' are not reachable in this region ('{REGION}')"
        with pytest.raises(AccessDeniedException) as denied:
            await plane.call("GetFunction", FunctionName=f"arn:aws:lambda:{REGION}:999999999999:function:echo")
        assert denied.value.message is None
        with pytest.raises(InvalidParameterValueException, match="derived qualifier"):
            await plane.call("GetFunction", FunctionName="echo:1", Qualifier="2")

    with_plane(scenario)


def test_lists_leave_out_states_and_page_in_order() -> None:
    async def scenario(plane: Plane) -> None:
        names = [f"f{number:02}" for number in range(60)]
        for name in reversed(names):
            await plane.call("CreateFunction", **creation(name))
        await plane.settled()
        first = await plane.call("ListFunctions", MaxItems=10_000)
        assert [shape["FunctionName"] for shape in first["Functions"]] == names[:50]
        second = await plane.call("ListFunctions", Marker=first["NextMarker"])
        assert [shape["FunctionName"] for shape in second["Functions"]] == names[50:]
        assert "NextMarker" not in second
        shape = second["Functions"][0]
        hidden = ("State", "StateReason", "LastUpdateStatus", "RuntimeVersionConfig")
        assert not any(member in shape for member in hidden)
        assert shape["FunctionArn"] == ARN + "f50"
        exactly = await plane.call("ListFunctions", MaxItems=10, Marker=first["NextMarker"])
        assert "NextMarker" not in exactly
        with pytest.raises(InvalidParameterValueException, match="Marker"):
            await plane.call("ListFunctions", Marker="*")
        assert await plane.reply("ListFunctions", account="999999999999") == {"Functions": []}

    with_plane(scenario)


def test_all_lists_every_version_qualified() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active("a", Publish=True)
        await plane.active("b")
        found: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = await plane.call("ListFunctions", FunctionVersion="ALL", MaxItems=1, **marker)
            found += [shape["FunctionArn"].removeprefix(ARN) for shape in page["Functions"]]
            if "NextMarker" not in page:
                break
            marker = {"Marker": page["NextMarker"]}
        assert found == ["a:$LATEST", "a:1", "b:$LATEST"]

    with_plane(scenario)


def test_a_deleted_function_is_gone_with_its_versions() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(Publish=True)
        assert await plane.reply("DeleteFunction", FunctionName="echo") == Reply({}, status=204)
        for qualifier in ("$LATEST", "1"):
            with pytest.raises(ResourceNotFoundException):
                await plane.call("GetFunction", FunctionName="echo", Qualifier=qualifier)
        with pytest.raises(ResourceNotFoundException) as raised:
            await plane.call("DeleteFunction", FunctionName="echo")
        assert raised.value.message == f"Function not found: {ARN}echo"

    with_plane(scenario)


def test_one_version_can_be_deleted_but_not_latest_and_not_an_alias() -> None:
    async def scenario(plane: Plane) -> None:
        await plane.active(Publish=True)
        for qualifier, text in (
            ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
            ("live", "Deletion of aliases is not currently supported."),
        ):
            with pytest.raises(InvalidParameterValueException) as raised:
                await plane.call("DeleteFunction", FunctionName="echo", Qualifier=qualifier)
            assert raised.value.message == text
        for _ in range(2):
            assert await plane.reply("DeleteFunction", FunctionName="echo", Qualifier="1") == Reply({}, status=204)
        versions = await plane.call("ListVersionsByFunction", FunctionName="echo")
        assert [shape["Version"] for shape in versions["Versions"]] == ["$LATEST"]

    with_plane(scenario)

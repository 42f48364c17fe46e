import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from records import ACCOUNT, PREPARED, REGION, name, record

from lambent.core.function import FunctionName, Logging
from lambent.core.function_state import PreparationFailed, UpdateAccepted, step
from lambent.store import functions
from lambent.store.changes import Change, FunctionRemoved, VersionChanged, VersionRemoved
from lambent.store.metadata import MetadataStore

UPDATING = step(PREPARED, UpdateAccepted())
UPDATE_FAILED = step(UPDATING, PreparationFailed("why", "InternalError"))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[MetadataStore, list[Change]]]:
    store = MetadataStore(directory / "metadata.sqlite")
    await store.open()
    heard: list[Change] = []
    store.subscribe(heard.append)
    try:
        yield store, heard
    finally:
        await store.close()


def test_a_record_comes_back_whole_after_a_restart(disk: Path) -> None:
    written = record(
        variables={"A": "ü"},
        timeout_s=900,
        logging=Logging("/g", "JSON", "INFO", "WARN"),
        stored={"VpcConfig": {"SubnetIds": ["s"], "Ipv6AllowedForDualStack": False}},
    )

    async def main() -> None:
        async with opened(disk) as (store, heard):
            await store.run(lambda c: functions.insert(c, written))
            assert heard == [VersionChanged(written, None)]
        async with opened(disk) as (store, _):
            assert await store.read(lambda c: functions.get(c, name("echo"))) == written
            assert await store.read(lambda c: list(functions.load_all(c))) == [VersionChanged(written, None)]
            assert await store.read(functions.unfinished) == [(name("echo"), "$LATEST")]

    asyncio.run(main())


def test_a_name_is_inserted_once(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as (store, heard):
            await store.run(lambda c: functions.insert(c, record()))
            with pytest.raises(functions.AlreadyExists):
                await store.run(lambda c: functions.insert(c, record(revision="r2")))
            assert len(heard) == 1
            present = await store.read(lambda c: functions.get(c, name("echo")))
            assert present is not None
            assert present.revision_id == "r1"

    asyncio.run(main())


def test_only_the_expected_revision_is_replaced(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as (store, heard):
            await store.run(lambda c: functions.insert(c, record()))
            for absent in (record("other"), record()):
                with pytest.raises(functions.RevisionMismatch):
                    await store.run(lambda c, r=absent: functions.replace(c, r, expected_revision="r0"))
            assert len(heard) == 1
            await store.run(
                lambda c: functions.replace(c, record(revision="r2", lifecycle=PREPARED), expected_revision="r1")
            )
            assert len(heard) == 2

    asyncio.run(main())


def test_the_last_good_record_serves_until_there_is_a_better_one(disk: Path) -> None:
    good = record(revision="r1", lifecycle=PREPARED, digest="old")
    trying = record(revision="r2", lifecycle=UPDATING, digest="new")
    failed = record(revision="r3", lifecycle=UPDATE_FAILED, digest="new")
    again = record(revision="r4", lifecycle=UPDATING, digest="newer")
    better = record(revision="r5", lifecycle=PREPARED, digest="newer")

    async def main() -> None:
        async with opened(disk) as (store, heard):
            await store.run(lambda c: functions.insert(c, good))
            for before, after in ((good, trying), (trying, failed), (failed, again)):
                await store.run(lambda c, a=after, b=before: functions.replace(c, a, expected_revision=b.revision_id))
                assert heard[-1] == VersionChanged(after, good)
                assert await store.read(functions.digests_in_use) == {"old", after.package.digest}
        async with opened(disk) as (store, heard):
            assert await store.read(lambda c: list(functions.load_all(c))) == [VersionChanged(again, good)]
            await store.run(lambda c: functions.replace(c, better, expected_revision="r4"))
            assert heard == [VersionChanged(better, better)]
            assert await store.read(functions.digests_in_use) == {"newer"}
            assert await store.read(functions.unfinished) == []

    asyncio.run(main())


def test_numbers_ascend_and_survive_the_deletion_of_their_versions(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as (store, heard):
            await store.run(lambda c: functions.insert(c, record(lifecycle=PREPARED)))

            def publish(connection: functions.WritingConnection) -> str:
                number = functions.allocate_version(connection, name("echo"))
                functions.publish(connection, record(version=number, lifecycle=PREPARED, revision=f"v{number}"))
                return number

            assert [await store.run(publish) for _ in range(11)] == [str(number) for number in range(1, 12)]
            last = await store.read(lambda c: functions.last_published(c, name("echo")))
            assert last is not None
            assert last.version == "11"
            assert await store.run(lambda c: functions.delete_version(c, name("echo"), "11"))
            assert heard[-1] == VersionRemoved(name("echo"), "11")
            assert not await store.run(lambda c: functions.delete_version(c, name("echo"), "11"))
            assert await store.run(publish) == "12"
            page = await store.read(lambda c: functions.list_versions(c, name("echo"), after=-1, limit=50))
            assert [version.version for version in page] == ["$LATEST", *(str(n) for n in range(1, 11)), "12"]
            assert await store.run(lambda c: functions.delete(c, name("echo")))
            assert heard[-1] == FunctionRemoved(name("echo"))
            assert await store.read(lambda c: list(functions.load_all(c))) == []
            assert not await store.run(lambda c: functions.delete(c, name("echo")))

    asyncio.run(main())


def test_accounts_and_regions_are_lists_of_their_own(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as (store, _):
            for text in ("b", "a"):
                await store.run(lambda c, t=text: functions.insert(c, record(t)))
            elsewhere = replace(record("c"), function=FunctionName(name("c").account, "us-east-1", "c"))
            await store.run(lambda c: functions.insert(c, elsewhere))
            page = await store.read(lambda c: functions.list_latest(c, ACCOUNT, REGION, after="", limit=50))
            assert [version.function.name for version in page] == ["a", "b"]
            page = await store.read(lambda c: functions.list_everything(c, ACCOUNT, REGION, after=("a", 0), limit=50))
            assert [version.function.name for version in page] == ["b"]

    asyncio.run(main())

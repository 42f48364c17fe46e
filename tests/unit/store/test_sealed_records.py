"""Environment variables in the database's files: never readable, whatever wrote them, and lost only with their key."""

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
from msgspec.structs import replace
from records import PREPARED, name, record

from lambent.core.function import FunctionVersion
from lambent.core.function_state import UpdateAccepted, step
from lambent.store import functions
from lambent.store.metadata import MetadataStore, migrations

SECRET = "correct-horse-battery-staple"
SECRETS = {"PASSWORD": SECRET}
OPEN = "what-everybody-may-read"
KEYS = (b"1" * 32, b"2" * 32)


@asynccontextmanager
async def opened(disk: Path) -> AsyncIterator[MetadataStore]:
    store = MetadataStore(disk / "metadata.sqlite", disk / "keys")
    await store.open()
    yield store
    await store.close()


def use_keys(disk: Path, *keys: bytes) -> None:
    (disk / "keys").write_bytes(b"".join(base64.b64encode(key) + b"\n" for key in keys))


def on_disk(disk: Path, text: str) -> bool:
    """The text is in one of the database's files, of which the log is one."""
    files = list(disk.glob("metadata.sqlite*"))
    assert files
    return any(text.encode() in path.read_bytes() for path in files)


async def written(store: MetadataStore, version: FunctionVersion) -> None:
    await store.run(lambda connection: functions.insert(connection, version))


async def read(store: MetadataStore, text: str = "echo") -> FunctionVersion:
    found = await store.read(lambda connection: functions.get(connection, name(text)))
    assert found is not None
    return found


def test_variables_are_read_back_and_are_nowhere_in_the_files(disk: Path) -> None:
    async def main() -> None:
        version = record(variables=SECRETS, description=OPEN)
        async with opened(disk) as store:
            await written(store, version)
            assert await read(store) == version
            assert on_disk(disk, OPEN), "the search would find nothing at all"
            assert not on_disk(disk, SECRET)
            assert not on_disk(disk, "PASSWORD")
        assert on_disk(disk, OPEN)
        assert not on_disk(disk, SECRET)

    asyncio.run(main())


def test_what_serves_while_an_update_is_in_progress_is_sealed_too(disk: Path) -> None:
    async def main() -> None:
        good = record(variables=SECRETS, lifecycle=PREPARED, description=OPEN)
        updating = step(PREPARED, UpdateAccepted())
        newer = record(variables={"PASSWORD": "other-secret"}, lifecycle=updating, revision="r2")
        async with opened(disk) as store:
            await written(store, good)
            await store.run(lambda connection: functions.replace(connection, newer, expected_revision="r1"))
        async with opened(disk) as store:
            (entry,) = await store.read(lambda connection: list(functions.load_all(connection)))
            assert (entry.current, entry.serving) == (newer, good)
        assert on_disk(disk, OPEN)
        assert not on_disk(disk, SECRET)
        assert not on_disk(disk, "other-secret")

    asyncio.run(main())


def database_of_an_earlier_version(disk: Path) -> None:
    """As it was before variables were sealed, with a row that was replaced, so that its old form is in a free page."""
    # Fields that an earlier version did not know are those with a default that only later versions write.
    plain = msgspec.to_builtins(record(variables=SECRETS, description=OPEN, lifecycle=PREPARED))
    del plain["configuration"]["unreadable"]
    plain["configuration"]["stored"] = {"padding": "x" * 20_000}
    with closing(sqlite3.connect(disk / "metadata.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA secure_delete = OFF")
        before = [step for step in migrations() if step[0] < sealing_step()]
        for number, path in before:
            database.executescript(f"{path.read_text()}\nPRAGMA user_version = {number};")
        who = ("123456789012", "eu-west-1", "echo")
        database.execute("INSERT INTO function (account, region, name) VALUES (?, ?, ?)", who)
        encoded = msgspec.json.encode(plain)
        database.execute(
            "INSERT INTO function_version (account, region, name, number, revision_id, unfinished, digest, record, "
            "serving, serving_digest, layer_digests) VALUES (?, ?, ?, 0, 'r1', 0, 'd1', ?, ?, 'd1', '')",
            (*who, encoded, encoded),
        )
        plain["configuration"]["stored"] = {}
        database.execute("UPDATE function_version SET record = ?", (msgspec.json.encode(plain),))
        database.commit()


def sealing_step() -> int:
    (number,) = [number for number, path in migrations() if path.stem.endswith("environment_variables")]
    return number


def test_variables_that_an_earlier_version_wrote_are_sealed_and_their_plain_form_is_wiped(disk: Path) -> None:
    async def main() -> None:
        database_of_an_earlier_version(disk)
        assert on_disk(disk, SECRET), "there is nothing to wipe"
        async with opened(disk) as store:
            assert store.resealed == 1
            assert (await read(store)).configuration.variables == SECRETS
            assert on_disk(disk, OPEN)
            assert not on_disk(disk, SECRET)
        async with opened(disk) as store:
            assert store.resealed == 0

    asyncio.run(main())


def test_wiping_that_a_killed_server_still_owed_is_done_by_the_next(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk):
            pass
        with closing(sqlite3.connect(disk / "metadata.sqlite")) as database:
            # As by the death of a server between sealing and wiping: in a page that is free.
            database.execute("PRAGMA secure_delete = OFF")
            database.execute("INSERT INTO wiping_owed VALUES ('plaintext')")
            database.execute("CREATE TABLE gone (what TEXT)")
            database.execute("INSERT INTO gone VALUES (?)", (SECRET * 1000,))
            database.commit()
            database.execute("DROP TABLE gone")
            database.commit()
        assert on_disk(disk, SECRET), "there is nothing to wipe"
        async with opened(disk) as store:
            assert not on_disk(disk, SECRET)
            assert await store.read(lambda connection: connection.execute("SELECT * FROM wiping_owed").fetchall()) == []

    asyncio.run(main())


def test_a_new_first_key_takes_over_at_start_and_the_old_one_can_then_go(disk: Path) -> None:
    async def main() -> None:
        version = record(variables=SECRETS)
        use_keys(disk, KEYS[0])
        async with opened(disk) as store:
            await written(store, version)
            await written(store, record("bare"))
        use_keys(disk, KEYS[1], KEYS[0])
        async with opened(disk) as store:
            assert store.resealed == 1
            assert await read(store) == version
        use_keys(disk, KEYS[1])
        async with opened(disk) as store:
            assert store.resealed == 0
            assert await read(store) == version

    asyncio.run(main())


def test_without_its_key_a_record_is_read_without_its_variables_and_gets_them_back_with_the_key(disk: Path) -> None:
    async def main() -> None:
        version = record(variables=SECRETS)
        use_keys(disk, KEYS[0])
        async with opened(disk) as store:
            await written(store, version)
        use_keys(disk, KEYS[1])
        async with opened(disk) as store:
            assert store.resealed == 0
            found = await read(store)
            assert found.configuration.variables is None
            assert found.configuration.unreadable is not None
            assert "is not in the server's key file" in found.configuration.unreadable.message
            # Changing something else about the function must not throw away what can not be read.
            renamed = replace(found, revision_id="r2", configuration=replace(found.configuration, description=OPEN))
            await store.run(lambda connection: functions.replace(connection, renamed, expected_revision="r1"))
        use_keys(disk, KEYS[1], KEYS[0])
        async with opened(disk) as store:
            assert store.resealed == 1
            found = await read(store)
            assert (found.configuration.variables, found.configuration.description) == (SECRETS, OPEN)

    asyncio.run(main())


def test_variables_moved_to_another_functions_record_are_not_its_own(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as store:
            await written(store, record(variables=SECRETS))
            await written(store, record("thief", variables={}))
            steal = (
                "UPDATE function_version SET variables = (SELECT variables FROM function_version WHERE name = 'echo')"
            )
            await store.run(lambda connection: connection.execute(steal))
            assert (await read(store)).configuration.variables == SECRETS
            stolen = (await read(store, "thief")).configuration
            assert stolen.variables is None
            assert stolen.unreadable is not None
            assert "another function" in stolen.unreadable.reason

    asyncio.run(main())

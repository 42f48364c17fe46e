import asyncio
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace
from records import PREPARED, name, record

from lambent.core.alias import Alias, Routing
from lambent.store import aliases, functions
from lambent.store.changes import AliasChanged, AliasRemoved, Change, FunctionRemoved
from lambent.store.metadata import MetadataStore, WritingConnection

LIVE = Alias(name("echo"), "live", "1", "r1", "what runs", Routing("2", 0.25))
BETA = Alias(name("echo"), "beta", "2", "r2")


def published(connection: WritingConnection) -> None:
    functions.insert(connection, record(lifecycle=PREPARED))
    for version in ("1", "2"):
        functions.publish(connection, record(version=version, lifecycle=PREPARED))


def test_aliases_come_back_whole_after_a_restart_and_the_listeners_hear_of_each(disk: Path) -> None:
    async def main() -> None:
        heard: list[Change] = []
        store = MetadataStore(disk / "metadata.sqlite")
        await store.open()
        await store.run(published)
        store.subscribe(heard.append)
        await store.run(lambda c: aliases.insert(c, LIVE))
        await store.run(lambda c: aliases.insert(c, BETA))
        with pytest.raises(aliases.AlreadyExists):
            await store.run(lambda c: aliases.insert(c, replace(BETA, version="1")))
        changed = replace(BETA, version="$LATEST", revision_id="r3")
        await store.run(lambda c: aliases.replace(c, changed))
        assert heard == [AliasChanged(LIVE), AliasChanged(BETA), AliasChanged(changed)]
        await store.close()

        store = MetadataStore(disk / "metadata.sqlite")
        await store.open()
        assert await store.read(lambda c: list(aliases.load_all(c))) == [AliasChanged(changed), AliasChanged(LIVE)]
        assert await store.read(lambda c: aliases.names_running(c, name("echo"), "2")) == ["live"]
        store.subscribe(heard.append)
        assert await store.run(lambda c: aliases.delete(c, name("echo"), "beta"))
        assert not await store.run(lambda c: aliases.delete(c, name("echo"), "beta"))
        assert heard[3:] == [AliasRemoved(name("echo"), "beta")]
        await store.close()

    asyncio.run(main())


def test_no_version_goes_while_an_alias_names_it_but_a_function_goes_with_all(disk: Path) -> None:
    async def main() -> None:
        store = MetadataStore(disk / "metadata.sqlite")
        await store.open()
        await store.run(published)
        await store.run(lambda c: aliases.insert(c, LIVE))
        for version in ("1", "2"):
            with pytest.raises(sqlite3.IntegrityError):
                await store.run(lambda c, version=version: functions.delete_version(c, name("echo"), version))
        with pytest.raises(sqlite3.IntegrityError):
            await store.run(lambda c: aliases.insert(c, replace(BETA, version="3")))
        heard: list[Change] = []
        store.subscribe(heard.append)
        assert await store.run(lambda c: functions.delete(c, name("echo")))
        assert heard == [FunctionRemoved(name("echo"))]
        assert await store.read(lambda c: list(aliases.load_all(c))) == []
        await store.close()

    asyncio.run(main())

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambent.core.function import FunctionName
from lambent.store.changes import Change, FunctionRemoved
from lambent.store.group_commit import DataDirectoryTooNew
from lambent.store.metadata import MetadataStore, WritingConnection, migrations

ADD = "INSERT INTO function (account, region, name) VALUES ('1', 'r', ?)"
NAMES = "SELECT name FROM function ORDER BY rowid"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[MetadataStore]:
    store = MetadataStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(NAMES)]


def test_what_was_written_is_read_and_is_there_on_reopen(disk: Path) -> None:
    async def main() -> None:
        path = disk / "new" / "metadata.sqlite"
        async with opened(path) as store:
            assert await store.run(lambda c: c.execute(ADD, ("a",)).rowcount) == 1
            assert await store.read(names) == ["a"]
        async with opened(path) as store:
            assert await store.read(names) == ["a"]

    asyncio.run(main())


def test_the_file_is_the_owners_alone(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "metadata.sqlite") as store:
            await store.run(lambda c: c.execute(ADD, ("a",)).rowcount)
            for path in disk.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name

    asyncio.run(main())


def test_transactions_that_wait_together_share_one_commit(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "metadata.sqlite") as store:
            gate = threading.Event()
            blocked = asyncio.create_task(store.run(lambda _: gate.wait(10)))
            others = [asyncio.create_task(store.run(lambda c, n=n: c.execute(ADD, (n,)).rowcount)) for n in "abcdefgh"]
            await asyncio.sleep(0)
            before = store.commits
            gate.set()
            await asyncio.gather(blocked, *others)
            assert await store.read(names) == list("abcdefgh")
            # The blocked one, and all that came meanwhile; the thread may have taken them before it was blocked.
            assert store.commits - before <= 2

    asyncio.run(main())


def test_a_failing_transaction_undoes_only_itself(disk: Path) -> None:
    class Refused(Exception):
        pass

    def fails(connection: WritingConnection) -> None:
        connection.execute(ADD, ("bad",))
        connection.changed(FunctionRemoved(FunctionName("1", "r", "bad")))
        raise Refused

    async def main() -> None:
        heard: list[Change] = []
        async with opened(disk / "metadata.sqlite") as store:
            store.subscribe(heard.append)
            gate = threading.Event()
            blocked = asyncio.create_task(store.run(lambda _: gate.wait(10)))
            first = asyncio.create_task(store.run(lambda c: c.execute(ADD, ("a",)).rowcount))
            second = asyncio.create_task(store.run(fails))
            third = asyncio.create_task(store.run(lambda c: c.execute(ADD, ("b",)).rowcount))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(blocked, first, third)
            with pytest.raises(Refused):
                await second
            assert await store.read(names) == ["a", "b"]
            assert heard == []

    asyncio.run(main())


def test_listeners_hear_in_commit_order_before_run_returns(disk: Path) -> None:
    async def main() -> None:
        heard: list[str] = []
        async with opened(disk / "metadata.sqlite") as store:

            def listen(change: Change) -> None:
                assert isinstance(change, FunctionRemoved)
                assert asyncio.get_running_loop()
                heard.append(change.function.name)

            store.subscribe(listen)

            async def one(name: str) -> None:
                await store.run(lambda c: c.changed(FunctionRemoved(FunctionName("1", "r", name))))
                assert name in heard

            await asyncio.gather(*(one(str(n)) for n in range(50)))
            assert heard == [str(n) for n in range(50)]

    asyncio.run(main())


class SlowToTell(MetadataStore):
    """Between a commit and what is done about it another thread may have its turn."""

    def _commit_together(self, *arguments: Any) -> None:
        super()._commit_together(*arguments)
        time.sleep(0.2)


def test_of_what_is_read_listeners_have_heard(disk: Path) -> None:
    async def main() -> None:
        store = SlowToTell(disk / "metadata.sqlite")
        await store.open()
        heard: list[Change] = []
        store.subscribe(heard.append)

        def add(connection: WritingConnection) -> None:
            connection.execute(ADD, ("a",))
            connection.changed(FunctionRemoved(FunctionName("1", "r", "a")))

        written = asyncio.ensure_future(store.run(add))
        while not await store.read(names):
            pass
        assert heard
        await written
        await store.close()

    asyncio.run(main())


def test_a_reader_can_not_write(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "metadata.sqlite") as store:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await store.read(lambda c: c.execute(ADD, ("a",)))
            assert await store.read(names) == []

    asyncio.run(main())


def test_close_finishes_what_waits(disk: Path) -> None:
    async def main() -> None:
        path = disk / "metadata.sqlite"
        store = MetadataStore(path)
        await store.open()
        waiting = asyncio.create_task(store.run(lambda c: c.execute(ADD, ("a",)).rowcount))
        await asyncio.sleep(0)
        await store.close()
        assert await waiting == 1
        await store.close()

    asyncio.run(main())


def test_a_directory_of_a_newer_version_is_refused_and_left_alone(disk: Path) -> None:
    path = disk / "metadata.sqlite"
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    newer.close()

    async def main() -> None:
        with pytest.raises(DataDirectoryTooNew, match="newer Lambent"):
            await MetadataStore(path).open()

    asyncio.run(main())
    again = sqlite3.connect(path)
    assert again.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from lambent.store.metadata import MetadataStore

async def main():
    store = MetadataStore(Path(sys.argv[1]))
    await store.open()
    async def one(n):
        await store.run(lambda c: c.execute("INSERT INTO function (account, region, name) VALUES ('1', 'r', ?)", (n,)))
        print(n, flush=True)
    number = int(sys.argv[2])
    while True:
        await asyncio.gather(*(one(str(number + i)) for i in range(7)))
        number += 7

asyncio.run(main())
"""


def test_every_acknowledged_write_survives_kill_9(disk: Path) -> None:
    path = disk / "metadata.sqlite"
    for start in range(3):
        command = [sys.executable, "-c", WRITER, str(path), str(start * 1_000_000)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(100)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        complete = {line.strip() for line in acknowledged if line.endswith("\n")}
        assert len(complete) >= 100

        async def kept() -> set[str]:
            async with opened(path) as store:
                return set(await store.read(names))

        assert complete <= asyncio.run(kept())


def test_on_a_full_disk_exactly_what_was_acknowledged_is_kept(disk: Path) -> None:
    def fill(connection: WritingConnection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        try:
            for number in range(1000):
                connection.execute(ADD, (f"big{number}" + "x" * 3000,))
        finally:
            connection.execute("PRAGMA max_page_count = 1000000")

    async def main() -> None:
        async with opened(disk / "metadata.sqlite") as store:
            await store.run(lambda c: c.execute(ADD, ("before",)).rowcount)
            gate = threading.Event()
            blocked = asyncio.create_task(store.run(lambda _: gate.wait(10)))
            group = {n: asyncio.create_task(store.run(lambda c, n=n: c.execute(ADD, (n,)).rowcount)) for n in "ab"}
            full = asyncio.create_task(store.run(fill))
            group |= {n: asyncio.create_task(store.run(lambda c, n=n: c.execute(ADD, (n,)).rowcount)) for n in "cd"}
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(blocked, full, *group.values(), return_exceptions=True)
            assert isinstance(full.exception(), sqlite3.OperationalError)
            acknowledged = [name for name, task in group.items() if task.exception() is None]
            assert await store.read(names) == ["before", *acknowledged]
            await store.run(lambda c: c.execute(ADD, ("after",)).rowcount)
            assert (await store.read(names))[-1] == "after"

    asyncio.run(main())


def test_an_error_of_the_whole_transaction_fails_all_that_shared_it(disk: Path) -> None:
    async def main() -> None:
        heard: list[Change] = []
        async with opened(disk / "metadata.sqlite") as store:
            store.subscribe(heard.append)
            gate = threading.Event()
            blocked = asyncio.create_task(store.run(lambda _: gate.wait(10)))

            def undo(connection: WritingConnection) -> None:
                connection.execute("ROLLBACK")
                raise sqlite3.OperationalError("the disk failed")

            def insert(connection: WritingConnection) -> None:
                connection.execute(ADD, ("a",))
                connection.changed(FunctionRemoved(FunctionName("1", "r", "a")))

            # The blocked one may have a group of its own; these three wait behind it together.
            group = [asyncio.create_task(store.run(work)) for work in (insert, undo, insert)]
            await asyncio.sleep(0)
            gate.set()
            results = await asyncio.gather(*group, return_exceptions=True)
            await asyncio.gather(blocked, return_exceptions=True)
            assert all(isinstance(result, sqlite3.OperationalError) for result in results)
            assert heard == []
            assert await store.read(names) == []
            await store.run(lambda c: c.execute(ADD, ("b",)).rowcount)
            assert await store.read(names) == ["b"]

    asyncio.run(main())

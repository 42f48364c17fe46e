import asyncio
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from lambent.core.event_invoke import Delivery, QueuedEvent, Trials
from lambent.core.function import FunctionName
from lambent.core.invocation_record import Condition, Ended, Run
from lambent.store import event_queue
from lambent.store.event_queue import FETCHED_BYTES, EndedEvent, EventQueue, Total
from lambent.store.group_commit import DataDirectoryTooNew

F, G = (FunctionName("111122223333", "us-east-1", name) for name in "fg")
QUEUE, TOPIC = (f"arn:aws:{service}:us-east-1:111122223333:results" for service in ("sqs", "sns"))


def event(request_id: str, function: FunctionName = F, payload: bytes = b"{}", accepted_ms: int = 0) -> QueuedEvent:
    return QueuedEvent(request_id, function, "live", "Root=1", Trials(accepted_ms), payload, tenant_id="t")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[EventQueue]:
    queue = EventQueue(path)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


async def put(queue: EventQueue, *events: QueuedEvent, due_ms: int = 0) -> list[int]:
    """In one turn of the loop. Raises what the first one is told."""
    told = [asyncio.get_running_loop().create_future() for _ in events]
    ids = [queue.put(one, due_ms, future.set_result) for one, future in zip(events, told, strict=True)]
    for error in await asyncio.gather(*told):
        if error is not None:
            raise error
    return ids


async def written(ask, *arguments) -> None:
    future = asyncio.get_running_loop().create_future()
    ask(*arguments, future.set_result)
    assert await future is None


async def names(queue: EventQueue, now_ms: int = 0, besides=(), limit: int = 100, function: FunctionName = F) -> str:
    due = await queue.due(function, limit, besides, now_ms)
    return "".join(one.request_id for _, one in due.events)


def test_what_was_accepted_is_there_on_reopen_whole(disk: Path) -> None:
    ended = Ended(
        "r", F, "arn:f", Condition.RETRIES_EXHAUSTED, 3, b"\x00\xff", 7, "Root=1", "role", response=b"{}"
    )  # fmt: skip
    kept = QueuedEvent(
        "r",
        F,
        None,
        "Root=1",
        Trials(5, 3, 1),
        b"\x00\xff",
        None,
        Run("3", "Unhandled", "no", 2),
        ended,
        (Delivery(QUEUE, is_dead_letter=True, failures=2),),
    )

    async def main() -> None:
        async with opened(disk / "new" / "events.sqlite") as queue:
            (first,) = await put(queue, event("a"))
            await written(partial(queue.change, response=b"{}"), first, kept, 3)
            await put(queue, event("b", G, accepted_ms=9), due_ms=4)
        async with opened(disk / "new" / "events.sqlite") as queue:
            assert await queue.totals() == [Total(F, "sqs", 1, 3, 0), Total(G, None, 1, 4, 9)]
            # The payload stays the one that was put.
            assert await queue.ended(F, "sqs", (), 3) == EndedEvent((first, _with_payload(kept, b"{}")), None)
            (later,) = await put(queue, event("c"))
            assert later > first

    asyncio.run(main())


def _with_payload(kept: QueuedEvent, payload: bytes) -> QueuedEvent:
    assert kept.ended is not None
    return replace(kept, payload=payload, ended=replace(kept.ended, payload=payload))


def test_what_is_due_comes_first_ones_first_besides_what_is_at_work(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            for number, name in enumerate("dcba"):
                (held,) = await put(queue, event(name), due_ms=10 - number)
            await put(queue, event("x", G))
            assert await names(queue, now_ms=6) == ""
            assert (await queue.due(F, 10, (), 6)).next_due_ms == 7
            assert await names(queue, now_ms=9) == "abc"
            assert await names(queue, now_ms=9, limit=2) == "ab"
            assert await names(queue, now_ms=9, besides=(held,)) == "bc"
            due = await queue.due(F, 2, (held,), 99)
            assert ("".join(one.request_id for _, one in due.events), due.next_due_ms) == ("bc", 10)
            assert (await queue.due(F, 10, (), 99)).next_due_ms is None
            await written(queue.remove, held)
            assert await names(queue, now_ms=9) == "bc"

    asyncio.run(main())


def ended_event(request_id: str, target_arn: str) -> QueuedEvent:
    accepted = event(request_id)
    ended = Ended(request_id, F, "arn:f", Condition.SUCCESS, 1, accepted.payload, 7, "Root=1", "role")
    return replace(accepted, ended=ended, deliveries=(Delivery(target_arn, is_dead_letter=False),))


def test_what_has_ended_waits_for_a_service_and_is_fetched_one_by_one_with_its_answer(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            ids = await put(queue, *map(event, "abcd"))
            for event_id, name, target, due_ms in zip(ids, "abc", (QUEUE, QUEUE, TOPIC), (2, 1, 0), strict=False):
                change = partial(queue.change, response=name.encode())
                await written(change, event_id, ended_event(name, target), due_ms)
            assert await names(queue, now_ms=9) == "d", "the others have been run"
            first = await queue.ended(F, "sqs", (), 1)
            assert first == EndedEvent((ids[1], _with_response(ended_event("b", QUEUE), b"b")), 2)
            assert await queue.ended(F, "sqs", (ids[1],), 1) == EndedEvent(None, 2)
            assert await queue.ended(F, "sqs", ids[:2], 9) == EndedEvent(None, None)
            # The answer stays, whatever else changes.
            await written(queue.change, ids[1], ended_event("b", TOPIC), 5)
            second = await queue.ended(F, "sns", (ids[2],), 9)
            assert second == EndedEvent((ids[1], _with_response(ended_event("b", TOPIC), b"b")), None)
            assert {(one.service, one.count) for one in await queue.totals()} == {(None, 1), ("sns", 2), ("sqs", 1)}

    asyncio.run(main())


def _with_response(kept: QueuedEvent, response: bytes) -> QueuedEvent:
    assert kept.ended is not None
    return replace(kept, ended=replace(kept.ended, response=response))


def test_a_fetch_takes_large_payloads_up_to_a_bound_and_one_at_least(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            await put(queue, *(event(name, payload=b"x" * (FETCHED_BYTES // 2 + 1)) for name in "abc"))
            assert await names(queue) == "ab"
            assert await names(queue, limit=1) == "a"

    asyncio.run(main())


def test_a_fetch_takes_no_room_on_a_disk_that_may_be_full(disk: Path) -> None:
    """Nothing would be at work then that could be over."""

    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            await put(queue, *(event(str(number), payload=b"x" * 100_000) for number in range(100)))
            with files_no_larger_than(0):
                due = await queue.due(F, 160, (), 10)
            assert len(due.events) > 10

    asyncio.run(main())


def test_what_waits_together_shares_one_commit_and_nothing_is_told_before_it(disk: Path) -> None:
    class Slow(EventQueue):
        def _apply(self, connection, jobs):
            super()._apply(connection, jobs)
            told_early.append(len(told))
            assert gate.wait(10)

    told: list[Exception | None] = []
    told_early: list[int] = []
    gate = threading.Event()

    async def main() -> None:
        queue = Slow(disk / "events.sqlite")
        await queue.open()
        for number in range(100):
            queue.put(event(str(number)), 0, told.append)
        await asyncio.sleep(0)
        gate.set()
        await queue.close()
        await asyncio.sleep(0)
        assert told_early == [0]
        assert told == [None] * 100
        assert queue.commits == 1

    asyncio.run(main())


def test_callers_that_take_turns_come_to_share_their_commits(disk: Path) -> None:
    """Two put while what the two others have put is written, and so on: each pair would have a commit of its own."""

    async def caller(queue: EventQueue) -> None:
        for _ in range(10):
            await put(queue, event("a"))

    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            first = [asyncio.ensure_future(caller(queue)) for _ in range(2)]
            for _ in range(3):  # until that is handed over
                await asyncio.sleep(0)
            await asyncio.gather(*first, caller(queue), caller(queue))
            assert queue.accepted == 40
            assert queue.commits < 15

    asyncio.run(main())


def test_what_is_over_shares_the_commit_of_what_is_put_next(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "GATHER_S", 60)

    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            (over,) = await put(queue, event("a"))
            removed = asyncio.ensure_future(written(queue.remove, over))
            for _ in range(3):  # in which it would have been handed over
                await asyncio.sleep(0)
            assert not removed.done()
            await put(queue, event("b"))
            await removed
            assert queue.commits == 2
            assert await names(queue) == "b"

    asyncio.run(main())


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk is to a program: it can not write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_and_corrupts_nothing(disk: Path) -> None:
    async def main() -> None:
        path = disk / "events.sqlite"
        async with opened(path) as queue:
            accepted, refused = 0, 0
            with files_no_larger_than(512 * 1024):
                for number in range(60):
                    try:
                        await put(queue, event(str(number), FunctionName("1", "r", f"f{number % 7}"), b"x" * 20_000))
                        accepted += 1
                    except sqlite3.Error:
                        refused += 1
            assert accepted > 5
            assert refused > 5
            assert sum(total.count for total in await queue.totals()) == accepted
            await put(queue, event("after"))
        async with opened(path) as queue:
            assert sum(total.count for total in await queue.totals()) == accepted + 1
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kept", "ends"),
    [
        pytest.param((), 0, id="as it is"),
        pytest.param((str(16 * 1024**2), "0"), 4, id="control: with no room kept for environments"),
        pytest.param(("4096", "0"), 3, id="control: with no room kept"),
    ],
)
def test_what_is_over_is_removed_from_a_full_disk_and_others_are_accepted_then(kept: tuple[str, ...], ends: int):
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run((*alone, "true"), check=False).returncode:
        pytest.skip("no namespace of mounts is to be had")
    program = Path(__file__).with_name("full_disk.py")
    assert subprocess.run((*alone, sys.executable, program, *kept), check=False).returncode == ends


def test_the_file_is_the_owners_alone(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk / "events.sqlite") as queue:
            await put(queue, event("a"))
            for path in disk.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name

    asyncio.run(main())


def test_a_newer_file_is_refused(disk: Path) -> None:
    async def main() -> None:
        path = disk / "events.sqlite"
        async with opened(path):
            pass
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(DataDirectoryTooNew, match="newer Lambent"):
            await EventQueue(path).open()

    asyncio.run(main())

"""Fills a small disk with events, and has all of them removed again: in a process that has such a disk to itself.

    full_disk.py [RESERVE_BYTES LEFT_BYTES]

Ends with 0 when everything was removed and events are accepted again, with 3 when nothing could be removed, with 4 when
the events left next to nothing of the disk to what runs them.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from lambent.core.event_invoke import QueuedEvent, Trials
from lambent.core.function import FunctionName
from lambent.store import event_queue
from lambent.store.event_queue import EventQueue
from lambent.worker.sandbox import kernel

DISK, AT_ONCE = "size=64m", 50
FUNCTION = FunctionName("111122223333", "us-east-1", "f")


async def put(queue: EventQueue, payload: bytes) -> int | None:
    """Its id, or None where it is refused."""
    told = asyncio.get_running_loop().create_future()
    event_id = queue.put(QueuedEvent("r", FUNCTION, None, "", Trials(0), payload), 0, told.set_result)
    error = await told
    assert error is None or isinstance(error, sqlite3.Error)
    return event_id if error is None else None


async def removed(queue: EventQueue, ids: list[int]) -> bool:
    futures = [asyncio.get_running_loop().create_future() for _ in ids]
    for event_id, told in zip(ids, futures, strict=True):
        queue.remove(event_id, told.set_result)
    return not any(await asyncio.gather(*futures))


async def main(directory: Path) -> int:
    queue = EventQueue(directory / "events.sqlite")
    await queue.open()
    accepted = []
    while (event_id := await put(queue, b"x" * 10_000)) is not None:
        accepted.append(event_id)
    assert len(accepted) > 500
    left = shutil.disk_usage(directory).free
    others = directory / "others"
    with others.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert await put(queue, b"x" * 10_000) is None
    for at in range(0, len(accepted), AT_ONCE):
        if not await removed(queue, accepted[at : at + AT_ONCE]):
            return 3
    assert not await queue.totals()
    others.unlink()
    assert await put(queue, b"x") is not None
    await queue.close()
    return 0 if left > 8 * 1024**2 else 4


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        kernel.mount("tmpfs", place, "tmpfs", 0, DISK)
        try:
            if len(sys.argv) > 1:
                event_queue.RESERVE_BYTES, event_queue.LEFT_BYTES = map(int, sys.argv[1:])
            sys.exit(asyncio.run(main(Path(place))))
        finally:
            kernel.unmount(place)

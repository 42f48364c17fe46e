"""What a death of the process and a full disk leave behind. Both are had for real, in a process of their own."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from logs_under_test import ACCOUNT, REGION, FixedClock

from lambent.observe.ledger import Began, entries
from lambent.observe.log_store import LogStore

GROUP = "/aws/lambda/echo"

KILLED_WHILE_WRITING = f"""
import asyncio, os, pathlib, signal, sys
from lambent.clock import SystemClock
from lambent.observe.log_store import LogStore

async def main():
    store = LogStore(pathlib.Path(sys.argv[1]), SystemClock(), segment_bytes=20_000)
    await store.open()
    for number in range(100_000):
        store.append("{ACCOUNT}", "{REGION}", "{GROUP}", f"s{{number % 3}}", [(number, f"line {{number}}")])
        if number % 50 == 0:
            await store.flush()
            print(number, flush=True)

asyncio.run(main())
"""

# A limit on the size of files cuts a write short just as a full disk does.
LOGS_ON_A_FULL_DISK = f"""
import asyncio, pathlib, resource, sys
from lambent.clock import SystemClock
from lambent.observe.log_store import LogStore

async def main():
    store = LogStore(pathlib.Path(sys.argv[1]), SystemClock())
    await store.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    for number in range(20):
        store.append("{ACCOUNT}", "{REGION}", "{GROUP}", "s", [(number, f"{{number:02d}}" + "x" * 100)])
        await store.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.append("{ACCOUNT}", "{REGION}", "{GROUP}", "s", [(20, "room again")])
    await store.close()
    print(store.dropped_lines)

asyncio.run(main())
"""

LEDGER_ON_A_FULL_DISK = """
import pathlib, resource, sys
from lambent.observe.ledger import Began, Ledger

ledger = Ledger(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for number in range(20):
    ledger.append(Began(str(number), "123456789012", "eu-west-1", "echo", "$LATEST", 128, "x86_64", number))
    ledger.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.append(Began("room again", "123456789012", "eu-west-1", "echo", "$LATEST", 128, "x86_64", 20))
ledger.flush()
print(ledger.lost_entries)
"""


def texts(directory: Path) -> list[str]:
    async def read() -> list[str]:
        store = LogStore(directory, FixedClock())
        await store.open()
        page = await store.search(ACCOUNT, REGION, GROUP)
        await store.close()
        return [event.text for event in page.events]

    return asyncio.run(read())


def test_what_was_flushed_before_a_kill_is_read_after_it(directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        flushed = 0
        while flushed < 2000:
            flushed = int(process.stdout.readline())
        process.kill()
    assert process.returncode == -signal.SIGKILL
    found = texts(directory)
    assert len(found) > flushed
    assert found == [f"line {number}" for number in range(len(found))]


def test_a_full_disk_costs_whole_batches_of_lines_and_leaves_no_torn_ones(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGS_ON_A_FULL_DISK, str(directory)], capture_output=True, text=True, check=True
    )
    found = texts(directory)
    assert found[-1] == "room again"
    assert [int(text[:2]) for text in found[:-1]] == list(range(len(found) - 1))
    assert int(done.stdout) == 21 - len(found) > 0


def test_a_full_disk_costs_ledger_entries_that_are_counted(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEDGER_ON_A_FULL_DISK, str(directory)], capture_output=True, text=True, check=True
    )
    found = [entry.request_id for entry in entries(directory) if isinstance(entry, Began)]
    assert found[-1] == "room again"
    assert found[:-1] == [str(number) for number in range(len(found) - 1)]
    assert int(done.stdout) == 21 - len(found) > 0

"""A sandbox that was booted ahead of need, and ends before it is told what to run."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox.driver import Exit, SandboxSpec, Template
from lambent.worker.sandbox.freezing import descendants

GONE_WITHIN_S = 20.0
SPEC = SandboxSpec("box", Template(), (), memory_mib=128, ephemeral_mib=64)


def wait_until_gone(process: int) -> None:
    """With the event loop held, so that what is told of it has not been heard."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
def test_the_end_of_what_was_booted_is_not_taken_for_that_of_the_program(taken: bool) -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            lost: list[str] = []
            booted = await bench.driver.boot(SPEC, lost.append)
            first, _ = descendants(launcher)[-2:]
            if taken:
                sandbox = await bench.driver.create(SPEC, booted)
            os.kill(first, signal.SIGKILL)
            wait_until_gone(first)
            if not taken:
                sandbox = await bench.driver.create(SPEC, booted)
            watched = await bench.start(sandbox, "/bin/sh", "-c", "echo started; sleep 600")
            assert await watched.says("started") == "started\n"
            await sandbox.kill()
            assert (await watched.outcome()).exit == Exit(signal=9)
            assert lost == []

    asyncio.run(run())

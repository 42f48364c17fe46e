"""A sandbox that was booted ahead: it ends before it is told what to run, or can not be made its function's own."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox.driver import Exit, SandboxError, SandboxSpec, Template
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
                sandbox = bench.driver.claim(booted, SPEC)
            os.kill(first, signal.SIGKILL)
            wait_until_gone(first)
            if not taken:
                sandbox = bench.driver.claim(booted, SPEC)
            watched = await bench.start(sandbox, "/bin/sh", "-c", "echo started; sleep 600")
            assert await watched.says("started") == "started\n"
            await sandbox.kill()
            assert (await watched.outcome()).exit == Exit(signal=9)
            assert lost == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("mib", "reason"),
    [(1 << 40, "File too large"), (1 << 60, "a fault of the sandbox launcher: OverflowError")],
    ids=["refused by the machine", "a bug of ours"],
)
def test_one_that_can_not_be_made_the_functions_own_is_not_started_and_the_others_are(mib: int, reason: str) -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            if not bench.driver.found["tmp"]:  # type: ignore[attr-defined]
                pytest.skip("/tmp is a tmpfs here, which may be said to be of any size")
            booted, other = [await bench.driver.boot(SPEC, print) for _ in range(2)]
            sandbox = bench.driver.claim(booted, replace(SPEC, ephemeral_mib=mib))
            with pytest.raises(SandboxError, match=reason):
                await bench.start(sandbox, "/bin/true")
            await sandbox.destroy()
            well = bench.driver.claim(other, replace(SPEC, sandbox_id="well"))
            assert (await bench.run(well, "/bin/echo", "works")).output == "works\n"

    asyncio.run(run())

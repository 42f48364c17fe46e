"""What is given up in the moment of its answer, a program that can not be started, and control groups that others have
made busy: nothing of them is kept."""

import asyncio
import os
import select
import subprocess
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from lambent.settings import Settings
from lambent.testing.sandboxes import Bench, open_bench
from lambent.testing.soak.gauges import groups_of
from lambent.worker.sandbox.driver import Program, SandboxError, SandboxSpec, Template
from lambent.worker.sandbox.freezing import descendants
from lambent.worker.sandbox.launched import mark_of

DRIVER = Settings().sandbox
GONE_WITHIN_S = 10.0
SPEC = SandboxSpec("box", Template(), (), memory_mib=128, ephemeral_mib=64)


def descriptors(process: int) -> dict[str, str]:
    found = {}
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def hold_until_answered(bench: Bench) -> None:
    """Hold the loop until the launcher's answer is there, unread."""
    link = bench.driver._link  # type: ignore[attr-defined]
    answered, _, _ = select.select([link._socket], [], [], GONE_WITHIN_S)
    assert answered


def test_a_start_that_is_given_up_in_the_moment_of_its_answer_leaves_no_descriptor() -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:
            sandbox = await bench.create()
            await bench.run(sandbox, "/bin/true")
            before = descriptors(os.getpid())
            start = asyncio.ensure_future(sandbox.start(Program(("/bin/sleep", "60"), {}), print))
            await asyncio.sleep(0)
            # The turn of the loop reads the answer, and the next one gives the start up before it has heard of that.
            hold_until_answered(bench)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            await sandbox.kill()
            assert descriptors(os.getpid()) == before

    asyncio.run(run())


def test_who_asks_while_the_driver_closes_starts_no_launcher_that_nobody_would_end() -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:
            closing = asyncio.create_task(bench.driver.close())
            await asyncio.sleep(0)
            with pytest.raises(SandboxError, match="closed"):
                await bench.driver.boot(SPEC, print)
            await closing
            assert bench.driver.launcher_pid == 0  # type: ignore[attr-defined]

    asyncio.run(run())


def test_a_request_that_the_launcher_does_not_understand_is_answered_and_the_next_one_too() -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:
            link = bench.driver._link  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                with pytest.raises(SandboxError, match="a fault of the sandbox launcher: KeyError"):
                    await link.ask("create", id="box", origin="")
            assert (await bench.run(await bench.create(), "/bin/echo", "works")).output == "works\n"

    asyncio.run(run())


def processes_of(bench: Bench) -> list[int]:
    return descendants(bench.driver.launcher_pid)  # type: ignore[attr-defined]


async def give_up_when_answered(bench: Bench, asking: Coroutine[Any, Any, Any], name: str, before: list[int]) -> None:
    """In the moment of the launcher's answer. Nothing of the sandbox that was asked for is left then, and only the
    processes that there were before."""
    asked = asyncio.ensure_future(asking)
    await asyncio.sleep(0)
    hold_until_answered(bench)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    deadline = time.monotonic() + GONE_WITHIN_S
    while processes_of(bench) != before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    with pytest.raises(SandboxError, match=f"there is no sandbox {name}"):
        await bench.driver._link.ask("destroy", id=name)  # type: ignore[attr-defined]


def test_a_boot_that_is_given_up_in_the_moment_of_its_answer_leaves_no_sandbox() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            await (await bench.driver.boot(SPEC, print)).sandbox.destroy()
            await give_up_when_answered(bench, bench.driver.boot(SPEC, print), "booted-2", processes_of(bench))

    asyncio.run(run())


def test_a_sandbox_that_is_given_up_in_the_moment_of_its_answer_is_taken_away() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            await (await bench.driver.create(SPEC)).destroy()
            before = processes_of(bench)
            await give_up_when_answered(bench, bench.driver.create(SPEC), "box", before)


def test_one_that_was_booted_and_is_destroyed_unclaimed_is_not_told_to_be_lost() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            lost: list[str] = []
            await (await bench.driver.boot(SPEC, print)).sandbox.destroy()
            before = processes_of(bench), descriptors(os.getpid())
            await (await bench.driver.boot(SPEC, lost.append)).sandbox.destroy()
            assert (processes_of(bench), descriptors(os.getpid())) == before
            assert (await bench.run(await bench.create(), "/bin/echo", "works")).output == "works\n"
            assert lost == []

    asyncio.run(run())

    asyncio.run(run())


def test_a_program_that_can_not_be_started_leaves_no_descriptor_to_the_launcher() -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:

            async def fail() -> None:
                sandbox = await bench.create()
                with pytest.raises(SandboxError):
                    await sandbox.start(Program(("/bin/true",), {"BROKEN": "a\0b"}), print)
                await sandbox.destroy()

            await fail()  # what is made once
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            before = len(descriptors(launcher))
            for _ in range(3):
                await fail()
            assert len(descriptors(launcher)) == before

    asyncio.run(run())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may have no control groups")
def test_groups_that_others_have_made_busy_are_taken_away_with_the_sandbox() -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:
            mark = mark_of(bench.data_dir)
            sandbox = await bench.create()
            await bench.run(sandbox, "/bin/true")
            groups = [group for group in groups_of("box-1") if mark in group]
            assert groups
            with subprocess.Popen(["sleep", "600"]) as other:  # noqa: ASYNC220
                try:
                    for group in groups:
                        inner = Path(group) / "others" / "and-more"
                        inner.mkdir(parents=True)
                        (inner / "cgroup.procs").write_text(str(other.pid))
                    await sandbox.destroy()
                finally:
                    other.kill()
            assert [group for group in groups_of("box-1") if mark in group] == []
            assert (await bench.run(await bench.create(), "/bin/echo", "works")).output == "works\n"

    asyncio.run(run())

"""What is on the machine after sandboxes, launchers and servers have gone, the latter two by force."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lambent.testing.sandboxes import UID_BASE, UID_COUNT, open_bench
from lambent.testing.templates import functions_of
from lambent.worker.sandbox.driver import Exit, SandboxError
from lambent.worker.sandbox.launched import mark_of
from sandbox_drivers import isolating

GONE_WITHIN_S = 10.0

# A server in miniature: three live sandboxes, one of them frozen, then it waits to be killed.
SERVER = """
import asyncio, sys
from pathlib import Path
from lambent.testing.sandboxes import open_bench
async def main():
    async with open_bench(sys.argv[1], Path(sys.argv[2])) as bench:
        for number in range(3):
            sandbox = await bench.create()
            watched = await bench.start(sandbox, "/bin/sh", "-c", "echo up; sleep 600 & sleep 600", sys.argv[3])
            await watched.says("up")
        sandbox.freeze()
        print(bench.driver.launcher_pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def cgroups_of(data_dir: Path) -> list[Path]:
    name = mark_of(data_dir)
    return [Path(place) / name for place, names, _ in os.walk("/sys/fs/cgroup") if name in names]


def members(data_dir: Path) -> list[int]:
    return [
        int(process)
        for group in cgroups_of(data_dir)
        for procs in group.glob("*/cgroup.procs")
        if procs.parent.name != "zygotes"
        for process in procs.read_text().split()
    ]


def below(parent: int) -> set[int]:
    """Every descendant of a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
    found = {parent}
    while more := {child for child, its in parents.items() if its in found} - found:
        found |= more
    return found - {parent}


def command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(processes: set[int]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := {process for process in processes if alive(process)}:
        assert time.monotonic() < deadline, f"still alive: {left}"
        os.sched_yield()


@contextmanager
def server(driver: str, data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int, set[int]]]:
    """The process, its launcher, and all that they started."""
    command = [sys.executable, "-c", textwrap.dedent(SERVER), driver, str(data_dir), "canary"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            launcher = int(process.stdout.readline())
            yield process, launcher, below(process.pid)
        finally:
            process.kill()


def state(data_dir: Path) -> dict[str, object]:
    """What may grow by mistake."""
    return {
        "processes": below(os.getpid()),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "cgroups": sorted(path.name for group in cgroups_of(data_dir) for path in group.iterdir() if path.is_dir()),
        "loops": sorted(
            path.parent.parent.name
            for path in Path("/sys/block").glob("loop*/loop/backing_file")
            if str(data_dir) in path.read_text()
        ),
        "files": sorted(str(path) for path in data_dir.rglob("*")),
    }


@pytest.mark.parametrize("driver", [*isolating(), "process"])
def test_sixty_sandboxes_leave_nothing_behind(driver: str) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:

            async def one() -> None:
                sandbox = await bench.create(ephemeral_mib=16)
                watched = await bench.start(sandbox, "/bin/sh", "-c", "echo up; (sleep 60) & sleep 60")
                await watched.says("up")
                await sandbox.destroy()
                await watched.outcome()

            await one()  # what is made once: the template of /tmp
            before = state(bench.data_dir)
            for _ in range(10):
                await asyncio.gather(*(one() for _ in range(6)))
            left = below(os.getpid()) - before["processes"]  # type: ignore[operator]
            # Without isolation a group's killed orphans are reaped by the launcher a moment later.
            wait_until_gone(left)
            after = state(bench.data_dir)
            after["processes"] = before["processes"]
            assert after == before

    asyncio.run(run())


@pytest.mark.parametrize("driver", [*isolating(), "process"])
def test_when_the_server_is_killed_its_launcher_takes_everything_away(driver: str, data_dir: Path) -> None:
    with server(driver, data_dir) as (process, launcher, started):
        assert launcher in started
        assert len(started) > 6
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_gone(started)
    assert cgroups_of(data_dir) == []
    assert [path.name for path in (data_dir / "sandbox").iterdir() if not path.name.endswith(".ext4")] == []


@pytest.mark.parametrize("driver", isolating())
def test_when_server_and_launcher_are_killed_the_next_start_cleans_up(driver: str, data_dir: Path) -> None:
    async def next_start() -> None:
        async with open_bench(driver, data_dir) as bench:
            assert members(data_dir) == []
            assert (await bench.run(await bench.create(), "/bin/echo", "works")).output == "works\n"

    other = data_dir.with_name("other")
    with (
        server(driver, other) as (_, _, living),
        server(driver, data_dir) as (process, launcher, started),
    ):
        others = {one for one in living if "sleep 600" in command_line(one)}
        assert len(others) >= 3
        os.kill(launcher, signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.wait()
        asyncio.run(next_start())
        wait_until_gone(started)
        assert cgroups_of(data_dir) == []
        assert all(alive(one) for one in others)
        if os.geteuid() == 0:
            assert members(other)


@pytest.mark.parametrize("driver", isolating())
def test_when_the_launcher_is_killed_every_sandbox_ends_and_the_next_has_a_new_one(driver: str) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            sandbox = await bench.create()
            watched = await bench.start(sandbox, "/bin/sleep", "600")
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            started = below(launcher)
            os.kill(launcher, signal.SIGKILL)
            assert (await watched.outcome()).exit == Exit(signal=9)
            wait_until_gone(started)
            with pytest.raises(SandboxError):
                await bench.run(sandbox, "/bin/true")
            await sandbox.destroy()
            assert (await bench.run(await bench.create(), "/bin/echo", "again")).output == "again\n"
            assert bench.driver.launcher_pid != launcher  # type: ignore[attr-defined]

    asyncio.run(run())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives out user ids")
def test_user_ids_are_used_again_and_never_twice_at_one_time() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench:
            first = [await bench.create(ephemeral_mib=16) for _ in range(4)]
            uids = {sandbox.uid for sandbox in first}  # type: ignore[attr-defined]
            assert len(uids) == 4
            assert all(UID_BASE <= uid < UID_BASE + UID_COUNT for uid in uids)

    asyncio.run(run())


def test_a_template_and_what_was_restored_from_it_end_with_the_launcher() -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench, functions_of(bench, "python3.11") as functions:
            template, ready = await functions.template("def handler(event, context): return event")
            async with asyncio.timeout(GONE_WITHIN_S):
                await ready.wait()
            restored = [await functions.restore(template.sandbox) for _ in range(2)]
            assert [await one.ask(1) for one in restored] == [1, 1]
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            left = below(launcher)
            assert len(left) > 6
            os.kill(launcher, signal.SIGKILL)
            for one in (template, *restored):
                assert await one.watched.ended == Exit(signal=9)
            await asyncio.to_thread(wait_until_gone, left)
            # A new launcher removes the groups, of which those of the restored are below the template's.
            again, ready = await functions.template("def handler(event, context): return event")
            async with asyncio.timeout(GONE_WITHIN_S):
                await ready.wait()
            groups = {path.name for group in cgroups_of(bench.data_dir) for path in group.rglob("*") if path.is_dir()}
            assert not any(name.startswith("restored") for name in groups)
            assert await (await functions.restore(again.sandbox)).ask(2) == 2

    asyncio.run(run())


def sleeping(launcher: int, how_many: int) -> set[int]:
    deadline = time.monotonic() + GONE_WITHIN_S
    while len(found := {one for one in below(launcher) if command_line(one).startswith("sleep ")}) < how_many:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "by itself"])
def test_without_isolation_what_has_left_the_process_group_ends_with_the_program(killed: bool) -> None:
    async def run() -> None:
        async with open_bench("process") as bench:
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            staying = await bench.create()
            other = await bench.start(staying, "/bin/sh", "-c", "setsid sleep 600 & wait")
            others = sleeping(launcher, 1)
            # One is a child of the program, the other of nobody any more.
            script = "setsid sleep 601 & (setsid sleep 602 & exit 0); sleep 603; exit 0"
            sandbox = await bench.create()
            program = await bench.start(sandbox, "/bin/sh", "-c", script)
            ours = sleeping(launcher, 4) - others
            if killed:
                await sandbox.kill()
            else:
                os.kill(next(one for one in ours if "603" in command_line(one)), signal.SIGTERM)
            await program.outcome()
            wait_until_gone(ours)
            assert all(map(alive, others))
            await staying.kill()
            await other.outcome()

    asyncio.run(run())


def test_without_isolation_what_hides_whose_it_is_ends_with_the_launcher() -> None:
    async def run() -> None:
        async with open_bench("process") as bench:
            sandbox = await bench.create()
            script = "(env -i setsid sleep 600 & exit 0); sleep 601; exit 0"
            program = await bench.start(sandbox, "/bin/sh", "-c", script)
            both = sleeping(bench.driver.launcher_pid, 2)  # type: ignore[attr-defined]
            hidden = {one for one in both if "600" in command_line(one)}
            os.kill(*(both - hidden), signal.SIGTERM)
            await program.outcome()
            await sandbox.destroy()
            assert all(map(alive, hidden))
        wait_until_gone(hidden)

    asyncio.run(run())

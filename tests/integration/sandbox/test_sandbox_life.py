"""The life of a sandbox under both drivers: start, exit, freeze, kill, start again, destroy."""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from lambent.testing.sandboxes import Bench, open_bench
from lambent.worker.sandbox.driver import Exit, Link, Mount, Program, SandboxError, SandboxSpec, Template
from sandbox_drivers import isolating

both = pytest.mark.parametrize("driver", [*isolating(), "process"])

TICK = """
import time
while True:
    print('tick', flush=True)
    time.sleep(0.005)
"""


def on_a_bench(driver: str, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            await work(bench)

    asyncio.run(run())


@both
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", Exit(code=0)),
        ("exit 3", Exit(code=3)),
        ("kill -SEGV $$", Exit(signal=11)),
        ("kill -KILL $$", Exit(signal=9)),
        ("kill -TERM $$", Exit(signal=15)),
    ],
)
def test_how_a_program_ended_is_told(driver: str, script: str, expected: Exit) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(await bench.create(), "/bin/sh", "-c", script)
        assert outcome.exit == expected

    on_a_bench(driver, work)


@both
def test_a_program_that_does_not_exist_is_a_launch_error(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(await bench.create(), "/var/task/bootstrap")
        assert outcome.exit.launch_error is not None
        assert outcome.exit.code is None

    on_a_bench(driver, work)


@both
def test_a_program_takes_the_processor_from_nobody_when_it_is_woken(driver: str) -> None:
    """Nor from the server, which wakes it with an event and has others to hand out."""

    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(), "import os; print(os.sched_getscheduler(0))")
        assert outcome.output == f"{os.SCHED_BATCH}\n"

    on_a_bench(driver, work)


@both
def test_the_program_sees_its_variables_and_no_others(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.run(await bench.create(), "/usr/bin/env", GREETING="hello: world", EMPTY="")
        lines = set(outcome.output.splitlines())
        assert {"GREETING=hello: world", "EMPTY="} <= lines
        others = {"oci": {"HOME"}, "process": {"TMPDIR", "_LAMBENT_ROOT"}}.get(driver.partition(":")[0], set())
        assert {line.split("=")[0] for line in lines} == {"GREETING", "EMPTY", "PATH"} | others

    on_a_bench(driver, work)


@both
def test_mounts_and_links_are_where_they_were_asked_for(driver: str) -> None:
    async def work(bench: Bench) -> None:
        (bench.code / "greeting").write_text("hello")
        template = Template(links=(Link("/var/lib/task", "/var/task"),))
        spec = SandboxSpec("linked", template, (Mount(bench.code, "/var/task"),), 128, 16)
        sandbox = await bench.driver.create(spec)
        outcome = await bench.run(sandbox, "/bin/cat", "/var/lib/task/greeting", "/var/task/greeting")
        assert outcome.output == "hellohello"

    on_a_bench(driver, work)


@both
def test_code_that_is_gone_is_a_fault_of_the_machine(driver: str) -> None:
    async def work(bench: Bench) -> None:
        spec = SandboxSpec("bare", Template(), (Mount(bench.code / "gone", "/var/task"),), 128, 16)
        with pytest.raises(SandboxError):
            await bench.run(await bench.driver.create(spec), "/bin/echo", "never")

    on_a_bench(driver, work)


@both
def test_a_frozen_sandbox_stands_still_and_goes_on_when_thawed(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        watched = await bench.start(sandbox, bench.python, "-I", "-c", TICK)
        await watched.says("tick")
        sandbox.freeze()
        before = await watched.says("tick")
        await asyncio.sleep(0.1)  # nothing is to happen in it, so there is no event to wait for
        # What was in the pipe when it froze may still arrive: a tick or two, where running it would be twenty.
        assert len(await watched.says("tick")) - len(before) <= 3 * len("tick\n")
        sandbox.thaw()
        await watched.says("tick\n" * (before.count("tick") + 20))
        await sandbox.kill()
        assert (await watched.outcome()).exit == Exit(signal=9)

    on_a_bench(driver, work)


@both
def test_a_frozen_sandbox_can_be_killed_and_started_again_with_its_tmp(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        keep = """
import os, time
open(os.environ.get('TMPDIR', '/tmp') + '/kept', 'w').write('kept')
print('up', flush=True)
time.sleep(60)
"""
        watched = await bench.start(sandbox, bench.python, "-I", "-c", keep)
        await watched.says("up")
        sandbox.freeze()
        await sandbox.kill()
        assert (await watched.outcome()).exit == Exit(signal=9)
        again = await bench.probe(sandbox, "import os; print(open(os.environ.get('TMPDIR', '/tmp') + '/kept').read())")
        assert again.output == "kept\n"
        assert again.exit == Exit(code=0)

    on_a_bench(driver, work)


@both
def test_only_one_program_runs_in_a_sandbox_at_a_time(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        watched = await bench.start(sandbox, "/bin/sleep", "60")
        with pytest.raises(SandboxError):
            await sandbox.start(Program(("/bin/true",), {}), print)
        await sandbox.destroy()
        await watched.outcome()
        with pytest.raises(SandboxError):
            await sandbox.start(Program(("/bin/true",), {}), print)

    on_a_bench(driver, work)


@both
def test_a_program_that_is_killed_in_the_moments_of_its_start_is_gone(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        for moment in range(12):
            watched = await bench.start(sandbox, "/bin/sleep", "60")
            await asyncio.sleep(moment * 0.002)  # to come upon each step of it
            await sandbox.kill()
            assert (await watched.outcome()).exit == Exit(signal=9)
        assert (await bench.run(sandbox, "/bin/echo", "well")).output == "well\n"

    on_a_bench(driver, work)


@both
def test_a_start_that_is_given_up_leaves_nothing_running(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        exits: list[Exit] = []
        start = asyncio.ensure_future(sandbox.start(Program(("/bin/sleep", "60"), {}), exits.append))
        await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await sandbox.kill()
        assert exits == []
        assert (await bench.run(sandbox, "/bin/echo", "again")).output == "again\n"

    on_a_bench(driver, work)


@both
def test_a_program_that_was_frozen_in_the_moment_of_its_end_leaves_no_frost_to_the_next(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        ending = await bench.start(sandbox, "/bin/sh", "-c", "echo up; sleep 0.1")
        await ending.says("up")
        time.sleep(0.5)  # noqa: ASYNC251 the loop is held: the end of the program is told, and not heard yet
        sandbox.freeze()
        await ending.outcome()
        outcome = await bench.run(sandbox, "/bin/echo", "hi")
        assert outcome.output == "hi\n"
        await sandbox.destroy()

    on_a_bench(driver, work)


@both
def test_the_peak_of_memory_grows_with_use(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(memory_mib=256)
        script = "block = b'x' * (64 << 20); print('up', flush=True); import time; time.sleep(60)"
        watched = await bench.start(sandbox, bench.python, "-I", "-c", script)
        await watched.says("up")
        assert 64 <= sandbox.memory_peak_mib() <= 128
        await sandbox.destroy()
        await watched.outcome()

    on_a_bench(driver, work)


@both
def test_the_peak_of_memory_is_that_of_the_program_that_runs(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(memory_mib=256)
        script = "block = b'x' * (100 << 20); print('up', flush=True); import time; time.sleep(60)"
        taker = await bench.start(sandbox, bench.python, "-I", "-c", script)
        await taker.says("up")
        assert sandbox.memory_peak_mib() >= 100
        await sandbox.kill()
        await taker.outcome()
        small = await bench.start(sandbox, "/bin/sh", "-c", "echo up; sleep 60")
        await small.says("up")
        assert sandbox.memory_peak_mib() < 64
        await sandbox.destroy()
        await small.outcome()

    on_a_bench(driver, work)


@both
def test_the_drivers_work_on_the_servers_event_loop(driver: str) -> None:
    async def work() -> None:
        async with open_bench(driver) as bench:
            sandboxes = await asyncio.gather(*(bench.create() for _ in range(4)))
            outcomes = await asyncio.gather(*(bench.run(sandbox, "/bin/echo", "hi") for sandbox in sandboxes))
            assert [outcome.output for outcome in outcomes] == ["hi\n"] * 4

    uvloop.run(work())


def a_tree_with(program: str, place: Path) -> None:
    """A root file system with one program, the libraries that it loads, and the places where things are mounted."""
    for name in ("dev", "proc", "tmp", "opt", "var/task"):
        (place / name).mkdir(parents=True)
    loaded = subprocess.run(("ldd", program), capture_output=True, text=True, check=True).stdout
    for path in (program, *re.findall(r"(/\S+) \(0x", loaded)):
        (place / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path[1:])


@pytest.mark.parametrize("driver", isolating())
def test_a_directory_can_be_the_root_file_system(driver: str) -> None:
    async def work(bench: Bench) -> None:
        root = bench.code.parent / "root"
        a_tree_with("/usr/bin/find", root)
        (root / "release").write_text("another system")
        (bench.code / "greeting").write_text("hello")
        template = Template(root=root)
        sandbox = await bench.driver.create(SandboxSpec("other", template, (Mount(bench.code, "/var/task"),), 128, 16))
        found = (await bench.run(sandbox, "/usr/bin/find", "/", "-xdev", "-maxdepth", "1")).output.split()
        assert "/release" in found
        assert "/etc" not in found
        assert "greeting" in (await bench.run(sandbox, "/usr/bin/find", "/var/task")).output
        removed = await bench.run(sandbox, "/usr/bin/find", "/release", "-delete")
        assert "Read-only file system" in removed.output
        assert (root / "release").exists()

    on_a_bench(driver, work)

"""A function has what it is allowed, to the full: a limit is where it is said to be. What lies beyond is in
`test_probes`."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import pytest

from lambent.testing.sandboxes import Bench, open_bench
from lambent.worker.sandbox.driver import Share
from sandbox_drivers import isolating

every_driver = pytest.mark.parametrize("driver", isolating())

TAKE_MEMORY = """
import sys
block = bytearray(int(sys.argv[1]) << 20)
for place in range(0, len(block), 4096):
    block[place] = 1
print('taken')
"""
HAVE_A_CHILD_TAKE_MEMORY = """
import subprocess, sys, time
subprocess.run([sys.executable, '-c', {script!r}, '256'])
time.sleep(5)  # it is a matter of a moment
print('the child alone has ended')
"""
FORK = """
import os, signal
children = []
try:
    for _ in range(200):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""
FILL_TMP = """
import os, sys
written = 0
try:
    with open('/tmp/big', 'wb', buffering=0) as file:
        for _ in range(int(sys.argv[1])):
            written += file.write(bytes(1 << 20))
except OSError as error:
    print(error.strerror)
os.unlink('/tmp/big')
print('written:', written >> 20)
"""
FILL_TMP_WITH_FILES = """
import itertools, os
try:
    for number in itertools.count():
        os.close(os.open(f'/tmp/{number}', os.O_CREAT | os.O_WRONLY))
except OSError:
    print(number)
"""
SPIN = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
begin = float(sys.argv[1])
time.sleep(max(0, begin - time.time()))
before = time.process_time()
while time.time() < begin + 0.5: pass
print(time.process_time() - before)
"""
STARTED_WITHIN_S = 2
OPEN_FILES = """
import os
files = []
try:
    while True: files.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    print(len(files) + 3)
"""


def on_a_bench(driver: str, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            await work(bench)

    asyncio.run(run())


@every_driver
def test_memory_up_to_its_size_can_be_used_and_the_peak_is_told(driver: str) -> None:
    async def work(bench: Bench) -> None:
        if any("Memory is bounded per process" in sentence for sentence in bench.missing):
            pytest.skip(bench.missing[0])
        sandbox = await bench.create(memory_mib=128)
        assert (await bench.probe(sandbox, TAKE_MEMORY, "256")).exit.signal == 9
        assert sandbox.memory_peak_mib() == 128
        assert (await bench.probe(sandbox, TAKE_MEMORY, "96")).output == "taken\n"

    on_a_bench(driver, work)


@every_driver
def test_processor_time_is_had_in_proportion_to_memory(driver: str) -> None:
    async def work(bench: Bench) -> None:
        if any("Processor time is shared among processes" in sentence for sentence in bench.missing):
            pytest.skip("no cgroup hierarchy for it")
        small, large = [await bench.create(memory_mib=size) for size in (128, 1769)]
        begin = str(time.time() + STARTED_WITHIN_S)
        one, other = await asyncio.gather(bench.probe(small, SPIN, begin), bench.probe(large, SPIN, begin))
        alone = await bench.probe(small, SPIN, str(time.time() + STARTED_WITHIN_S))
        # 14 times as much, but what else runs on the machine has its part of that processor.
        assert float(one.output) * 4 < float(other.output)
        assert float(one.output) * 2 < float(alone.output), "alone it has what nobody wants"

    on_a_bench(driver, work)


@every_driver
def test_a_child_that_takes_too_much_memory_ends_all_of_the_environment(driver: str) -> None:
    async def work(bench: Bench) -> None:
        if any("Memory is bounded per process" in sentence for sentence in bench.missing):
            pytest.skip(bench.missing[0])
        sandbox = await bench.create(memory_mib=128)
        outcome = await bench.probe(sandbox, HAVE_A_CHILD_TAKE_MEMORY.format(script=TAKE_MEMORY))
        assert (outcome.exit.signal, outcome.output) == (9, "")
        assert (await bench.probe(sandbox, TAKE_MEMORY, "96")).output == "taken\n"

    on_a_bench(driver, work)


@every_driver
def test_where_all_together_have_no_more_memory_one_environment_ends_and_not_all(driver: str) -> None:
    async def run() -> None:
        async with open_bench(driver, share=Share(memory_mib=256)) as bench:
            if any("Memory is bounded per process" in sentence for sentence in bench.missing):
                pytest.skip(bench.missing[0])
            small, greedy = [await bench.create(memory_mib=size) for size in (128, 512)]
            waits = asyncio.create_task(bench.probe(small, "import time; time.sleep(3); print('lives')"))
            taken = await bench.probe(greedy, TAKE_MEMORY, "400")
            assert (taken.exit.signal, taken.output) == (9, "")
            assert (await waits).output == "lives\n"

    asyncio.run(run())


@every_driver
def test_where_it_is_capped_that_is_all_there_is(driver: str) -> None:
    async def run() -> None:
        async with open_bench(driver, share=Share(cpu_capped=True)) as bench:
            if any("Processor time is shared among processes" in sentence for sentence in bench.missing):
                pytest.skip("no cgroup hierarchy for it")
            alone = await bench.probe(await bench.create(memory_mib=128), SPIN, str(time.time() + STARTED_WITHIN_S))
            assert float(alone.output) < 0.1, "a fourteenth of half a second"

    asyncio.run(run())


@every_driver
def test_so_many_processes_can_be_had_with_the_first_one(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(processes=64)
        assert (await bench.probe(sandbox, FORK)).output == "63\n"

    on_a_bench(driver, work)


@every_driver
def test_so_many_files_can_be_open(driver: str) -> None:
    async def work(bench: Bench) -> None:
        assert (await bench.probe(await bench.create(), OPEN_FILES)).output == "1024\n"

    on_a_bench(driver, work)


@every_driver
def test_all_of_tmp_can_be_written_and_a_little_more_at_most(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(ephemeral_mib=64), FILL_TMP, "128")
        assert outcome.output.startswith("No space left on device")
        assert 64 <= int(outcome.output.rpartition(":")[2]) < 80

    on_a_bench(driver, work)


@every_driver
def test_tmp_takes_files_by_the_thousand(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(ephemeral_mib=64), FILL_TMP_WITH_FILES)
        assert 16_000 <= int(outcome.output) < 20_000

    on_a_bench(driver, work)


@every_driver
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="disk images can be attached by root only")
def test_tmp_is_disk_and_not_the_functions_memory(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(memory_mib=128, ephemeral_mib=512)
        within = await bench.probe(sandbox, FILL_TMP, "400")
        beyond = await bench.probe(sandbox, FILL_TMP, "600")
        assert within.output == "written: 400\n"
        assert "No space left on device" in beyond.output
        assert beyond.exit.code == 0

    on_a_bench(driver, work)

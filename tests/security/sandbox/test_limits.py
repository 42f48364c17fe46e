"""What a function must not use more of than allowed. As in `test_isolation`, each probe succeeds without isolation;
all are bounded to 200 processes and twice the memory."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from lambent.testing.sandboxes import Bench, open_bench

both = pytest.mark.parametrize(("driver", "bounded"), [("namespaces", True), ("process", False)])
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="disk images can be attached by root only")

TAKE_MEMORY = """
import sys
block = bytearray(int(sys.argv[1]) << 20)
for place in range(0, len(block), 4096):
    block[place] = 1
print('taken')
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
except OSError as error:
    print(error.strerror)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print('children:', len(children))
"""
FILL_TMP = """
import os, sys
name = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'big')
written = 0
try:
    with open(name, 'wb', buffering=0) as file:
        for _ in range(int(sys.argv[1])):
            written += file.write(bytes(1 << 20))
except OSError as error:
    print(error.strerror)
os.unlink(name)
print('written:', written >> 20)
"""


def on_a_bench(driver: str, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            await work(bench)

    asyncio.run(run())


@both
def test_a_function_can_not_take_more_memory_than_it_has(driver: str, bounded: bool) -> None:
    async def work(bench: Bench) -> None:
        if bounded and any("Memory is bounded per process" in sentence for sentence in bench.missing):
            pytest.skip(bench.missing[0])
        sandbox = await bench.create(memory_mib=128)
        outcome = await bench.probe(sandbox, TAKE_MEMORY, "256")
        assert ("taken" in outcome.output) != bounded
        if bounded:
            assert outcome.exit.signal == 9
            assert sandbox.memory_peak_mib() == 128
            assert "taken" in (await bench.probe(sandbox, TAKE_MEMORY, "64")).output

    on_a_bench(driver, work)


@both
def test_a_process_can_not_take_far_more_memory_even_without_cgroups(driver: str, bounded: bool) -> None:
    async def work(bench: Bench) -> None:
        if bounded and os.geteuid() == 0:
            pytest.skip("root has cgroups, which bound it more closely")
        sandbox = await bench.create(memory_mib=1024)
        outcome = await bench.probe(sandbox, "block = bytearray(2 << 30); print('taken')")  # reserved, not used
        assert ("taken" in outcome.output) != bounded

    on_a_bench(driver, work)


@both
def test_a_function_can_not_have_more_processes_than_allowed(driver: str, bounded: bool) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(processes=64)
        outcome = await bench.probe(sandbox, FORK)
        had = int(outcome.output.rpartition(":")[2])
        assert had == (63 if bounded else 200)

    on_a_bench(driver, work)


@both
def test_a_function_can_not_write_more_to_tmp_than_its_size(driver: str, bounded: bool) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(ephemeral_mib=64)
        outcome = await bench.probe(sandbox, FILL_TMP, "128")
        had = int(outcome.output.rpartition(":")[2])
        assert ("No space left on device" in outcome.output) == bounded
        assert (64 <= had < 80) == bounded

    on_a_bench(driver, work)


@pytest.mark.root
@needs_root
def test_tmp_is_disk_and_not_the_functions_memory() -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create(memory_mib=128, ephemeral_mib=512)
        within = await bench.probe(sandbox, FILL_TMP, "400")
        beyond = await bench.probe(sandbox, FILL_TMP, "600")
        assert within.output == "written: 400\n"
        assert "No space left on device" in beyond.output
        assert beyond.exit.code == 0

    on_a_bench("namespaces", work)


def test_a_function_can_not_open_more_files_than_allowed() -> None:
    script = """
import os
files = []
try:
    while True: files.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    print(len(files) + 3)
"""

    async def work(bench: Bench) -> None:
        assert (await bench.probe(await bench.create(), script)).output == "1024\n"

    on_a_bench("namespaces", work)

"""Where no more descriptors can be had: what is refused is refused alone, nothing is left of it, and it goes on when
there is room again."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from live_functions import Functions, eventually

from lambent.settings import Settings
from lambent.testing.sandboxes import Bench, open_bench
from lambent.worker.sandbox.driver import Booted, Program, SandboxError, SandboxSpec, Template
from lambent.worker.sandbox.freezing import descendants

DRIVER = Settings().sandbox
SPEC = SandboxSpec("box", Template(), (), memory_mib=128, ephemeral_mib=64)
OF_SERVER = 60
"""More than a server has open that does nothing."""

FUNCTION = """
import resource, time

def handler(event, context):
    time.sleep(event.get("sleep", 0))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1] + 1, limit[1] + 1))
    except (OSError, ValueError):
        return limit
"""


@contextlib.contextmanager
def soft_limit(descriptors: int) -> Iterator[None]:
    """Of this process, and of those that are started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


async def fill(bench: Bench, booted: list[Booted]) -> str:
    """Boot as many sandboxes as the launcher takes. Returns what it says to one more."""
    try:
        while True:
            booted.append(await bench.driver.boot(SPEC, print))
    except SandboxError as error:
        return str(error)


async def empty(bench: Bench, booted: list[Booted]) -> None:
    for one in booted:
        await one.sandbox.destroy()


def test_a_launcher_that_has_no_more_refuses_and_goes_on_when_there_is_room() -> None:
    async def run() -> None:
        with soft_limit(120):
            opened = contextlib.AsyncExitStack()
            bench = await opened.enter_async_context(open_bench("namespaces"))
        async with opened:
            launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
            await empty(bench, [await bench.driver.boot(SPEC, print)])  # what is made once
            stack = contextlib.AsyncExitStack()
            before, processes = open_files(launcher), descendants(launcher)
            booted: list[Booted] = []
            assert "Too many open files" in await fill(bench, booted)
            assert len(booted) > 3
            for _ in range(3):
                # Where it fails depends on what is free: with one sandbox that runs, it is another step of the way.
                await booted.pop().sandbox.destroy()
                stack.push_async_callback((await bench.create()).destroy)
                await fill(bench, booted)
            await stack.aclose()
            await empty(bench, booted)
            assert (open_files(launcher), descendants(launcher)) == (before, processes)
            assert (await bench.run(await bench.create(), "/bin/echo", "works")).output == "works\n"

    asyncio.run(run())


@pytest.mark.parametrize("room", range(3))
def test_a_start_whose_descriptors_do_not_all_arrive_fails_alone(room: int) -> None:
    async def run() -> None:
        async with open_bench(DRIVER) as bench:
            other = await bench.create()
            before = open_files(os.getpid())
            sandbox = await bench.create()
            with contextlib.ExitStack() as stack:
                first = os.dup(0)  # the lowest number that is free
                stack.callback(os.close, first)
                with soft_limit(first + 1 + room), pytest.raises(SandboxError, match="no room for its descriptors"):
                    await sandbox.start(Program(("/bin/sleep", "60"), {}), print)
            await sandbox.destroy()
            assert open_files(os.getpid()) == before
            assert (await bench.run(other, "/bin/echo", "works")).output == "works\n"

    asyncio.run(run())


def test_a_server_takes_all_that_it_may_have_and_a_function_keeps_a_limit_of_its_own(new_server: Any) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard <= 1024:
        pytest.skip("the hard limit is no higher than a function's")
    with contextlib.ExitStack() as stack:
        with soft_limit(512):
            server = stack.enter_context(new_server())
        assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        functions = Functions(server.client("lambda"))
        function = functions.create(FUNCTION)
        assert function.invoke({}).document == [1024, 1024]

        few = open_files(server.process.pid) + OF_SERVER
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (few, few))
        with ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(function.invoke, {"sleep": 2}) for _ in range(16)]
        refused = [answer.exception() for answer in answers if answer.exception() is not None]
        assert 0 < len(refused) < 16
        for error in refused:
            assert isinstance(error, ClientError), error
            assert error.response["Error"]["Code"] == "ServiceException"

        # Nor do connections that wait to be accepted end it, or keep it from those that come after them.
        host, port = server.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as callers:
            for _ in range(OF_SERVER):
                callers.enter_context(socket.create_connection((host, int(port)), timeout=5))
        eventually(lambda: function.invoke({}).document == [1024, 1024])

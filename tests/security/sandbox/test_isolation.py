"""What a sandbox shows and gives to a function, and nothing else. What a function may try is in `test_probes`."""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambent.testing.sandboxes import Bench, open_bench
from lambent.worker.sandbox import launcher
from sandbox_drivers import isolating

every_driver = pytest.mark.parametrize("driver", isolating())


def on_a_bench(driver: str, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_bench(driver) as bench:
            await work(bench)

    asyncio.run(run())


def processes_with(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if mark.encode() in command:
                found.append(int(entry.name))
    return found


@every_driver
def test_the_view_has_the_listed_directories_and_no_others(driver: str) -> None:
    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        outcome = await bench.probe(sandbox, "import os; print(*sorted(os.listdir('/')), '|', *os.listdir('/var'))")
        root, _, var = outcome.output.partition("|")
        assert set(root.split()) <= {
            *("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin", "tmp", "usr", "var")
        }
        assert set(var.split()) <= {"task", "lang"}

    on_a_bench(driver, work)


@every_driver
def test_a_function_holds_no_rights_and_no_descriptor_of_ours(driver: str) -> None:
    script = """
import os
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(*(status[name].strip() for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')))
print(status['NoNewPrivs'].strip(), status['Seccomp'].strip(), os.getuid(), os.getgid(), os.getgroups())
listed = os.listdir('/proc/self/fd')
print(sorted(int(name) for name in listed if os.path.exists('/proc/self/fd/' + name)))
print(os.listdir('/sys') if os.path.exists('/sys') else 'no /sys', os.path.exists('/dev/shm'))
try:
    print(open('/proc/1/environ').read())
except PermissionError:
    print('refused')
"""

    async def work(bench: Bench) -> None:
        capabilities, rights, descriptors, system, environment = (
            await bench.probe(await bench.create(), script)
        ).output.splitlines()
        assert set(capabilities.split()) == {"0000000000000000"}
        user = "0 0" if any("run as user 0" in sentence for sentence in bench.missing) else "993 990"
        assert rights.startswith(f"1 2 {user} ")
        if os.geteuid() == 0:
            assert rights.endswith("[]")
        assert descriptors == "[0, 1, 2]"
        assert system == "no /sys False"
        assert environment == "refused"

    on_a_bench(driver, work)


@every_driver
def test_the_first_process_tells_no_path_of_the_machine(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(), "print(open('/proc/1/cmdline').read())")
        assert outcome.output.split("\0")[0] in ("init", "zygote", "holder")
        for place in (bench.code, bench.data_dir, Path(launcher.__file__).parent, Path(sys.prefix)):
            assert str(place) not in outcome.output

    on_a_bench(driver, work)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give each environment a user id of its own")
@every_driver
def test_environments_run_under_user_ids_of_their_own(driver: str) -> None:
    async def work(bench: Bench) -> None:
        mark = secrets.token_hex(8)
        sandboxes = [await bench.create(), await bench.create()]
        programs = [
            await bench.start(sandbox, bench.python, "-c", "import time; print('up', flush=True); time.sleep(60)", mark)
            for sandbox in sandboxes
        ]
        for program in programs:
            await program.says("up")
        users = {Path(f"/proc/{process}").stat().st_uid for process in processes_with(mark)}
        for sandbox, program in zip(sandboxes, programs, strict=True):
            await sandbox.destroy()
            await program.outcome()
        assert len(users) == 2
        assert os.geteuid() not in users
        assert 0 not in users

    on_a_bench(driver, work)


@every_driver
def test_the_function_reaches_its_two_listeners_and_the_names_for_itself(driver: str) -> None:
    script = """
import socket, sys
for port, name in ((9001, '127.0.0.1'), (4566, 'sandbox.localdomain'), (9001, 'localhost')):
    print(port, socket.create_connection((name, port), 2).getpeername())
print(socket.gethostname(), socket.gethostbyname(socket.gethostname()))
"""

    async def work(bench: Bench) -> None:
        sandbox = await bench.create()
        outcome = await bench.probe(sandbox, script)
        assert outcome.exit.code == 0, outcome.output
        assert sandbox.addresses.runtime_api == "127.0.0.1:9001"
        assert sandbox.addresses.endpoint == "127.0.0.1:4566"

    on_a_bench(driver, work)


@every_driver
def test_the_listener_handed_over_is_the_one_inside(driver: str) -> None:
    script = "import socket; s = socket.create_connection(('127.0.0.1', 9001)); s.sendall(b'ping'); print(s.recv(4))"

    async def work(bench: Bench) -> None:
        watched = await bench.start(await bench.create(), bench.python, "-I", "-c", script)
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(watched.running.runtime_api)
        with connection:
            assert await loop.sock_recv(connection, 4) == b"ping"
            await loop.sock_sendall(connection, b"pong")
        assert "pong" in (await watched.outcome()).output

    on_a_bench(driver, work)

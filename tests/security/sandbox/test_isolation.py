"""What a function must not reach. Each probe runs in the sandbox, where it must fail, and without isolation, where
the same probe must succeed: else it would show nothing."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambent.testing.sandboxes import Bench, open_bench
from lambent.worker.sandbox import launcher
from sandbox_drivers import isolating

both = pytest.mark.parametrize(("driver", "reaches"), [*isolating(False), ("process", True)])
isolated = pytest.mark.parametrize("driver", isolating())

READ = "import sys; print('found:', open(sys.argv[1]).read())"
SEE_PROCESSES = """
import os, sys
for name in filter(str.isdigit, os.listdir('/proc')):
    try:
        if (sys.argv[1] + sys.argv[2]).encode() in open(f'/proc/{name}/cmdline', 'rb').read():
            print('found:', name)
    except OSError:
        continue
"""
CONNECT = "import socket, sys; print('found:', socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2).recv(5))"
STAY = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]])
    os._exit(0)
os.wait()
print('left behind', flush=True)
import time; time.sleep(60)
"""


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


@both
def test_a_function_can_not_read_a_file_of_the_machine(driver: str, reaches: bool) -> None:
    async def work(bench: Bench) -> None:
        canary = bench.code.parent / "canary"
        canary.write_text("a file that everybody may read")
        canary.chmod(0o644)
        outcome = await bench.probe(await bench.create(), READ, str(canary))
        assert ("found: a file that everybody may read" in outcome.output) == reaches
        assert ("FileNotFoundError" in outcome.output) != reaches

    on_a_bench(driver, work)


@both
def test_a_function_can_not_read_the_data_directory(driver: str, reaches: bool) -> None:
    async def work(bench: Bench) -> None:
        (bench.data_dir / "state").write_text("all functions")
        outcome = await bench.probe(await bench.create(), READ, str(bench.data_dir / "state"))
        assert ("found: all functions" in outcome.output) == reaches

    on_a_bench(driver, work)


@both
def test_a_function_can_not_see_processes_of_the_machine(driver: str, reaches: bool) -> None:
    # The probe's own processes must not have the mark in their command line: it is given in two halves.
    mark = secrets.token_hex(8)
    canary = subprocess.Popen(["/bin/sh", "-c", "sleep 60; true", mark])

    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(), SEE_PROCESSES, mark[:8], mark[8:])
        assert (f"found: {canary.pid}" in outcome.output) == reaches
        assert outcome.exit.code == 0

    try:
        on_a_bench(driver, work)
    finally:
        canary.kill()
        canary.wait()


@both
def test_a_function_can_not_reach_the_network_of_the_machine(driver: str, reaches: bool) -> None:
    async def work(bench: Bench) -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outcome = await bench.probe(await bench.create(), CONNECT, str(port))
        server.close()
        assert ("found: b'hello'" in outcome.output) == reaches
        assert ("ConnectionRefusedError" in outcome.output) != reaches

    on_a_bench(driver, work)


@both
def test_a_function_can_not_read_the_tmp_of_another(driver: str, reaches: bool) -> None:
    async def work(bench: Bench) -> None:
        one, other = await bench.create(), await bench.create()
        write = "import os; open(os.environ.get('TMPDIR', '/tmp') + '/secret', 'w').write('mine'); print('written')"
        assert "written" in (await bench.probe(one, write)).output
        look = (
            "import glob, sys\nfor path in ['/tmp/secret', *glob.glob(sys.argv[1] + '/sandbox/*/tmp/secret')]:\n"
            "    try: print('found:', open(path).read())\n    except OSError as error: print(error)\n"
        )
        outcome = await bench.probe(other, look, str(bench.data_dir))
        assert ("found: mine" in outcome.output) == reaches
        assert outcome.exit.code == 0

    on_a_bench(driver, work)


@both
def test_no_process_outlives_its_environment(driver: str, reaches: bool) -> None:
    async def work(bench: Bench) -> None:
        mark = secrets.token_hex(8)
        sandbox = await bench.create()
        watched = await bench.start(sandbox, bench.python, "-I", "-c", STAY, mark)
        await watched.says("left behind")
        assert processes_with(mark)
        await sandbox.destroy()
        await watched.outcome()
        left = processes_with(mark)
        for process in left:
            os.kill(process, 9)
        assert bool(left) == reaches

    on_a_bench(driver, work)


@isolated
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


@isolated
def test_nothing_but_tmp_can_be_written_to(driver: str) -> None:
    script = """
import os
for place in ('/', '/dev', '/etc', '/opt', '/usr', '/var', '/var/task', '/proc', '/tmp'):
    try:
        open(place + '/new', 'w').close()
        print(place, 'written')
    except OSError as error:
        print(place, error.strerror)
"""

    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(), script)
        assert [line.split()[0] for line in outcome.output.splitlines() if line.endswith(" written")] == ["/tmp"]

    on_a_bench(driver, work)


@isolated
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


@isolated
def test_the_first_process_tells_no_path_of_the_machine(driver: str) -> None:
    async def work(bench: Bench) -> None:
        outcome = await bench.probe(await bench.create(), "print(open('/proc/1/cmdline').read())")
        assert outcome.output.split("\0")[0] in ("zygote", "holder")
        for place in (bench.code, bench.data_dir, Path(launcher.__file__).parent, Path(sys.prefix)):
            assert str(place) not in outcome.output

    on_a_bench(driver, work)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give each environment a user id of its own")
@isolated
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


@isolated
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


@isolated
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

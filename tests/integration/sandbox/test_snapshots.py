"""Sandboxes that are restored from a program which has initialised: what they share with it and each other, and what
they do not. The program is the official client on each Python that this machine has, against the tests' Runtime API."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambent.testing.sandboxes import Bench, open_bench
from lambent.testing.soak.gauges import groups_of
from lambent.testing.templates import Functions, functions_of
from lambent.worker.runtimes.launch import RuntimeUnavailable
from lambent.worker.sandbox.driver import Exit, Program, SandboxError, SandboxSpec, Template
from lambent.worker.sandbox.freezing import descendants
from lambent.worker.sandbox.launched import LaunchedSandbox, mark_of

RUNTIMES = ("python3.11", "python3.12", "python3.13")

UNIQUE = """
import os, random, secrets, ssl, uuid
random.random(), ssl.RAND_bytes(8)
started = os.getpid()
def handler(event, context):
    return {
        "random": random.random(), "uuid": str(uuid.uuid4()), "urandom": os.urandom(8).hex(),
        "ssl": ssl.RAND_bytes(8).hex(), "secret": secrets.token_hex(8),
        "another_process": os.getpid() != started, "variables": dict(os.environ),
        "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
        "root": int(open("/proc/self/status").read().split("CapBnd:")[1].split()[0], 16),
    }
"""


WithFunctions = Callable[..., None]


def processor_ticks(process: int) -> int:
    """What all of its threads have used, in hundredths of a second; 0 if it has ended."""
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13]))
    return total


@pytest.fixture(params=[False, True], ids=["restored on demand", "restored ahead"])
def with_functions(request: pytest.FixtureRequest) -> WithFunctions:
    """Runs `work` with functions of a runtime."""

    def with_functions(
        work: Callable[[Bench, Functions], Awaitable[None]], runtime: str = "python3.11", *, executed: bool = False
    ) -> None:
        async def run() -> None:
            async with open_bench("namespaces") as bench:
                try:
                    async with functions_of(bench, runtime, executed=executed, ahead=request.param) as functions:
                        await work(bench, functions)
                except RuntimeUnavailable as error:
                    pytest.skip(str(error))

        asyncio.run(run())

    return with_functions


@pytest.mark.parametrize("executed", [False, True], ids=["forked", "executed"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_two_that_are_restored_share_no_chance_no_process_and_no_variables(
    runtime: str, executed: bool, with_functions: WithFunctions
) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(UNIQUE)
        first, second = [await (await functions.restore(template, WHO=name)).ask() for name in ("a", "b")]
        for what in ("random", "uuid", "urandom", "ssl", "secret"):
            assert first[what] != second[what], what
        for one, name in ((first, "a"), (second, "b")):
            assert one["another_process"]
            assert one["variables"]["WHO"] == name
            assert not any(variable.startswith("_LAMBENT") for variable in one["variables"])
            assert len(one["processes"]) == 2
            assert one["root"] == 0

    with_functions(work, runtime, executed=executed)


WRAPPED = ("/usr/bin/env", "EXPORTED=by a wrapper", "/var/lang/bin/python3.11", "-S", "-B", "/var/runtime/bootstrap.py")


@pytest.mark.parametrize(("command", "replaced"), [((), True), (WRAPPED, False)], ids=["replaced", "wrapped"])
def test_variables_stay_as_the_initialisation_has_left_them_but_for_those_that_are_each_ones_own(
    command: tuple[str, ...], replaced: bool, with_functions: WithFunctions
) -> None:
    code = f"""
import ctypes, os
names = ("SET", "PUT", "EXPORTED", "PATH", "WHO", "_HANDLER")
native = ctypes.CDLL(None).getenv
native.restype = ctypes.c_char_p
os.environ.update(SET="initialised", WHO="template")
os.putenv("PUT", "to C alone")
del os.environ["PATH"]
if {replaced}: os.environ = dict(os.environ)
def handler(event, context):
    return [os.environ.get(name) for name in names], [(native(name.encode()) or b"-").decode() for name in names]
"""
    exported = "by a wrapper" if command else None

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code, command)
        for who in ("a", "b"):
            seen, native = await (await functions.restore(template, WHO=who)).ask()
            assert seen == ["initialised", None, exported, None, who, "app.handler"]
            assert native == ["initialised", "to C alone", exported or "-", "-", who, "app.handler"]

    with_functions(work)


@pytest.mark.parametrize("size", [0, 5_000_000], ids=["small", "copied by another process"])
def test_each_has_its_tmp_as_it_was_at_the_snapshot(size: int, with_functions: WithFunctions) -> None:
    code = f"""
import os
content = os.urandom({size})
with open("/tmp/large", "wb") as file: file.write(content)
kept = open("/tmp/kept", "w+")
kept.write("initialised"); kept.flush()
os.mkdir("/tmp/directory")
def handler(event, context):
    kept.write(event); kept.flush()
    open("/tmp/" + event, "w").close()
    kept.seek(0)
    same = open("/tmp/large", "rb").read() == content
    return [kept.read(), open("/tmp/kept").read(), sorted(os.listdir("/tmp")), same]
"""

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        for name in ("one", "two", "three"):
            restored = await functions.restore(template)
            text = f"initialised{name}"
            names = sorted(["directory", "kept", "large", name])
            assert await restored.ask(name) == [text, text, names, True]
            await asyncio.sleep(0.1)  # in which the next one's is made

    with_functions(work)


UNREADABLE = """
import os
os.mkdir("/tmp/directory")
with open("/tmp/directory/file", "w") as file: file.write("kept")
os.chmod("/tmp/directory/file", 0)
os.chmod("/tmp/directory", 0)
def handler(event, context):
    modes = [os.stat("/tmp/directory").st_mode & 0o777]
    os.chmod("/tmp/directory", 0o700)
    modes.append(os.stat("/tmp/directory/file").st_mode & 0o777)
    os.chmod("/tmp/directory/file", 0o600)
    return [*modes, open("/tmp/directory/file").read()]
"""


def test_a_tmp_that_its_owner_may_not_read_is_copied_as_it_is(with_functions: WithFunctions) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(UNREADABLE)
        for _ in range(2):
            assert await (await functions.restore(template)).ask() == [0, 0, "kept"]

    with_functions(work)


NOT_TO_BE_OPENED_AGAIN = """
import mmap, os
os.makedirs("/tmp/closed/inner")
files = {}
for name, flags in (("unreadable", os.O_RDWR), ("for reading", os.O_RDWR), ("appended", os.O_WRONLY | os.O_APPEND)):
    files[name] = os.open(f"/tmp/closed/{name}", flags | os.O_CREAT)
    os.write(files[name], b"kept")
memory = mmap.mmap(files["for reading"], 4)
os.chmod("/tmp/closed/unreadable", 0)
os.chmod("/tmp/closed/for reading", 0o444)
os.chmod("/tmp/closed/appended", 0o200)
os.chdir("/tmp/closed/inner")
os.chmod("/tmp/closed/inner", 0)
os.chmod("/tmp/closed", 0)
def handler(event, context):
    modes = [os.stat("/tmp/closed").st_mode & 0o777]
    where = os.getcwd()
    os.chmod("/tmp/closed", 0o700)
    modes += [os.stat("/tmp/closed/" + name).st_mode & 0o777 for name in ("inner", *files)]
    memory[:1] = b"K"
    os.write(files["appended"], event.encode())
    os.chmod("/tmp/closed/appended", 0o600)
    read = [os.pread(files["unreadable"], 9, 0), os.pread(files["for reading"], 9, 0)]
    read.append(open("/tmp/closed/appended", "rb").read())
    return [modes, where, [one.decode() for one in read]]
"""


def test_files_that_their_owner_may_not_open_again_are_open_all_the_same(with_functions: WithFunctions) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(NOT_TO_BE_OPENED_AGAIN)
        for event in ("one", "two"):
            modes, where, read = await (await functions.restore(template)).ask(event)
            assert modes == [0, 0, 0, 0o444, 0o200]
            assert where == "/tmp/closed/inner"
            assert read == ["kept", "Kept", "kept" + event]

    with_functions(work)


REMOVED = """
import os
os.mkdir("/tmp/removed")
os.chdir("/tmp/removed")
os.rmdir("/tmp/removed")
def handler(event, context):
    os.chdir("/tmp")
    return os.listdir()
"""


def test_where_its_directory_was_removed_it_is_restored_all_the_same(with_functions: WithFunctions) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        assert await (await functions.restore(await functions.initialised(REMOVED))).ask() == []

    with_functions(work)


LARGE = """
import os
content = os.urandom(5_000_000)
with open("/tmp/large", "wb") as file: file.write(content)
def handler(event, context): return open("/tmp/large", "rb").read() == content
"""


def test_several_at_one_time_have_each_a_copy_of_a_large_tmp(with_functions: WithFunctions) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(LARGE)
        restored = await asyncio.gather(*(functions.restore(template) for _ in range(4)))
        assert [await one.ask() for one in restored] == [True] * 4

    with_functions(work)


def test_those_that_are_given_up_while_they_wait_for_a_tmp_leave_nothing(with_functions: WithFunctions) -> None:
    async def work(bench: Bench, functions: Functions) -> None:
        template = await functions.initialised(LARGE)

        def left() -> tuple[list[str], int]:
            mounts = Path(f"/proc/{bench.driver.launcher_pid}/mountinfo").read_text()  # type: ignore[attr-defined]
            groups = [place for place in groups_of(mark_of(bench.data_dir)) if "restored" in place or "booted" in place]
            return groups, mounts.count("/tmp-template")

        waiting = [asyncio.ensure_future(functions.create(template)) for _ in range(6)]
        await asyncio.sleep(0.01)
        for one in waiting:
            one.cancel()
        for one in await asyncio.gather(*waiting, return_exceptions=True):
            if not isinstance(one, BaseException):
                await one.destroy()
        restored = await functions.restore(template)  # after those that were asked for before
        assert await restored.ask() is True
        await restored.sandbox.destroy()
        for _ in range(200):
            if left() == ([], 2):  # the template's own, and the one that is made ahead
                return
            await asyncio.sleep(0.05)
        raise AssertionError(left())

    with_functions(work)


def test_one_that_is_given_up_takes_nothing_from_the_next(with_functions: WithFunctions) -> None:
    """The template is stopped until both are ordered."""

    async def work(bench: Bench, functions: Functions) -> None:
        template = await functions.initialised("def handler(event, context): return event")
        assert isinstance(template, LaunchedSandbox)
        (program,) = descendants(template._process)
        os.kill(program, signal.SIGSTOP)
        given_up, wanted = [asyncio.ensure_future(functions.restore(template)) for _ in range(2)]
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.sleep(0.1)
        os.kill(program, signal.SIGCONT)
        assert await (await wanted).ask("well") == "well"

    with_functions(work)


def test_connections_pipes_events_and_shared_memory_are_each_ones_own(with_functions: WithFunctions) -> None:
    code = """
import asyncio, mmap, os, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
ours = socket.create_connection(listener.getsockname()); theirs, _ = listener.accept()
loop = asyncio.new_event_loop()
shared = mmap.mmap(-1, 4096); shared[:4] = b"init"
reader, writer = os.pipe()
async def from_a_thread():
    done = asyncio.Event()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set)).start()
    await asyncio.wait_for(done.wait(), 5)
    return True
def handler(event, context):
    told = [shared[:4].decode()]
    shared[:4] = event.encode()
    os.write(writer, event.encode())
    try:
        ours.send(b"x"); told.append("connected")
    except OSError:
        told.append("not connected")
    return [*told, loop.run_until_complete(from_a_thread())]
def read(): return os.read(reader, 100).decode()
inner = handler
def handler(event, context):
    return read() if event == "read" else inner(event, context)
"""

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        first, second = [await functions.restore(template) for _ in range(2)]
        assert await first.ask("aaaa") == ["init", "not connected", True]
        assert await second.ask("bbbb") == ["init", "not connected", True]
        assert await first.ask("read") == "aaaa"
        assert await second.ask("read") == "bbbb"

    with_functions(work)


def test_hooks_run_before_the_snapshot_and_after_each_restoration(with_functions: WithFunctions) -> None:
    code = """
import os
from snapshot_restore_py import register_after_restore, register_before_snapshot
seen = []
register_before_snapshot(lambda: seen.append("before"))
register_after_restore(lambda: seen.append(os.environ["WHO"]))
def handler(event, context): return seen
"""

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        for name in ("a", "b"):
            assert await (await functions.restore(template, WHO=name)).ask() == ["before", name]

    with_functions(work)


def test_an_error_of_a_hook_after_restoring_is_posted_by_the_client(with_functions: WithFunctions) -> None:
    code = """
from snapshot_restore_py import register_after_restore
def fail(): raise ValueError("not today")
register_after_restore(fail)
def handler(event, context): return None
"""

    async def work(_: Bench, functions: Functions) -> None:
        restored = await functions.restore(await functions.initialised(code))
        async with asyncio.timeout(30):
            path, body = await restored.posted.get()
        assert path == "/2018-06-01/runtime/restore/error"
        assert b"not today" in body

    with_functions(work)


def test_what_is_restored_lives_on_when_its_template_is_destroyed_and_is_started_once(
    with_functions: WithFunctions,
) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised("def handler(event, context): return event")
        restored = await functions.restore(template)
        await template.destroy()
        assert await restored.ask("alive") == "alive"
        with pytest.raises(SandboxError):
            await functions.create(template)
        await restored.sandbox.kill()
        assert await restored.watched.ended == Exit(signal=9)
        with pytest.raises(SandboxError, match="second time"):
            await restored.sandbox.start(Program((), {}), lambda _: None)
        await restored.sandbox.destroy()

    with_functions(work)


@pytest.mark.parametrize("ignored", ["", "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"])
def test_how_a_restored_program_ends_is_told(ignored: str, with_functions: WithFunctions) -> None:
    code = f"import os\n{ignored}\ndef handler(event, context): os._exit(event)"

    async def work(_: Bench, functions: Functions) -> None:
        restored = await functions.restore(await functions.initialised(code))
        restored.events.put_nowait(b"7")
        assert await restored.watched.ended == Exit(code=7)

    with_functions(work)


def test_a_template_with_busy_threads_is_restored_each_time(with_functions: WithFunctions) -> None:
    """A thread that waits for the interpreter's lock in the moment of the fork is not there any more to be woken."""
    code = """
import sys, threading
sys.setswitchinterval(0.000_001)  # so that the lock is asked for at any moment
def count():
    while True: pass
for _ in range(2): threading.Thread(target=count, daemon=True).start()
def handler(event, context): return event
"""

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        for number in range(25):
            restored = await functions.restore(template)
            assert await restored.ask(number) == number
            await restored.sandbox.destroy()

    with_functions(work)


def test_a_template_that_fails_to_initialise_ends_as_any_program_does(with_functions: WithFunctions) -> None:
    async def work(_: Bench, functions: Functions) -> None:
        template, ready = await functions.template("raise ValueError('no')")
        assert await template.watched.ended == Exit(code=1)
        assert not ready.is_set()
        assert template.posted.get_nowait()[0] == "/2018-06-01/runtime/init/error"
        with pytest.raises(SandboxError):
            await functions.create(template.sandbox)

    with_functions(work)


def test_a_template_uses_no_processor_and_tells_what_it_takes(with_functions: WithFunctions) -> None:
    code = """
import threading
held = bytearray(b"x" * (50 << 20))
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
def handler(event, context): return len(held) >> 20
"""

    async def work(_: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        assert 50 << 20 < template.snapshot_bytes < 200 << 20
        assert isinstance(template, LaunchedSandbox)
        first = template._process
        program = int(Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])
        for _ in range(2):
            before = processor_ticks(program)
            await asyncio.sleep(0.3)  # in which it would use 30 ticks
            assert processor_ticks(program) - before <= 2
            assert await (await functions.restore(template)).ask() == 50

    with_functions(work)


def test_one_that_is_restored_ahead_does_nothing_until_it_is_wanted(with_functions: WithFunctions) -> None:
    """What the customer has registered for forks runs before anybody has asked for the copy."""
    code = """
import os, signal
def spin(*_):
    while not asked: pass
def begin():
    signal.signal(signal.SIGALRM, spin)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
asked = []
os.register_at_fork(after_in_child=begin)
def handler(event, context):
    asked.append(1)
    return event
"""

    async def work(bench: Bench, functions: Functions) -> None:
        template = await functions.initialised(code)
        launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
        before = set(descendants(launcher))
        booted = await functions.boot(template)
        new = [process for process in descendants(launcher) if process not in before]
        begun = sum(map(processor_ticks, new))
        await asyncio.sleep(0.5)  # in which it would use 45 ticks
        assert sum(map(processor_ticks, new)) - begun <= 2
        await booted.sandbox.destroy()

    with_functions(work)


def test_twenty_that_are_restored_leave_nothing_behind(with_functions: WithFunctions) -> None:
    async def work(bench: Bench, functions: Functions) -> None:
        template = await functions.initialised("def handler(event, context): return event")

        def state() -> tuple[int, int, list[str]]:
            launcher = Path(f"/proc/{bench.driver.launcher_pid}")  # type: ignore[attr-defined]
            children = len((launcher / f"task/{launcher.name}/children").read_text().split())
            groups = [place for place in groups_of(mark_of(bench.data_dir)) if "restored-" in place]
            return children, len(list((launcher / "fd").iterdir())), groups

        async def one() -> None:
            restored = await functions.restore(template)
            assert await restored.ask(1) == 1
            await restored.sandbox.destroy()

        await one()
        before = state()
        await asyncio.gather(*(one() for _ in range(20)))
        assert state() == before
        await template.destroy()

    with_functions(work)


def test_only_a_sandbox_that_is_isolated_can_be_a_template() -> None:
    async def run() -> None:
        async with open_bench("process") as bench:
            assert not bench.driver.restores
            sandbox = await bench.driver.create(SandboxSpec("one", Template(), (), 128, 64))
            with pytest.raises(SandboxError):
                await sandbox.start(Program(("/bin/true",), {}, snapshot=True), lambda _: None)

    asyncio.run(run())

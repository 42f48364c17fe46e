"""Templates of SnapStart that do not do as they are told: none comes by a right, and none disturbs anybody else.

In the one driver that restores, as root and as an ordinary user (`conftest.py`)."""

import asyncio
import contextlib
import os
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from arena import USERS

from lambent.clock import SystemClock
from lambent.settings import Settings
from lambent.testing.sandboxes import Bench, Outcome, open_bench
from lambent.testing.templates import Functions, Restored, functions_of
from lambent.worker.booted_sandboxes import BOOTED_WITHIN_S, BootedSandboxes
from lambent.worker.runtimes.catalog import Runtimes
from lambent.worker.sandbox.driver import Booted, Exit, Program, SandboxError

RUNTIME = "python3.11"

# What a hostile program knows: all of our own part of the client, and the socket that was left to it.
KNOWS = """
import ctypes, os, socket, sys, struct
sys.path.insert(0, "/var/runtime")
from lambent_zygote import descriptors, kernel, restoring, zygote
control = socket.socket(fileno=int(os.environ["_LAMBENT_TEMPLATE"]))
libc = ctypes.CDLL(None, use_errno=True)
def clone3(flags):
    arguments = struct.pack("=8Q", flags, 0, 0, 0, 17, 0, 0, 0)
    child = libc.syscall(435, arguments, 64)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return child if child > 0 else -ctypes.get_errno()
"""
SAID_NOTHING = "\nimport signal\nsignal.pause()"


@pytest.fixture(scope="module", params=USERS, autouse=True)
def user(request: pytest.FixtureRequest) -> str:
    """Who runs the test; by now there is the kit, which an ordinary user could not put where root has it."""
    asyncio.run(Runtimes(Settings().runtimes_dir).prepare(RUNTIME))
    return str(request.param)


def with_hostile(script: str, work: Callable[[Bench, Functions, tuple[str, ...]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_bench("namespaces") as bench, functions_of(bench, RUNTIME) as functions:
            text = KNOWS + script
            await work(bench, functions, (f"/var/lang/bin/{RUNTIME}", "-S", "-c", text))

    asyncio.run(run())


async def none_is_left(bench: Bench) -> None:
    """In a moment: the last one of a template is about to be killed when its sandbox is."""
    for _ in range(500):
        if not processes_of(bench):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"left: {processes_of(bench)}")


async def launcher_still_works(functions: Functions) -> None:
    template = await functions.initialised("def handler(event, context): return event")
    assert await (await functions.restore(template)).ask("well") == "well"


def processes_of(bench: Bench) -> set[int]:
    """Everything below the launcher but its zygotes and their like, which are its own children."""
    launcher = bench.driver.launcher_pid  # type: ignore[attr-defined]
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = {launcher}
    while more := {child for child, its in parents.items() if its in found} - found:
        found |= more
    return {process for process in found if parents.get(process) not in (launcher, os.getpid())} - {launcher}


@pytest.mark.parametrize("flags", [0, 0x1000_0000, 0x1002_0000 | 0x2000_0000])
def test_a_template_can_not_clone_itself_before_nor_after_it_can_be_restored(flags: int) -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30):
            assert "before -38" in await template.watched.says("before -38")
            await ready.wait()

    script = f"""
    print("before", clone3({flags}), flush=True)
    control.send(b"snapshot")
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


def test_it_can_not_be_the_one_that_decides_about_its_clones() -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, _ready = await functions.template("", command)
        assert "refused 1\nrefused 1" in await template.watched.says("refused 1\nrefused 1")

    script = """
    program = struct.pack("=HBBI", 6, 0, 0, 0x7FC00000)
    for _ in range(2):
        try:
            kernel.filter_and_listen(program)
        except OSError as error:
            print("refused", error.errno, flush=True)
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


HOSTILE = {
    "keeps its rights": (
        "kernel.drop_all_capabilities = lambda: None",
        "kept rights",
    ),
    "is not in a namespace of processes": (
        "zygote.NAMESPACES &= ~kernel.CLONE_NEWPID",
        "",
    ),
    "is not in a network of its own": (
        "zygote.NAMESPACES &= ~kernel.CLONE_NEWNET",
        "net namespace",
    ),
    "is not in a user namespace of its own": (
        "zygote.NAMESPACES = kernel.CLONE_PARENT",
        "",
    ),
    "has a second process": (
        """
        inner = restoring._use_up_a_process_id
        def use_up():
            inner()
            if os.fork() == 0:
                import signal
                signal.pause()
        restoring._use_up_a_process_id = use_up
        """,
        "",
    ),
    "has a second thread": (
        """
        import threading, _thread
        inner = restoring._wait_for_word
        def wait(*arguments):
            blocked = threading.Lock(); blocked.acquire()
            _thread.start_new_thread(blocked.acquire, ())
            return inner(*arguments)
        restoring._wait_for_word = wait
        """,
        "not bound",
    ),
    "does not join its groups": (
        """
        write = os.write
        os.write = lambda descriptor, data: 1 if data == b"0" else write(descriptor, data)
        """,
        "control groups",
    ),
    "ends when it is told to fork": ("restoring.json.loads = lambda _: os._exit(3)", ""),
    "ends as soon as it is born": ("restoring._be_born = lambda *_: os._exit(3)", ""),
    "ends before its program": ("zygote.redirect = lambda _: os._exit(3)", ""),
    "ends when its program is born": ("restoring._wait_for_word = lambda *_: os._exit(3)", ""),
    "forks twice for one order": (
        """
        fork = kernel.fork_into
        def twice(flags, group, **how):
            child = fork(flags, group, **how)
            if child:
                print("again", clone3(0x10000000), flush=True)
            return child
        kernel.fork_into = twice
        """,
        "",
    ),
    "does not hear what it is told any more": (
        """
        import signal
        def wait(control):
            control.shutdown(socket.SHUT_RD)
            control.send(b"snapshot")
            signal.pause()
        restoring.wait = wait
        """,
        "does not take the order",
    ),
    "ends when it has said that it can be restored": (
        """
        send = restoring._gather_memory
        def gather():
            control.send(b"snapshot")
            os._exit(0)
        restoring._gather_memory = gather
        """,
        "",
    ),
    "floods the launcher": (
        """
        inner = restoring._be_born
        def flood(order, received, *rest):
            while True:
                os.write(received[1], bytes(60000))
        restoring._be_born = flood
        """,
        "",
    ),
    "talks nonsense when it is told to fork": (
        "restoring.json.loads = lambda _: [control.send(b'nonsense'), os._exit(0)]",
        "",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_as_ordered_is_not_started(what: str) -> None:
    script, said = HOSTILE[what]

    async def work(bench: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        if what == "does not join its groups" and not bench.driver.found["memory"]:  # type: ignore[attr-defined]
            pytest.skip("no control group may be made here")
        template, ready = await functions.template("", command)
        can_be = asyncio.ensure_future(ready.wait())
        ended = template.watched.ended
        await asyncio.wait([can_be, ended], timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert can_be.done() or ended.done()
        can_be.cancel()
        if what == "forks twice for one order":
            await functions.restore(template.sandbox)
            assert "again -38" in await template.watched.says("again -38")
        else:
            with pytest.raises(SandboxError, match=said or "."):
                await functions.restore(template.sandbox)
        await functions.close()
        await none_is_left(bench)
        await launcher_still_works(functions)

    wait = "\nrestoring.wait(control)" + SAID_NOTHING
    with_hostile(textwrap.dedent(script) + wait, work)


def test_what_decides_about_a_templates_clones_is_in_no_sandbox_of_others() -> None:
    """Those of a zygote that is started after the template, by the launcher that holds it."""

    async def work(bench: Bench, functions: Functions, _: tuple[str, ...]) -> None:
        await functions.initialised("def handler(event, context): return event")
        script = """
import os
places = [f"/proc/self/fd/{number}" for number in range(3, 99)]
print([os.readlink(place) for place in places if os.path.islink(place)])
"""
        sandbox = await bench.create()
        told = await bench.probe(sandbox, script)
        await sandbox.destroy()
        assert told == Outcome(Exit(code=0), "[]\n")

    with_hostile("", work)


def test_nonsense_on_the_socket_makes_nothing_of_a_program() -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30):
            assert await template.watched.ended == Exit(signal=9)
        with pytest.raises(SandboxError):
            await functions.create(template.sandbox)
        assert not ready.is_set()
        await launcher_still_works(functions)

    script = r"""
    for word in (b"forked", b"failed x", b"listener", b"\xff" * 1000, b'{"n": 1, "error": "x"}', b"snapshot"):
        try:
            control.send(word)
        except OSError:
            pass
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


def test_who_talks_nonsense_and_lives_on_is_ended() -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30):
            await ready.wait()
            with pytest.raises(SandboxError):
                await functions.restore(template.sandbox)
            assert await template.watched.ended == Exit(signal=9)
        await launcher_still_works(functions)

    script = """
    control.send(b"snapshot")
    control.recv(1)
    control.send(b"nonsense")
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


def test_nonsense_about_its_own_end_counts_as_a_kill() -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30):
            await ready.wait()
        for word in ("abc", "99999", "127", "-1", "9" * 300):
            restored = await functions.restore(template.sandbox, WORD=word)
            assert (await restored.watched.ended) == Exit(signal=9)
        await launcher_still_works(functions)

    script = """
    inner = restoring._wait_for_word
    def wait(end, status):
        kept = os.dup(status)
        word = inner(end, status)
        os.write(kept, b"exit %s\\n" % word["variables"]["WORD"].encode())
        return word
    restoring._wait_for_word = wait
    restoring.wait(control)
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


def test_who_is_killed_while_it_asks_leaves_the_others_an_answer() -> None:
    async def work(_: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, _ready = await functions.template("", command)
        async with asyncio.timeout(60):
            assert "answered -38" in await template.watched.says("answered")

    script = """
    import random, signal, time
    for _ in range(300):
        asker = os.fork()
        if asker == 0:
            while True:
                clone3(0)
        time.sleep(random.random() * 0.003)
        os.kill(asker, signal.SIGKILL)
        os.waitpid(asker, 0)
    print("answered", clone3(0), flush=True)
    """
    with_hostile(textwrap.dedent(script) + SAID_NOTHING, work)


def test_what_a_template_never_bears_is_given_up_when_nobody_waits_for_it() -> None:
    async def work(bench: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30):
            await ready.wait()
        for _ in range(2):
            restored = await functions.create(template.sandbox)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await restored.start(Program((), {}), print)
            async with asyncio.timeout(10):
                await restored.destroy()
        await functions.close()
        await none_is_left(bench)
        await launcher_still_works(functions)

    with_hostile('control.send(b"snapshot")' + SAID_NOTHING, work)


ECHO = "def handler(event, context): return event"

# Of what is borne ahead of need the first one makes trouble before it is ready, from when on it is frozen, and the
# second does not.
FIRST_IN_TROUBLE = """
fork, inner, born = kernel.fork_into, restoring._wait_for_word, 0
def count(flags, group, **how):
    global born
    born += 1
    return fork(flags, group, **how)
def wait(end, status):
    if born > 1:
        return inner(end, status)
    os.setsid()
    kernel.set_dumpable(True)
    make_trouble(end, status)
    os.write(status, b"ready\\n")
    signal.pause()
kernel.fork_into, restoring._wait_for_word = count, wait
"""
AHEAD = {
    "ends": "os._exit(3)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "tells an end that is not one": r"os.write(status, b'exit nonsense\n')",
    "tells that it has ended": r"os.write(status, b'exit 0\n')",
    "tells nonsense without an end": r"os.write(status, b'\0\xff ' * 2000)",
    "tells lines without an end": r"os.write(status, b'ready\n' * 2000)",
    "fills the pipe": "os.write(status, bytes(1 << 20))",
}


async def two_ahead(
    functions: Functions, command: tuple[str, ...], on_lost: Callable[[str], None]
) -> tuple[Restored, Booted | None, Booted]:
    """A template, and what it has borne: that in trouble, if it could be had, and the other."""
    template, ready = await functions.template("", command)
    async with asyncio.timeout(30):
        await ready.wait()
        hostile = None
        with contextlib.suppress(SandboxError):
            hostile = await functions.boot(template.sandbox, on_lost)
        return template, hostile, await functions.boot(template.sandbox, on_lost)


def script_of_trouble(trouble: str) -> str:
    return (
        f"import signal\ndef make_trouble(end, status):\n    {trouble}\n"
        + FIRST_IN_TROUBLE
        + "restoring.wait(control)\nprint('restored', flush=True)"
        + SAID_NOTHING
    )


@pytest.mark.parametrize("what", AHEAD)
def test_one_that_makes_trouble_ahead_of_need_is_lost_alone(what: str) -> None:
    async def work(bench: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        well_behaved = await functions.initialised(ECHO)
        lost: asyncio.Queue[str] = asyncio.Queue()
        template, hostile, other = await two_ahead(functions, command, lost.put_nowait)
        if hostile is not None:
            async with asyncio.timeout(30):
                assert await lost.get() == hostile.sandbox.sandbox_id
            await hostile.sandbox.destroy()
        assert await (await functions.restore(well_behaved)).ask("well") == "well"
        restored = await functions.restore(template.sandbox, other)
        await restored.watched.says("restored")
        assert lost.empty()
        await functions.close()
        await none_is_left(bench)
        await launcher_still_works(functions)

    with_hostile(script_of_trouble(AHEAD[what]), work)


UNTAKEN = {
    "tells what is no word": (r"os.write(status, b'nonsense\nlaunch\n\xff\0\n')", ""),
    "does not listen any more": ("end.close()", "Broken pipe"),
    "answers before it is told": ("[end.send(bytes(1000)) for _ in range(20)]", ""),
}


@pytest.mark.parametrize("what", UNTAKEN)
def test_who_takes_one_that_was_in_trouble_ahead_of_need_has_it_alone(what: str) -> None:
    """What it does is no more than a program may do that was started: it is not ended before its time."""
    trouble, said = UNTAKEN[what]

    async def work(bench: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        well_behaved = await functions.initialised(ECHO)
        lost: list[str] = []
        template, hostile, other = await two_ahead(functions, command, lost.append)
        assert hostile is not None
        restored = await functions.restore(template.sandbox, other)
        await restored.watched.says("restored")
        if said:
            with pytest.raises(SandboxError, match=said):
                await functions.restore(template.sandbox, hostile)
        else:
            taken = await functions.restore(template.sandbox, hostile)
            await taken.sandbox.kill()
            assert await taken.watched.ended == Exit(signal=9)
        assert await (await functions.restore(well_behaved)).ask("well") == "well"
        assert lost == []
        await functions.close()
        await launcher_still_works(functions)

    with_hostile(script_of_trouble(trouble), work)


def test_who_never_bears_what_is_ordered_ahead_of_need_is_ended_and_holds_nobody_up() -> None:
    async def work(bench: Bench, functions: Functions, command: tuple[str, ...]) -> None:
        well_behaved = await functions.initialised(ECHO)
        template, ready = await functions.template("", command)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            await ready.wait()
            ahead = BootedSandboxes(bench.driver, SystemClock(), tasks, minimum=0, memory_bytes=1 << 30)
            assert ahead.take_restored("hostile", functions.spec("wanted"), template.sandbox) is None
            begin = asyncio.get_running_loop().time()
            ended = template.watched.ended
            while not (await asyncio.wait([ended], timeout=0.5))[0]:
                assert await (await functions.restore(well_behaved)).ask("well") == "well"
            took_s = asyncio.get_running_loop().time() - begin
            assert took_s > BOOTED_WITHIN_S, "it has had its time"
            ahead.close()
        await functions.close()
        await none_is_left(bench)
        await launcher_still_works(functions)

    with_hostile('control.send(b"snapshot")' + SAID_NOTHING, work)

"""Programs that do not want to end. A sandbox is destroyed soon whatever runs in it, and no process of it is left.

The control is a run without isolation, after which something of the same program is left; each ends by itself there.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arena import Arena

DESTROYED_WITHIN_S = 10.0
SEEN_WITHIN_S = 15.0
LOOKS = 5

# Each ends by itself after a while, says `up`, and has its mark in the command line of every process.
BOUNDED = "import os, signal, sys, time\nsignal.alarm(40)\nend = time.monotonic() + 40\n"
LEAVE_A_CHILD = (
    BOUNDED
    + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(20)', sys.argv[1]])
    os._exit(0)
os.wait()
print('up', flush=True)
time.sleep(20)
"""
)
CHAIN = (
    BOUNDED
    + """
# Every process but the first makes its successor, in a session of its own, and is gone.
if os.fork():
    time.sleep(20)
os.setsid()
print('up', flush=True)
while time.monotonic() < end:
    time.sleep(0.02)  # else nobody could see one before it is gone
    if os.fork():
        os._exit(0)
    os.setsid()
"""
)
BOMB = (
    BOUNDED
    + """
# All of them make others for as long as there are fewer than sixty.
print('up', flush=True)
made = 0
while time.monotonic() < end:
    try:
        if made < 60 and os.fork() == 0:
            os.setsid()
            made = 30 + made // 2
            continue
        made += 1
    except OSError:
        pass
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
"""
)
DEAF = (
    BOUNDED
    + """
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        continue
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
print('up', flush=True)
while time.monotonic() < end:
    time.sleep(1)
"""
)
STOPPED = (
    BOUNDED
    + """
child = os.fork()
if not child:
    print('up', flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
os.kill(os.getpid(), signal.SIGSTOP)
"""
)


def processes_with(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def one_is_seen(mark: str) -> bool:
    """A look can miss a process that is gone before its turn, and the one that it has left in its place."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while time.monotonic() < deadline:
        if processes_with(mark):
            return True
    return False


def end(mark: str) -> None:
    """What a control has left: stopped first, all that there is of it, so that it makes no others meanwhile."""
    deadline = time.monotonic() + 60
    while found := processes_with(mark):
        assert time.monotonic() < deadline
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)


def start_and_destroy(arena: Arena, script: str, bench: str, frozen: bool = False) -> str:
    """The mark by which the program's processes are known. It is alive before, and has had its time to be destroyed."""
    mark = secrets.token_hex(8)
    sandbox = arena.create(bench, processes=64)
    program = arena.start(sandbox, script, mark, bench=bench)
    arena.says(program, "up")
    assert one_is_seen(mark)
    if frozen:
        arena.freeze(sandbox)
    begin = time.monotonic()
    arena.destroy(sandbox)
    took = time.monotonic() - begin
    assert took < DESTROYED_WITHIN_S, took
    arena.outcome(program)
    return mark


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
@pytest.mark.parametrize(
    "script",
    [LEAVE_A_CHILD, CHAIN, BOMB, DEAF, STOPPED],
    ids=["a_child_left_behind", "a_chain_of_forks", "a_fork_bomb", "deaf_to_signals", "stopped"],
)
def test_nothing_outlives_its_sandbox(arena: Arena, script: str, frozen: bool) -> None:
    mark = start_and_destroy(arena, script, "sandbox", frozen)
    assert [found for found in (processes_with(mark) for _ in range(LOOKS)) if found] == []


@pytest.mark.parametrize("script", [LEAVE_A_CHILD, CHAIN], ids=["a_child_left_behind", "a_chain_of_forks"])
def test_control_without_a_namespace_for_processes_they_are_left_behind(script: str) -> None:
    """Where nobody looks for them, as the `process` driver does."""
    mark = secrets.token_hex(8)
    command = [sys.executable, "-I", "-c", script, mark]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert one_is_seen(mark)
        finally:
            end(mark)


@pytest.mark.parametrize("script", [DEAF, STOPPED], ids=["deaf_to_signals", "stopped"])
def test_control_signals_do_not_end_it(script: str) -> None:
    mark = secrets.token_hex(8)
    with subprocess.Popen([sys.executable, "-I", "-c", script, mark], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            if script == STOPPED:
                os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
                process.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        finally:
            end(mark)

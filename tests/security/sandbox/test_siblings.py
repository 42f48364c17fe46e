"""What one environment may learn of another, of the one before it, or of the process that it was forked from.

Each test runs in sandboxes, and without isolation, where the same programs must meet.
"""

import hashlib
import os
import secrets
import signal
import subprocess
import sys

import pytest
from arena import Arena
from hostile.probe import GOT_THROUGH, HELD_BACK, whole

WAIT = "print('up', flush=True); import time; time.sleep(60)"

# Finds `canary-` and 32 hexadecimal digits by their digest, so that it does not find its own argument.
SEARCH = whole(
    r"""
    import hashlib, re
    def memory_of(process):
        with open(f'/proc/{process}/maps') as maps, open(f'/proc/{process}/mem', 'rb', buffering=0) as memory:
            for line in maps:
                span, rights, *_ = line.split()
                begin, end = (int(place, 16) for place in span.split('-'))
                if rights[0] == 'r' and end - begin <= 64 << 20 and '[v' not in line:
                    try:
                        memory.seek(begin)
                        yield memory.read(end - begin)
                    except (OSError, OverflowError):
                        continue
    def variables_of(process):
        with open(f'/proc/{process}/environ', 'rb') as variables:
            yield variables.read()
    def attempt(digest, *processes):
        wanted, left = re.compile(rb'canary-[0-9a-f]{32}'), 512 << 20
        others = [one for one in os.listdir('/proc') if one.isdigit() and one != str(os.getpid())]
        # Of the machine's own processes there may be more than can be searched in whole.
        for pieces_of in (variables_of, memory_of):
            for process in processes or others:
                try:
                    for piece in pieces_of(process):
                        left -= len(piece)
                        for found in wanted.findall(piece):
                            if hashlib.sha256(found).hexdigest() == digest:
                                return process
                except OSError:
                    continue
                if left < 0:
                    return None
    """
)
LISTEN = """
import os, signal, socket, sys
if os.fork() == 0:
    os.setsid()
    signal.alarm(30)
    abstract, port = socket.socket(socket.AF_UNIX), socket.create_server(('127.0.0.1', 0))
    abstract.bind('\\0' + sys.argv[1]); abstract.listen()
    print('port', port.getsockname()[1], flush=True)
    os.close(1); os.close(2)
    signal.pause()
if sys.argv[2] == 'stay':
    signal.pause()
os.wait() if sys.argv[2] == 'wait' else os._exit(0)
"""
CONNECT = whole(
    """
    import socket
    def attempt(name, port):
        met = []
        for family, address in ((socket.AF_UNIX, '\\0' + name), (socket.AF_INET, ('127.0.0.1', int(port)))):
            try:
                socket.socket(family).connect(address)
                met.append(address)
            except OSError:
                continue
        return met
    """
)
LEAVE_MEMORY = """
import ctypes, sys
libc = ctypes.CDLL(None)
assert libc.shmget(int(sys.argv[1]), 4096, 0o1666) >= 0
print('left')
"""
FIND_MEMORY = whole(
    """
    def attempt(key):
        found = libc.shmget(int(key), 0, 0)
        if found >= 0:
            libc.shmctl(found, 0, None)
        return found >= 0
    """
)
LEAVE_FILE = "import os; open(os.environ.get('TMPDIR', '/tmp') + '/secret', 'w').write('mine'); print('written')"
FIND_FILE = whole(
    """
    import glob
    def attempt(data):
        for path in ('/tmp/secret', TMP + '/secret', *glob.glob(data + '/sandbox/*/tmp/secret')):
            try:
                return open(path).read()
            except OSError:
                continue
    """
)

both = pytest.mark.parametrize("bench", ["sandbox", "process"])


def assert_met(bench: str, output: str) -> None:
    assert output.startswith(HELD_BACK if bench == "sandbox" else GOT_THROUGH), output


def new_canary() -> tuple[str, str]:
    """One, and the digest by which it is looked for."""
    canary = f"canary-{secrets.token_hex(16)}"
    return canary, hashlib.sha256(canary.encode()).hexdigest()


@both
def test_the_variables_of_a_sibling_are_in_no_memory_that_can_be_read(arena: Arena, bench: str) -> None:
    """Nor in that of a process that both were forked from, if it can be seen at all."""
    canary, digest = new_canary()
    sibling, other = arena.create(bench), arena.create(bench)
    program = arena.start(sibling, WAIT, bench=bench, SECRET=canary)
    arena.says(program, "up")
    assert_met(bench, arena.run(other, SEARCH, digest, bench=bench).output)
    for sandbox in (sibling, other):
        arena.destroy(sandbox)
    arena.outcome(program)


def test_nothing_of_a_sibling_is_in_the_memory_that_it_began_with(arena: Arena) -> None:
    canary, digest = new_canary()
    sibling, other = arena.create(), arena.create()
    program = arena.start(sibling, WAIT, SECRET=canary)
    arena.says(program, "up")
    ended = arena.run(other, SEARCH, digest, "self")
    assert ended.output.startswith(HELD_BACK), ended
    arena.destroy(sibling)
    arena.outcome(program)
    # And the next one, in what the first one has left.
    again = arena.create()
    ended = arena.run(again, SEARCH, digest, "self")
    assert ended.output.startswith(HELD_BACK), ended
    control = arena.run(again, SEARCH, digest, "self", SECRET=canary)
    assert control.output.startswith(GOT_THROUGH), control
    for sandbox in (other, again):
        arena.destroy(sandbox)


@both
def test_the_sockets_of_a_sibling_can_not_be_reached(arena: Arena, bench: str) -> None:
    name = secrets.token_hex(8)
    sibling, other = arena.create(bench), arena.create(bench)
    program = arena.start(sibling, LISTEN, name, "stay", bench=bench)
    port = arena.says(program, "port").split()[1]
    assert_met(bench, arena.run(other, CONNECT, name, port, bench=bench).output)
    for sandbox in (sibling, other):
        arena.destroy(sandbox)
    arena.outcome(program)


@pytest.mark.parametrize("where", ["the same sandbox", "the next sandbox"])
def test_what_a_program_left_listening_is_not_there_for_the_next(arena: Arena, where: str) -> None:
    """The reset of an environment starts a program in the same sandbox."""
    name = secrets.token_hex(8)
    sandbox = arena.create()
    program = arena.start(sandbox, LISTEN, name, "wait")
    port = arena.says(program, "port").split()[1]
    arena.kill(sandbox)
    arena.outcome(program)
    if where == "the next sandbox":
        arena.destroy(sandbox)
        sandbox = arena.create()
    assert_met("sandbox", arena.run(sandbox, CONNECT, name, port).output)
    arena.destroy(sandbox)


def test_control_what_a_program_left_listening_is_there_where_nothing_is_kept_apart() -> None:
    name = secrets.token_hex(8)
    command = (sys.executable, "-I", "-c", LISTEN, name, "wait")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        assert program.stdout is not None
        port = program.stdout.readline().split()[1]
        os.killpg(program.pid, signal.SIGKILL)
    met = subprocess.run((sys.executable, "-I", "-c", CONNECT, name, port), stdout=subprocess.PIPE, text=True)
    assert_met("process", met.stdout)


@both
def test_shared_memory_that_outlives_its_maker_is_not_there_for_the_next(arena: Arena, bench: str) -> None:
    key = str(secrets.randbelow(1 << 30) + 1)
    sandbox, other = arena.create(bench), arena.create(bench)
    assert arena.run(sandbox, LEAVE_MEMORY, key, bench=bench).output == "left\n"
    assert_met(bench, arena.run(other, FIND_MEMORY, key, bench=bench).output)
    for one in (sandbox, other):
        arena.destroy(one)


@both
def test_the_tmp_of_a_sibling_can_not_be_read(arena: Arena, bench: str) -> None:
    sandbox, other = arena.create(bench), arena.create(bench)
    assert arena.run(sandbox, LEAVE_FILE, bench=bench).output == "written\n"
    assert_met(bench, arena.run(other, FIND_FILE, arena.facts[f"{bench}_data"], bench=bench).output)
    for one in (sandbox, other):
        arena.destroy(one)

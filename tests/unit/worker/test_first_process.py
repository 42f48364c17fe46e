"""The first process of a sandbox, as a program and as the interpreter that goes on."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lambent

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="there is no program for this machine")

PACKAGES = str(Path(lambent.__file__).parents[1])
FIRST = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from lambent.worker.sandbox import first_process
file = first_process.executable() if sys.argv[3] == "memfd:init" else -1
program = os.fork()
if program:
    first_process.watch(program, int(sys.argv[2]), file)
os.close(int(sys.argv[2]))
while open("/proc/1/comm").read().strip() != sys.argv[3]:
    time.sleep(0.005)
orphan = os.fork()
if orphan == 0:
    orphan = os.fork()
    if orphan:
        os._exit(0)
    time.sleep(0.2)
    os._exit(9)
os.waitpid(orphan, 0)
exec(sys.argv[4])
"""


@pytest.mark.parametrize("name", ["memfd:init", Path(sys.executable).name])
@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os._exit(0)", 0),
        ("os._exit(7)", 7 << 8),
        ("os._exit(255)", 255 << 8),
        ("os.kill(os.getpid(), 9)", 9),
    ],
)
def test_it_tells_how_the_program_ended_and_reaps_what_that_left(name: str, end: str, told: int) -> None:
    read, write = os.pipe()
    # The status may have any number, and the file one that the program takes for the status.
    status = fcntl.fcntl(write, fcntl.F_DUPFD, 40)
    os.close(write)
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", FIRST]
    argv = [*command, PACKAGES, str(status), name, end]
    first = subprocess.Popen(argv, pass_fds=(status,), stdin=subprocess.DEVNULL)
    os.close(status)
    with open(read, "rb", buffering=0) as told_by:
        assert told_by.read(100) == f"exit {told}\n".encode()
        assert first.poll() is None, "the orphan has not ended"
        assert first.wait(20) == 0
        assert told_by.read(100) == b""

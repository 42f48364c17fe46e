"""The system-call filter: what is refused, that threads and child processes work, and that the filter can tell."""

import asyncio
import os
import struct

import pytest

from lambent.testing.sandboxes import open_bench
from lambent.worker.sandbox import seccomp
from sandbox_drivers import isolating

every_driver = pytest.mark.parametrize("driver", isolating())

# Each line calls one system call with arguments that do no harm, and prints its name and errno.
PROBE = """
import ctypes, errno, socket, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    print(name, 'allowed' if result >= 0 else errno.errorcode[ctypes.get_errno()])
calls = dict(CALLS)
for name, number in calls.items():
    call(name, number, 0, 0, 0, 0, 0)
call('clone3', 435, 0, 0)
call('unknown', 1000)
call('unshare-user', calls['unshare'], 0x10000000)
call('personality-question', PERSONALITY, 0xffffffff)
call('personality-change', PERSONALITY, 0x0040000)
for name, family, protocol in (('packet', 17, 0), ('vsock', 40, 0), ('alg', 38, 0), ('bluetooth', 31, 0),
                               ('netlink-audit', 16, 9), ('netlink-route', 16, 0), ('unix', 1, 0), ('inet6', 10, 0)):
    try:
        socket.socket(family, socket.SOCK_RAW if family == 16 else socket.SOCK_STREAM, protocol).close()
        print(name, 'allowed')
    except OSError as error:
        print(name, errno.errorcode[error.errno])
import fcntl, stat
for name, request in (('tiocsti', 0x5412), ('tioclinux', 0x541c)):
    try:
        fcntl.ioctl(0, request, b' ')
        print(name, 'allowed')
    except OSError as error:
        print(name, errno.errorcode[error.errno])
for name, mode in (('device', stat.S_IFCHR), ('fifo', stat.S_IFIFO)):
    try:
        os.mknod('/tmp/' + name, mode | 0o600, os.makedev(1, 3))
        print(name, 'allowed')
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"""


def answers(driver: str) -> dict[str, str]:
    architecture = seccomp.ARCHITECTURES[os.uname().machine]
    script = PROBE.replace("CALLS", repr(architecture.refused)).replace("PERSONALITY", str(architecture.personality))

    async def run() -> str:
        async with open_bench(driver) as bench:
            outcome = await bench.probe(await bench.create(), script)
            assert outcome.exit.code == 0, outcome
            return outcome.output

    return dict(line.split() for line in asyncio.run(run()).splitlines())


@every_driver
@pytest.mark.skipif(os.uname().machine not in seccomp.ARCHITECTURES, reason="no filter is written for this machine")
def test_what_reaches_beyond_the_sandbox_is_refused(driver: str) -> None:
    told = answers(driver)
    expected = dict.fromkeys(seccomp.ARCHITECTURES[os.uname().machine].refused, "EPERM")
    expected |= {"clone3": "ENOSYS", "unknown": "ENOSYS", "unshare-user": "EPERM"}
    expected |= {"personality-question": "allowed", "personality-change": "EPERM"}
    expected |= dict.fromkeys(("packet", "vsock", "alg", "bluetooth", "netlink-audit"), "EAFNOSUPPORT")
    expected |= dict.fromkeys(("netlink-route", "unix", "inet6"), "allowed")
    expected |= {"tiocsti": "EPERM", "tioclinux": "EPERM", "device": "EPERM", "fifo": "allowed"}
    assert told == expected


@every_driver
def test_threads_and_child_processes_work(driver: str) -> None:
    script = """
import subprocess, threading, multiprocessing
said = []
thread = threading.Thread(target=said.append, args=('thread',)); thread.start(); thread.join()
ours, theirs = multiprocessing.Pipe()
process = multiprocessing.get_context('fork').Process(target=theirs.send, args=('process',)); process.start()
print(*said, ours.recv(), subprocess.run(['/bin/echo', 'program'], capture_output=True, text=True).stdout)
"""

    async def run() -> str:
        async with open_bench(driver) as bench:
            return (await bench.probe(await bench.create(), script)).output

    assert asyncio.run(run()).split() == ["thread", "process", "program"]


def decide(program: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """Run a filter as the kernel does."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, *[0] * (6 - len(arguments))))
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, place = 0, 0
    while True:
        operation, when_true, when_false, value = code[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x06:
                return value
            case _:
                true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
                place += when_true if true[operation] else when_false


@pytest.mark.parametrize("machine", sorted(seccomp.ARCHITECTURES))
def test_the_filter_decides_alike_on_every_machine(machine: str) -> None:
    architecture = seccomp.ARCHITECTURES[machine]
    program = seccomp.program(machine)
    allow, kill, refuse = 0x7FFF_0000, 0x8000_0000, 0x0005_0001

    def asked(number: int, *arguments: int) -> int:
        return decide(program, number, architecture.audit, arguments)

    assert all(asked(number) == refuse for number in architecture.refused.values())
    assert asked(architecture.clone, 0x11) == allow
    assert asked(architecture.clone, 0x1000_0011) == refuse
    assert asked(architecture.clone, 0x0002_0011) == refuse
    assert asked(468) == 0x0005_0000 | 38
    assert asked(architecture.socket, 2) == allow
    assert asked(architecture.socket, 16, 3, 0) == allow
    assert asked(architecture.socket, 16, 3, 9) == 0x0005_0000 | 97
    assert asked(architecture.mknodat, 0, 0, 0o060600) == refuse
    assert asked(architecture.mknodat, 0, 0, 0o100600) == allow
    assert asked(architecture.ioctl, 0, 0x5412) == refuse
    assert asked(architecture.ioctl, 0, 0x5413) == allow
    assert asked(425) == refuse
    done, some_pointer = 0x0005_0000, 0x7F00_0000_0000
    assert asked(architecture.setrlimit, 4) == done
    assert asked(architecture.setrlimit, 7) == allow
    assert asked(architecture.prlimit64, 0, 4, some_pointer) == done
    assert asked(architecture.prlimit64, 0, 4, 1) == done
    assert asked(architecture.prlimit64, 0, 4, 0, some_pointer) == allow
    assert asked(architecture.prlimit64, 0, 7, some_pointer) == allow
    assert asked(0) == allow
    assert decide(program, 0, 0x4000_0003) == kill


@pytest.mark.parametrize("machine", sorted(seccomp.ARCHITECTURES))
def test_only_a_template_has_its_clones_decided_upon_and_nobody_may_decide_but_us(machine: str) -> None:
    architecture = seccomp.ARCHITECTURES[machine]
    allow, ask, refuse, unknown = 0x7FFF_0000, 0x7FC0_0000, 0x0005_0001, 0x0005_0000 | 38
    for program, clone3 in ((seccomp.refuse_clone3(machine), unknown), (seccomp.ask_about_clone3(machine), ask)):
        assert decide(program, 435, architecture.audit) == clone3
        assert decide(program, architecture.seccomp, architecture.audit, (1, 8)) == refuse
        assert decide(program, architecture.seccomp, architecture.audit, (1, 1)) == allow
        assert decide(program, 0, architecture.audit) == allow


def test_the_other_way_into_the_kernel_of_x86_64_is_closed() -> None:
    assert decide(seccomp.program("x86_64"), 0x4000_0000, 0xC000_003E) == 0x8000_0000

"""A machine, an internet and a neighbour for tests of networks: network namespaces, joined by cables.

The calling thread is on that machine for as long as it exists, and so are the processes that it starts meanwhile:
whatever Lambent does to the machine's network, it does there, and the real one is left alone. Root only.
"""

import contextlib
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lambent.testing import ordinary_user
from lambent.worker.sandbox import kernel

MACHINE = "198.51.100.1"
SECOND_ADDRESS = "172.20.0.1"
"""Another of the machine's own, in a network behind it."""
NEIGHBOUR = "172.20.0.2"
"""Another machine there. Its way to the internet would be through the machine."""
PUBLIC, PRIVATE, METADATA, NAMESERVER = "93.184.216.34", "10.9.8.7", "169.254.169.254", "198.51.100.53"
"""Addresses of the internet. The machine reaches each of them."""
PORT = 8080
_ASIDE = "/mnt"
_PREPARE_INTERNET = (
    f"link set lo up; addr add {PUBLIC}/32 dev lo; addr add {PRIVATE}/32 dev lo; addr add {METADATA}/32 dev lo; "
    f"addr add {NAMESERVER}/24 dev eth0; link set eth0 up; route add 172.20.0.0/24 via {MACHINE}"
)
_PREPARE_MACHINE = (
    f"link set lo up; addr add {MACHINE}/24 dev eth0; link set eth0 up; route add default via {NAMESERVER}; "
    f"addr add {SECOND_ADDRESS}/24 dev eth1; link set eth1 up"
)
_PREPARE_NEIGHBOUR = f"addr add {NEIGHBOUR}/24 dev eth0; link set eth0 up; route add default via {SECOND_ADDRESS}"


def open_namespace() -> int:
    """A descriptor of the network namespace that the calling thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def at(namespace: int) -> Iterator[None]:
    """The calling thread is in another network namespace."""
    before = open_namespace()
    kernel.enter_namespace(namespace, kernel.CLONE_NEWNET)
    try:
        yield
    finally:
        kernel.enter_namespace(before, kernel.CLONE_NEWNET)
        os.close(before)


def run(*command: str) -> str:
    """What the command prints. It runs in the calling thread's network namespace."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@dataclass
class Machine:
    """The namespaces, and what listens in them."""

    here: int
    internet: int
    neighbour: int
    listeners: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def serve(self, address: str, port: int = PORT) -> None:
        """Listen on the machine, and tell each caller under which address it was seen."""
        listener = socket.create_server((address, port))
        self._start(listener, _tell_callers)

    def serve_in_internet(self, address: str, port: int = PORT) -> None:
        with at(self.internet):
            self.serve(address, port)

    def serve_names(self, address: str) -> None:
        """A name server in the internet, for which every name is that of PUBLIC."""
        with at(self.internet):
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind((address, 53))
        self._start(listener, _tell_names)

    def _start(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self.listeners.append(listener)
        self.threads.append(threading.Thread(target=serve, args=(listener,)))
        self.threads[-1].start()

    def close(self) -> None:
        for listener in self.listeners:
            if listener.type == socket.SOCK_STREAM:
                listener.shutdown(socket.SHUT_RDWR)
            else:
                listener.sendto(b"", listener.getsockname())
        for thread in self.threads:
            thread.join()
        for listener in self.listeners:
            listener.close()

    def devices(self) -> set[str]:
        return {name for _, name in socket.if_nameindex()}

    def forwards(self) -> bool:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"

    def tables(self) -> list[str]:
        """Names of the machine's tables of rules."""
        return [line.split()[2] for line in run("nft", "list", "tables").splitlines()]


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    real = open_namespace()
    made = []
    try:
        for _ in range(3):
            kernel.unshare(kernel.CLONE_NEWNET)
            made.append(open_namespace())
        neighbour, internet, here = made
        for device, other in (("eth0", internet), ("eth1", neighbour)):
            peer = f"/proc/{os.getpid()}/fd/{other}"
            run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", peer)
        with at(internet):
            _configure(_PREPARE_INTERNET)
        with at(neighbour):
            _configure(_PREPARE_NEIGHBOUR)
        _configure(_PREPARE_MACHINE)
        with contextlib.closing(Machine(here, internet, neighbour)) as on:
            yield on
    finally:
        kernel.enter_namespace(real, kernel.CLONE_NEWNET)
        for namespace in (real, *made):
            os.close(namespace)


def _configure(words: str) -> None:
    for line in words.split("; "):
        run("ip", *line.split())


def _tell_callers(listener: socket.socket) -> None:
    while True:
        try:
            connection, (address, _) = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(address.encode())


def _tell_names(listener: socket.socket) -> None:
    while True:
        question, asker = listener.recvfrom(512)
        if not question:
            return
        asked = question[12 : question.index(0, 12) + 5]
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(PUBLIC)
        listener.sendto(question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked + answer, asker)


def become_an_ordinary_user() -> None:
    """To be called in a fresh child (`preexec_fn`): from here on it is an ordinary user, who may open /dev/net/tun, as
    on most machines, and may enter what leads to this Python. It sees so in a mount namespace of its own."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("tmpfs", _ASIDE, "tmpfs")
    tun = f"{_ASIDE}/tun"
    os.mknod(tun, stat.S_IFCHR, os.makedev(10, 200))
    os.chmod(tun, 0o666)  # noqa: PTH101, S103 - as on most machines
    kernel.mount(tun, "/dev/net/tun", flags=kernel.MS_BIND)
    kernel.unmount(_ASIDE)
    ordinary_user.become()


def become_an_ordinary_user_without_tun() -> None:
    """The same, of a machine that does not let it open /dev/net/tun."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("/dev/null", "/dev/net/tun", flags=kernel.MS_BIND)
    ordinary_user.become()

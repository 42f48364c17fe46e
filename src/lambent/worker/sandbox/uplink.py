"""How the router of functions' networks reaches out: through the machine, as root, or through `pasta`, as an ordinary
user.

As root there is a pair of devices between the machine and the router, and a table of rules on the machine named after
the data directory. What the machine forwarded before it still forwards, and nothing else. All of it is taken away by
`close`, and after a crash by the next `clean`.

An ordinary user may put nothing on the machine. The program pasta makes connections there in the router's name. It has
to be started by a process that is still in the machine's network, which the launcher soon is not: a child that is
forked before (the *keeper*) does so, and tells the router's rules the addresses of the machine whenever they change.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from typing import Protocol

from lambent.worker.sandbox import firewall, kernel
from lambent.worker.sandbox.firewall import UPLINK, Nft
from lambent.worker.sandbox.netlink import AddressChanges, Netlink

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_NEXT_HOP = "169.254.100.2"
_FIRST_ADDRESS, _ADDRESSES = 0xA9FE_4001, 8190  # 169.254.64.1 and on
_PASTA_ADDRESS = "169.254.64.1"
_PASTA_WITHIN_S = 10.0
_PACKET = 1 << 16
_DESCRIPTORS = 1 << 20


class Uplink(Protocol):
    """All may raise OSError."""

    def open(self) -> None:
        """Called where the machine's network is still to be had. Removes what a killed launcher has left."""

    def make(self, router: int) -> None:
        """Join the router, whose namespace the descriptor is of, to the machine, with all rules of the machine."""

    def check(self) -> None:
        """Raises OSError where the router is joined no more."""

    def close(self) -> None: ...


@contextlib.contextmanager
def inside(namespace: int) -> Iterator[None]:
    """In another network namespace. The calling process has one thread."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.enter_namespace(namespace, kernel.CLONE_NEWNET)
        yield
    finally:
        kernel.enter_namespace(own, kernel.CLONE_NEWNET)
        os.close(own)


def join(address: str, hardware: bytes | None = None) -> None:
    """In the router: give its uplink the address, and send everything there: to the hardware address if there is one,
    else to who answers."""
    netlink = Netlink()
    try:
        index = socket.if_nametoindex(UPLINK)
        netlink.add_address(index, address)
        netlink.set_up(index)
        if hardware is not None:
            netlink.add_neighbour(index, _NEXT_HOP, hardware)
        netlink.add_default_route(index, _NEXT_HOP)
    finally:
        netlink.close()


class MachineUplink:
    """Root's. `mark` names all that it has on the machine, `record` is a file that is there while it has anything."""

    def __init__(self, mark: str, record: str, nft: Nft) -> None:
        self._table = mark
        self._device = "lambent" + mark.rpartition("-")[2][:8]
        of_server = bytes.fromhex(mark.rpartition("-")[2])[:4]
        self._hardware = b"\2\3" + of_server, b"\2\4" + of_server
        self._record = record
        self._nft = nft
        self._machine = self._router = -1
        self._watched: Netlink | None = None
        self._refused: set[str] = set()

    def open(self) -> None:
        self._machine = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._watched = Netlink()
        self._clean()

    def make(self, router: int) -> None:
        os.close(os.open(self._record, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            address = self._join_machine(router)
            with inside(router):
                join(address, self._hardware[0])
        except OSError:
            self._clean()
            raise
        self._router, self._refused = router, set()

    def _join_machine(self, router: int) -> str:
        """Returns the router's address."""
        with self._alone_on_the_machine():
            netlink = Netlink()
            try:
                netlink.make_veth(self._device, UPLINK, router, hardware=self._hardware)
                index = socket.if_nametoindex(self._device)
                netlink.set_up(index)
                address = self._take_address(netlink, index)
                self._nft.put(firewall.machine(self._table, self._device, address))
                self._forward()
            finally:
                netlink.close()
        return address

    def check(self) -> None:
        """The machine's own rules refuse its addresses. The router does so as well for a machine whose rules somebody
        flushes; it knows the addresses of the last time that somebody was attached."""
        assert self._watched is not None, "checked before it was opened"
        addresses = self._watched.addresses()
        if addresses != self._refused:
            with inside(self._router):
                self._nft.put(firewall.machine_addresses(addresses))
            self._refused = addresses

    def _take_address(self, netlink: Netlink, index: int) -> str:
        """One that no router of another server on this machine has."""
        first = int.from_bytes(self._hardware[0][2:], "big")
        for number in range(_ADDRESSES):
            address = socket.inet_ntoa((_FIRST_ADDRESS + (first + number) % _ADDRESSES).to_bytes(4, "big"))
            with contextlib.suppress(FileExistsError):
                netlink.add_route(index, address)
                netlink.add_neighbour(index, address, self._hardware[1])
                return address
        raise OSError("every address for a server's networks on this machine is in use")

    @contextlib.contextmanager
    def _alone_on_the_machine(self) -> Iterator[None]:
        """In the machine's network namespace, and no other server changes what they share there."""
        fcntl.flock(self._machine, fcntl.LOCK_EX)
        try:
            with inside(self._machine):
                yield
        finally:
            fcntl.flock(self._machine, fcntl.LOCK_UN)

    def _forward(self) -> None:
        """Have the machine forward packets, for functions only if it did not before."""
        if _read(_FORWARDING) == "0":
            self._nft.put(firewall.FORWARDING)
            write(_FORWARDING, "1")

    def _clean(self) -> None:
        if not os.path.exists(self._record):
            return
        with self._alone_on_the_machine():
            netlink = Netlink()
            try:
                netlink.remove_link(self._device)
            finally:
                netlink.close()
            self._nft.put(firewall.remove(self._table))
            tables = self._nft.tables()
            if firewall.FORWARDING_TABLE in tables and not any(firewall.is_of_a_server(name) for name in tables):
                write(_FORWARDING, "0")
                self._nft.put(firewall.remove(firewall.FORWARDING_TABLE))
        os.unlink(self._record)

    def close(self) -> None:
        if self._watched is not None:
            self._clean()
            self._watched.close()
            self._watched = None
            os.close(self._machine)


class PastaUplink:
    """An ordinary user's. `pasta` is the program's path, empty where there is none; `record` is where its process id
    is written."""

    def __init__(self, pasta: str, record: str, nft: Nft) -> None:
        self._pasta = pasta
        self._record = record
        self._nft = nft
        self._keeper: socket.socket | None = None
        self._process = 0
        self._failure = ""

    def open(self) -> None:
        self._end_the_last_one()
        if not self._pasta:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        self._process = os.fork()
        if not self._process:
            try:
                _keep_only(theirs)
                Keeper(theirs, launcher, self._pasta, self._record, self._nft).serve()
            finally:
                os._exit(0)
        theirs.close()
        ours.settimeout(_PASTA_WITHIN_S)
        self._keeper = ours

    def _end_the_last_one(self) -> None:
        """The pasta of a keeper that was killed: it does not notice that its router is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):  # it may not have come to writing
            process = int(_read(self._record))
            with open(f"/proc/{process}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if os.fsencode(self._record) in words:
                os.kill(process, signal.SIGKILL)
            os.unlink(self._record)

    def make(self, router: int) -> None:
        if self._keeper is None:
            raise OSError("pasta is missing: install the package passt")
        if self._failure:
            raise OSError(self._failure)
        self._keeper.send(json.dumps({"router": router}).encode())
        answer = self._keeper.recv(_PACKET).decode()
        if answer != "joined":
            # The keeper has ended, and can not be had again: another one would be in the launcher's network.
            self._failure = answer or "the keeper of the network has ended"
            raise OSError(self._failure)

    def check(self) -> None:
        assert self._keeper is not None, "checked before it was made"
        if select.select([self._keeper], [], [], 0)[0]:
            raise OSError("pasta, through which functions reach out, has ended")

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
            with contextlib.suppress(ChildProcessError):  # who waits for every child may have heard of its end
                os.waitpid(self._process, 0)


class Keeper:
    """The process that stays in the machine's network for an ordinary user's launcher. It ends with the launcher, whose
    end of the socket closes, and with pasta."""

    def __init__(self, launcher: socket.socket, pid: int, pasta: str, record: str, nft: Nft) -> None:
        self._launcher = launcher
        self._pid = pid
        self._pasta = pasta
        self._record = record
        self._nft = nft
        self._changes = AddressChanges()
        self._machine = Netlink()

    def serve(self) -> None:
        kernel.adopt_orphans()  # pasta leaves the process that started it when it is ready
        request = self._launcher.recv(_PACKET)
        if not request:
            return
        router: int = json.loads(request)["router"]
        pasta = -1
        try:
            pasta = self._start(f"/proc/{self._pid}/fd/{router}")
            self._enter(router)
            join(_PASTA_ADDRESS)
            self._tell_addresses()
            self._launcher.send(b"joined")
            self._watch(pasta)
        except OSError as error:
            self._launcher.send(str(error).encode())
        finally:
            if pasta >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pasta, signal.SIGKILL)
                os.waitid(os.P_PIDFD, pasta, os.WEXITED)
                os.unlink(self._record)

    def _start(self, router: str) -> int:
        """Returns a descriptor of the process. Raises OSError with what pasta says."""
        place = self._record
        command = [self._pasta, "--ipv4-only", "--ns-ifname", UPLINK, "--address", _PASTA_ADDRESS, "--netmask", "32"]
        command += ["--gateway", _NEXT_HOP, "--no-map-gw", "--no-dhcp", "--pid", place]
        # It would carry what listens on either side to the other.
        for direction in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
            command += [direction, "none"]
        command += ["--userns", f"/proc/{self._pid}/ns/user", "--netns", router]
        said = os.memfd_create("said", os.MFD_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        # It takes a signal that is ignored already for an error.
        child = os.posix_spawn(self._pasta, command, {}, file_actions=actions, setsigdef=[signal.SIGPIPE])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        text = os.pread(said, _PACKET, 0).decode(errors="replace")
        os.close(said)
        if status:
            # What comes before the last line is its configuration, and complaints that nobody keeps a log for it.
            raise OSError(f"pasta ended with {status}: {''.join(text.strip().splitlines()[-1:])}")
        return os.pidfd_open(int(_read(place)))

    def _enter(self, router: int) -> None:
        """From here on this process has the launcher's rights in the router, and none on the machine."""
        for name, kind in (("ns/user", kernel.CLONE_NEWUSER), (f"fd/{router}", kernel.CLONE_NEWNET)):
            namespace = os.open(f"/proc/{self._pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            kernel.enter_namespace(namespace, kind)
            os.close(namespace)

    def _tell_addresses(self) -> None:
        self._nft.put(firewall.machine_addresses(self._machine.addresses()))

    def _watch(self, pasta: int) -> None:
        while True:
            descriptors = [self._launcher.fileno(), pasta, self._changes.descriptor]
            ready, _, _ = select.select(descriptors, [], [])
            if set(ready) & set(descriptors[:2]):
                return
            self._changes.take()
            self._tell_addresses()


def _keep_only(connection: socket.socket) -> None:
    """In a fresh child: it is not the launcher, and holds nothing of it open."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, _DESCRIPTORS)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)

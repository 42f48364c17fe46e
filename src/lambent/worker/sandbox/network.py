"""Networks of sandboxes: what joins a sandbox's network namespace to the outside.

All of it lives in a network namespace of the launcher's own, the *router*: a device for each sandbox, and the rules of
what each network reaches (`firewall.py`). One uplink joins the router to the machine (`uplink.py`). Nothing of it is
made before the first sandbox that has a network other than loopback. The router goes with the launcher, however that
goes, and a sandbox's device with its namespace: the kernel takes it away in its own time, where we would wait 16 ms.

Inside, a sandbox has the device `eth0` with a link-local IPv4 address, as on AWS, which is nobody's beyond the router.
"""

import os
import socket
from typing import Any

from lambent.worker.sandbox import firewall, kernel
from lambent.worker.sandbox.firewall import Nft
from lambent.worker.sandbox.netlink import Netlink
from lambent.worker.sandbox.resolvers import nameservers
from lambent.worker.sandbox.uplink import MachineUplink, PastaUplink, Uplink, inside, write

_GATEWAY = "169.254.100.1"
_FIRST_ADDRESS, _ADDRESSES = 0xA9FE_0001, 16_382  # 169.254.0.1 to 169.254.63.254
_DEVICE = "eth0"
_INDEX = 1000  # beyond what a new namespace may bring along
_LOOPBACK_INDEX = 1
_OF_ROUTER, _OF_SANDBOX = 1, 2


class Networks:
    """The router, and its uplink. `mark` names what there is on the machine, `directory` is the launcher's,
    `nft` and `pasta` are the paths of programs or empty."""

    def __init__(self, *, mark: str, directory: str, nft: str, pasta: str) -> None:
        self._nft = Nft(nft)
        record = os.path.join(directory, "network")
        self._uplink: Uplink = (
            MachineUplink(mark, record, self._nft) if os.geteuid() == 0 else PastaUplink(pasta, record, self._nft)
        )
        self._router = -1
        self._netlink: Netlink | None = None
        self._numbers: dict[str, int] = {}
        self._next = 0

    def open(self) -> None:
        """To be called while this process is in the machine's network namespace. Raises OSError."""
        self._uplink.open()

    def attach(self, namespace: int, wanted: dict[str, Any]) -> None:
        """Join the network namespace that the descriptor is of to the network, which is not loopback: `wanted` is as
        `launched.py` sends it. It stays joined to its end. Raises OSError."""
        netlink = self._netlink or self._make_router()
        self._uplink.check()
        address = self._make_devices(netlink, namespace, self._number_of(wanted))
        with inside(namespace):
            within = Netlink()
        try:
            within.add_address(_INDEX, address)
            within.set_up(_INDEX)
            within.add_neighbour(_INDEX, _GATEWAY, _hardware(_OF_ROUTER, address))
            within.add_default_route(_INDEX, _GATEWAY)
        finally:
            within.close()

    def _make_devices(self, netlink: Netlink, namespace: int, number: int) -> str:
        """The router's and the sandbox's device, and the route to the latter, whose address is returned. Each address
        has its own device, so a device that is still there says that the address is in use."""
        for _ in range(_ADDRESSES):
            place = self._next
            self._next = (self._next + 1) % _ADDRESSES
            index, address = _INDEX + place, socket.inet_ntoa((_FIRST_ADDRESS + place).to_bytes(4, "big"))
            hardware = _hardware(_OF_ROUTER, address), _hardware(_OF_SANDBOX, address)
            try:
                netlink.make_veth(
                    f"sandbox{place}", _DEVICE, namespace, hardware=hardware, indexes=(index, _INDEX), group=number
                )
            except FileExistsError:
                continue
            netlink.set_up(index)
            netlink.add_route(index, address)
            netlink.add_neighbour(index, address, hardware[1])
            return address
        raise OSError("every address for sandboxes with a network is in use")

    def close(self) -> None:
        """Raises OSError."""
        if self._netlink is not None:
            self._netlink.close()
            os.close(self._router)
            self._netlink, self._router = None, -1
        self._uplink.close()

    def _make_router(self) -> Netlink:
        self._nft.check()
        router = _new_namespace()
        try:
            with inside(router):
                write("/proc/sys/net/ipv4/ip_forward", "1")
                self._nft.put(firewall.ROUTER)
                netlink = Netlink()
            netlink.add_address(_LOOPBACK_INDEX, _GATEWAY)
            netlink.set_up(_LOOPBACK_INDEX)
            self._uplink.make(router)
        except OSError:
            os.close(router)
            raise
        self._router, self._netlink = router, netlink
        return netlink

    def _number_of(self, wanted: dict[str, Any]) -> int:
        """The router's number of a network; its rules are put in force when it is seen first."""
        servers = nameservers(wanted)
        key = repr((sorted(wanted.items()), servers))
        number = self._numbers.get(key)
        if number is None:
            number = len(self._numbers) + 1
            with inside(self._router):
                self._nft.put(firewall.network(number, wanted, servers))
            self._numbers[key] = number
        return number


def _hardware(end: int, address: str) -> bytes:
    """Told to the other end and not asked for by it: a machine may be set not to answer (arp_ignore), and the router is
    set as the machine is."""
    return bytes((0x02, end)) + socket.inet_aton(address)


def _new_namespace() -> int:
    """Returns a descriptor of a new network namespace. Raises OSError."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        made = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        kernel.enter_namespace(own, kernel.CLONE_NEWNET)
    finally:
        os.close(own)
    return made

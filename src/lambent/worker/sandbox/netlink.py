"""Network devices, addresses, routes and neighbours by rtnetlink: what the program `ip` does, without starting it.

A `Netlink` belongs to the network namespace that its thread was in when it was made, and goes on working there.
Constants are those of the kernel's headers (`linux/rtnetlink.h`, `linux/if_link.h`, `linux/neighbour.h`).
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator

_NEWLINK, _DELLINK, _NEWADDR, _GETADDR, _NEWROUTE, _NEWNEIGH = 16, 17, 20, 22, 24, 28
_REQUEST, _ACK, _DUMP, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_ERROR, _DONE = 2, 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 1, 3, 18, 26, 27, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER, _IFLA_INET6_ADDR_GEN_MODE = 1, 2, 1, 8
_NO_GENERATED_ADDRESS = b"\1"
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST, _ONLINK = 254, 4, 0, 253, 1, 4
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80
_GROUP_OF_ADDRESS_CHANGES = 0x10
_LARGEST = 1 << 16


class Netlink:
    """A conversation with the kernel about one network namespace. Every method may raise OSError."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def make_veth(
        self,
        name: str,
        peer: str,
        peer_namespace: int,
        *,
        hardware: tuple[bytes, bytes],
        indexes: tuple[int, int] = (0, 0),
        group: int = 0,
    ) -> None:
        """A pair of devices, the other end in another namespace. `hardware` are the addresses of both, `indexes` the
        numbers that they get; 0 leaves that to the kernel."""
        other = _link(indexes[1]) + _attribute(_IFLA_IFNAME, _text(peer)) + _attribute(_IFLA_ADDRESS, hardware[1])
        other += _attribute(_IFLA_NET_NS_FD, _number(peer_namespace))
        info = _attribute(_IFLA_INFO_KIND, _text("veth"))
        info += _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
        body = _link(indexes[0]) + _attribute(_IFLA_IFNAME, _text(name)) + _attribute(_IFLA_GROUP, _number(group))
        body += _attribute(_IFLA_ADDRESS, hardware[0])
        self._ask(_NEWLINK, _CREATE | _EXCL, body + _attribute(_IFLA_LINKINFO, info))

    def set_up(self, index: int) -> None:
        """Bring a device up, without an IPv6 address."""
        if os.path.exists("/proc/net/if_inet6"):
            mode = _attribute(_IFLA_INET6_ADDR_GEN_MODE, _NO_GENERATED_ADDRESS)
            self._ask(_NEWLINK, 0, _link(index) + _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, mode)))
        self._ask(_NEWLINK, 0, _link(index, _IFF_UP))

    def remove_link(self, name: str) -> None:
        """Take a device away, and with it its peer. One that is not there is no error."""
        try:
            self._ask(_DELLINK, 0, _link(0) + _attribute(_IFLA_IFNAME, _text(name)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, index: int, address: str) -> None:
        """An address that is alone in its network."""
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, _SCOPE_UNIVERSE, index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_NEWADDR, _CREATE | _EXCL, body)

    def add_route(self, index: int, address: str) -> None:
        """One address is to be found at the device. Raises FileExistsError where it has a route."""
        self._ask(_NEWROUTE, _CREATE | _EXCL, _route(32, _SCOPE_LINK, 0, index, _RTA_DST, address))

    def add_default_route(self, index: int, gateway: str) -> None:
        self._ask(_NEWROUTE, _CREATE | _EXCL, _route(0, _SCOPE_UNIVERSE, _ONLINK, index, _RTA_GATEWAY, gateway))

    def add_neighbour(self, index: int, address: str, hardware: bytes) -> None:
        body = struct.pack("=BxxxiHBB", socket.AF_INET, index, _NUD_PERMANENT, 0, 0)
        body += _attribute(_NDA_DST, socket.inet_aton(address)) + _attribute(_NDA_LLADDR, hardware)
        self._ask(_NEWNEIGH, _CREATE, body)

    def addresses(self) -> set[str]:
        """Every IPv4 address of the namespace."""
        found = set()
        for message in self._ask(_GETADDR, _DUMP, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)):
            attributes = dict(_attributes(message[8:]))
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if packed:
                found.add(socket.inet_ntoa(packed))
        return found

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._sequence, 0)
        self._socket.send(header + body)
        answers: list[bytes] = []
        while True:
            for what, sequence, content in _messages(self._socket.recv(_LARGEST)):
                if sequence != self._sequence:
                    continue
                if what == _DONE:
                    return answers
                if what == _ERROR:
                    number = -struct.unpack_from("=i", content)[0]
                    if number:
                        raise OSError(number, f"network request {kind}: {os.strerror(number)}")
                    return answers
                answers.append(content)


class AddressChanges:
    """Tells that an address of the namespace has come or gone. `descriptor` is readable then, until `take`."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, _GROUP_OF_ADDRESS_CHANGES))
        self.descriptor = self._socket.fileno()

    def take(self) -> None:
        """Forget what has been told so far."""
        while True:
            try:
                self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more has changed than the kernel keeps: that is a change as well
                    raise


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence, content) of each."""
    while len(data) >= 16:
        length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data)
        yield kind, sequence, data[16:length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[(length + 3) & ~3 :]


def _attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return struct.pack("=HH", length, kind) + content + bytes(-length % 4)


def _link(index: int, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _route(length: int, scope: int, flags: int, index: int, attribute: int, address: str) -> bytes:
    fields = (socket.AF_INET, length, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, flags)
    body = struct.pack("=BBBBBBBBI", *fields) + _attribute(attribute, socket.inet_aton(address))
    return body + _attribute(_RTA_OIF, _number(index))


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _number(number: int) -> bytes:
    return struct.pack("=I", number)

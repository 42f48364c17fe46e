"""Which network a function's environments get. Pure: it decides from the settings' networks and the function.

A network says where code may reach out to; nothing ever comes in. It is chosen, first to last: by the network that
names the function, by the first network whose subnets and security groups the function's VpcConfig has, by default.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from lambent.core.arn import function_arn
from lambent.core.function import FunctionName
from lambent.core.record import Record


class NetworkMode(StrEnum):
    """`LOOPBACK` reaches nothing, `INTERNET` every public address, `ALLOW` nothing but what is listed."""

    LOOPBACK = "loopback"
    INTERNET = "internet"
    ALLOW = "allow"


class Destination(Record, frozen=True):
    """An IPv4 network that may be reached. `protocol` is tcp, udp, or empty for every one; `port` 0 is every port."""

    block: str
    protocol: str = ""
    port: int = 0


class Network(Record, frozen=True):
    """What an environment may reach. `allow` adds to what the mode gives; without `nameservers` there are those of the
    machine."""

    mode: NetworkMode
    allow: tuple[Destination, ...] = ()
    nameservers: tuple[str, ...] = ()


LOOPBACK = Network(NetworkMode.LOOPBACK)

NEVER = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
"""What no network reaches: this host, loopback, link-local with the clouds' metadata services, multicast, reserved."""
NOT_PUBLIC = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "168.63.129.16/32",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
)
"""What `INTERNET` leaves out: private and carriers' networks, where clouds have services of their own, too
(168.63.129.16 is Azure's)."""


class NamedNetwork(Record, frozen=True):
    """A network of the settings, and the functions that it is for: by name or unqualified ARN, or by VpcConfig."""

    network: Network
    functions: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    def is_of_vpc(self, subnets: Collection[str], security_groups: Collection[str]) -> bool:
        """Whether a VpcConfig chooses it: by one of each kind that it lists."""
        if not self.subnets and not self.security_groups:
            return False
        by_subnet = not self.subnets or any(one in subnets for one in self.subnets)
        return by_subnet and (not self.security_groups or any(one in security_groups for one in self.security_groups))


class Networks(Record, frozen=True):
    """The networks of the settings, in their order there."""

    default: Network = LOOPBACK
    named: tuple[NamedNetwork, ...] = ()

    def of(self, function: FunctionName, stored: Mapping[str, object]) -> Network:
        """The network of a function. `stored` are the members of its configuration by their names on the wire."""
        names = (function.name, function_arn(function))
        for one in self.named:
            if any(name in one.functions for name in names):
                return one.network
        match stored.get("VpcConfig"):
            case {"SubnetIds": list(subnets), "SecurityGroupIds": list(groups)}:
                chosen = (one.network for one in self.named if one.is_of_vpc(subnets, groups))
                return next(chosen, self.default)
        return self.default

    def reach_out(self) -> bool:
        """Whether any function may get more than loopback."""
        return any(one.mode is not NetworkMode.LOOPBACK for one in (self.default, *(n.network for n in self.named)))


def destination(text: str) -> Destination:
    """`10.0.0.0/8`, `10.0.0.7:5432` (TCP), `10.0.0.0/8:53/udp`. Raises ValueError with a reason for people."""
    block, colon, rest = text.partition(":")
    number, slash, protocol = rest.partition("/")
    try:
        network = ipaddress.IPv4Network(block)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv4 address or network, with a port or without: {error}") from error
    port = int(number) if number.isascii() and number.isdigit() else 0
    if colon and not 1 <= port <= 65535:
        raise ValueError(f"{text!r} needs a port from 1 to 65535 after the colon")
    if slash and protocol not in ("tcp", "udp"):
        raise ValueError(f"{text!r} has neither tcp nor udp after its port")
    if any(network.subnet_of(ipaddress.IPv4Network(never)) for never in NEVER):
        raise ValueError(f"{text!r} is in a network that functions never reach: {', '.join(NEVER)}")
    return Destination(str(network), (protocol or "tcp") if colon else "", port)


def nameserver(text: str) -> str:
    """An IPv4 address that can be reached from outside of the machine's loopback. Raises ValueError."""
    address = ipaddress.IPv4Address(text)
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise ValueError(f"the name server {text} can not be reached by a function")
    return str(address)


class Written(Protocol):
    """A network as the settings write it."""

    @property
    def mode(self) -> str: ...
    @property
    def allow(self) -> Sequence[str]: ...
    @property
    def nameservers(self) -> Sequence[str]: ...
    @property
    def functions(self) -> Sequence[str]: ...
    @property
    def subnets(self) -> Sequence[str]: ...
    @property
    def security_groups(self) -> Sequence[str]: ...


def networks(default: str, written: Mapping[str, Written]) -> Networks:
    """Those of the settings: the name of the default one, and all by name. `loopback` and `internet` are there unless
    they are written. Raises ValueError with a reason for people."""
    made: dict[str, NamedNetwork] = {}
    for name, one in written.items():
        try:
            made[name] = _named(one)
        except ValueError as error:
            raise ValueError(f"[networks.{name}]: {error}") from error
    listed = Counter(function for one in made.values() for function in one.functions)
    twice = sorted(function for function, times in listed.items() if times > 1)
    if twice:
        raise ValueError(f"in more than one network: {', '.join(twice)}")
    known = {mode.value: Network(mode) for mode in (NetworkMode.LOOPBACK, NetworkMode.INTERNET)}
    known |= {name: one.network for name, one in made.items()}
    if default not in known:
        raise ValueError(f"network must be one of {', '.join(known)}, not {default!r}")
    return Networks(known[default], tuple(made.values()))


def _named(written: Written) -> NamedNetwork:
    if written.mode not in list(NetworkMode):
        raise ValueError(f"mode must be one of {', '.join(NetworkMode)}, not {written.mode!r}")
    mode = NetworkMode(written.mode)
    if mode is NetworkMode.LOOPBACK and (written.allow or written.nameservers):
        raise ValueError("nothing is reached with the mode loopback: it has neither allow nor nameservers")
    if mode is NetworkMode.ALLOW and not written.allow:
        raise ValueError("with the mode allow, allow must say what is reached")
    network = Network(mode, tuple(map(destination, written.allow)), tuple(map(nameserver, written.nameservers)))
    return NamedNetwork(network, tuple(written.functions), tuple(written.subnets), tuple(written.security_groups))

"""The rules between functions and networks, as nftables' own text, and the program `nft` that puts them in force.

What the rules say is here and nowhere else. They are in two places. In the *router*, a network namespace of ours, is
what a network may reach, for each network a chain. On the machine is what keeps the router's packets from the machine
itself, and what gives them its address; an ordinary user has no rules there, and the router knows the machine's
addresses instead.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from lambent.worker.sandbox import kernel

UPLINK = "uplink"
"""The router's device towards the machine."""
MACHINE_DEVICES = "lambent*"
"""The machine's devices towards routers, of whatever server."""
FORWARDING_TABLE = "lambent-forwarding"

_CONNECTIONS = 1024
_REJECT = "reject with icmpx type admin-prohibited"

ROUTER = f"""
table inet lambent {{
    set machine {{ type ipv4_addr; }}
    set connections {{ type ipv4_addr; size 65536; flags dynamic; }}
    chain networks {{ }}
    chain input {{
        type filter hook input priority filter; policy drop;
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        meta nfproto != ipv4 drop
        iifname "{UPLINK}" ct state established,related accept
        iifname "{UPLINK}" drop
        fib saddr . iif oif missing drop
        ct state established,related accept
        ct state invalid drop
        oifname != "{UPLINK}" {_REJECT}
        add @connections {{ ip saddr ct count over {_CONNECTIONS} }} {_REJECT}
        jump networks
        {_REJECT}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{UPLINK}" masquerade
    }}
}}
"""
"""A packet from a function is looked at last by the chain of its network. The first rules are those of no network: no
IPv6, nothing but answers from outside, no address but its own, nobody but the outside."""

FORWARDING = f"""
table inet {FORWARDING_TABLE} {{
    chain forward {{
        type filter hook forward priority filter - 20; policy accept;
        iifname != "{MACHINE_DEVICES}" oifname != "{MACHINE_DEVICES}" drop
    }}
}}
"""
"""For a machine that forwarded nothing before: it forwards for functions, and still nothing else."""


def machine(table: str, device: str, router: str) -> str:
    """The machine's rules for one router. What the machine has a service on is asked of its routing tables (`fib`), so
    that an address that comes later is kept from functions as well, and before it can be translated: a container's
    published port is an address of the machine that has been translated."""
    return f"""
{remove(table)}table inet {table} {{
    chain prerouting {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{device}" jump from-functions
    }}
    chain from-functions {{
        meta nfproto != ipv4 drop
        ip saddr != {router} drop
        fib daddr type {{ local, broadcast, anycast, multicast }} drop
    }}
    chain input {{
        type filter hook input priority filter - 10; policy accept;
        iifname "{device}" drop
    }}
    chain output {{
        type filter hook output priority filter - 10; policy accept;
        oifname "{device}" ct state established,related accept
        oifname "{device}" drop
    }}
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        oifname "{device}" ct state established,related accept
        oifname "{device}" drop
        iifname "{device}" tcp flags syn tcp option maxseg size set rt mtu
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {router} masquerade
    }}
}}
"""


def is_of_a_server(table: str) -> bool:
    """Whether the table is one that `machine` makes, of whatever server."""
    return re.fullmatch(r"lambent-[0-9a-f]{12}", table) is not None


def remove(table: str) -> str:
    """Removes a table that may be there, in every version of nftables."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def network(number: int, wanted: dict[str, Any], nameservers: Sequence[str]) -> str:
    """The chain of one network, which devices of the group `number` are in. `wanted` is as `launched.py` sends it."""
    rules = [f"ip daddr @machine {_REJECT}"]
    rules += [f"ip daddr {server} meta l4proto {{ tcp, udp }} th dport 53 accept" for server in nameservers]
    rules += [f"ip daddr {{ {', '.join(wanted['never'])} }} {_REJECT}"]
    rules += [_allowed(*destination) for destination in wanted["allow"]]
    if wanted["all_but"]:
        rules += [f"ip daddr {{ {', '.join(wanted['all_but'])} }} {_REJECT}", "accept"]
    lines = "\n        ".join(rules)
    return f"""
table inet lambent {{
    chain network-{number} {{
        {lines}
    }}
}}
add rule inet lambent networks iifgroup {number} jump network-{number}
"""


def _allowed(block: str, protocol: str, port: int) -> str:
    return f"ip daddr {block} {protocol} dport {port} accept" if protocol else f"ip daddr {block} accept"


def machine_addresses(addresses: Iterable[str]) -> str:
    """The router is told the machine's addresses anew."""
    added = "".join(f"add element inet lambent machine {{ {address} }}\n" for address in sorted(addresses))
    return f"flush set inet lambent machine\n{added}"


class Nft:
    """The program, in whose network namespace it is called. `path` is empty where there is none."""

    def __init__(self, path: str) -> None:
        self._path = path

    def check(self) -> None:
        """Raises OSError where the program is missing."""
        if not self._path:
            raise OSError("nft is missing: install the package nftables")

    def put(self, rules: str) -> None:
        """All of the rules or none. Raises OSError with what nft says."""
        self._run(["-f", "-"], rules)

    def tables(self) -> list[str]:
        """The names of the tables of the family inet."""
        words = [line.split() for line in self._run(["list", "tables", "inet"], "").splitlines()]
        return [line[2] for line in words if len(line) == 3]

    def _run(self, arguments: Sequence[str], rules: str) -> str:
        self.check()
        given, said = os.memfd_create("rules", os.MFD_CLOEXEC), os.memfd_create("said", os.MFD_CLOEXEC)
        try:
            os.write(given, rules.encode())
            os.lseek(given, 0, os.SEEK_SET)
            actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
            with kernel.lent_capabilities(kernel.CAP_NET_ADMIN):
                child = os.posix_spawn(self._path, ["nft", *arguments], {}, file_actions=actions)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            text = os.pread(said, 1 << 20, 0).decode(errors="replace")
        finally:
            os.close(given)
            os.close(said)
        if status:
            raise OSError(f"nft ended with {status}: {text.strip()}")
        return text

"""Which name servers a sandbox with a network asks, and the /etc/resolv.conf that tells it."""

import socket
from collections.abc import Sequence
from typing import Any

_FILES = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
"""The first has what systemd's own resolver asks, and is not there without it."""


def nameservers(wanted: dict[str, Any]) -> list[str]:
    """The name servers of a network: its own, or those of the machine that can be reached from a sandbox."""
    return wanted["nameservers"] or machine_nameservers()


def machine_nameservers(files: Sequence[str] = _FILES) -> list[str]:
    """The IPv4 ones, of the first file that is there, that are not on the machine's own loopback: no sandbox comes
    there."""
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                words = [line.split() for line in file]
        except OSError:
            continue
        named = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
        return [name for name in named if _is_ipv4(name) and not name.startswith("127.")]
    return []


def resolver_configuration(wanted: dict[str, Any]) -> str:
    """The /etc/resolv.conf of a sandbox with the network."""
    return "".join(f"nameserver {server}\n" for server in nameservers(wanted))


def _is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True

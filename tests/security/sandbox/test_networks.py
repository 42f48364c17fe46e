"""What a function with a network reaches, and what it does not: as root and as an ordinary user.

The machine and the internet are network namespaces of the test's own (`lambent.testing.machines`). Each denial has its
control: the same probe gets through once the rule that denies is taken away.
"""

import os
import shutil
import sys
from typing import Any

import pytest

from lambent.core.network import Destination, Network, NetworkMode
from lambent.testing import machines
from lambent.testing.machines import MACHINE, METADATA, NAMESERVER, PORT, PRIVATE, PUBLIC, SECOND_ADDRESS, Machine
from lambent.testing.sandbox_pair import CONNECT, SandboxPair
from lambent.worker.sandbox.launched import mark_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the machine and the internet of these tests"),
    pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed"),
    pytest.mark.skipif(not shutil.which("ip"), reason="ip is not installed"),
]

INTERNET = Network(NetworkMode.INTERNET, nameservers=(NAMESERVER,))
EVERYTHING = Network(NetworkMode.ALLOW, (Destination("0.0.0.0/0"),), (NAMESERVER,))
ELSEWHERE = 9090


def test_a_function_reaches_the_internet_and_is_seen_under_the_address_of_the_machine(sandboxes: Any) -> None:
    assert sandboxes(INTERNET).run(CONNECT, PUBLIC, str(PORT)).strip() == f"seen as {MACHINE}"


def test_names_are_asked_of_the_name_servers_of_the_network(sandboxes: Any) -> None:
    script = "import socket; print(socket.gethostbyname('lambent.example'))"
    assert sandboxes(INTERNET).run(script).strip() == PUBLIC
    without = Network(NetworkMode.ALLOW, (Destination(PUBLIC),), ("198.51.100.54",))
    assert "socket.gaierror" in sandboxes(without).run(script)


def test_the_internet_is_not_the_private_networks_around_the_machine(sandboxes: Any) -> None:
    boxes = sandboxes(INTERNET)
    assert not boxes.reach(PRIVATE)
    boxes.let_all_out()
    assert boxes.reach(PRIVATE)


def test_of_an_allowed_address_only_the_allowed_port_is_reached(sandboxes: Any) -> None:
    boxes = sandboxes(Network(NetworkMode.ALLOW, (Destination("10.9.0.0/16", "tcp", PORT),)))
    assert boxes.reach(PRIVATE)
    assert not boxes.reach(PRIVATE, ELSEWHERE)
    assert not boxes.reach(PUBLIC)
    boxes.let_all_out()
    assert boxes.reach(PRIVATE, ELSEWHERE)
    assert boxes.reach(PUBLIC)


def test_the_metadata_service_is_never_reached(sandboxes: Any) -> None:
    boxes = sandboxes(EVERYTHING)
    assert boxes.reach(PRIVATE)
    assert not boxes.reach(METADATA)
    boxes.let_all_out()
    assert boxes.reach(METADATA)


@pytest.mark.parametrize("address", [MACHINE, SECOND_ADDRESS])
def test_the_machine_is_not_reached_at_any_of_its_addresses(sandboxes: Any, become: Any, address: str) -> None:
    boxes = sandboxes(EVERYTHING)
    assert not boxes.reach(address)
    _let_at_the_machine(boxes, as_root=become is None)
    assert boxes.reach(address)


def test_an_address_that_the_machine_gets_later_is_not_reached_either(sandboxes: Any, become: Any) -> None:
    boxes = sandboxes(EVERYTHING)
    assert boxes.reach(PUBLIC)
    machines.run("ip", "address", "add", "203.0.113.9/32", "dev", "eth1")
    if become is not None:
        # The keeper hears of it from the kernel; its word to the rules is what is waited for.
        while "203.0.113.9" not in boxes.in_router("nft", "list", "set", "inet", "lambent", "machine"):
            assert boxes.process.poll() is None
    assert not boxes.reach("203.0.113.9")
    _let_at_the_machine(boxes, as_root=become is None)
    assert boxes.reach("203.0.113.9")


def _let_at_the_machine(boxes: SandboxPair, *, as_root: bool) -> None:
    boxes.in_router("nft", "flush set inet lambent machine")
    if as_root:
        _flush_the_machine(boxes)


def _flush_the_machine(boxes: SandboxPair) -> None:
    table = mark_of(boxes.data_dir)
    machines.run("nft", f"flush chain inet {table} from-functions; flush chain inet {table} input")


def test_the_machine_and_the_router_refuse_the_machine_each_on_its_own(sandboxes: Any, become: Any) -> None:
    if become is not None:
        pytest.skip("an ordinary user has no rules on the machine")
    boxes = sandboxes(EVERYTHING)
    assert boxes.reach(PUBLIC)
    boxes.in_router("nft", "flush set inet lambent machine")
    assert not boxes.reach(MACHINE)
    machines.run("ip", "address", "add", "203.0.113.9/32", "dev", "eth1")  # a change: the router is told anew
    _flush_the_machine(boxes)
    assert not boxes.reach(MACHINE)
    boxes.in_router("nft", "flush set inet lambent machine")
    assert boxes.reach(MACHINE)


def test_a_published_port_of_a_container_is_not_reached(sandboxes: Any, become: Any, machine: Machine) -> None:
    """Docker translates the machine's address before it is seen that it is the machine's."""
    if become is not None:
        pytest.skip("an ordinary user's packets are not forwarded: the machine's address is refused before")
    rule = f"tcp dport {ELSEWHERE} dnat to {PRIVATE}"
    machines.run("nft", f"table ip docker {{ chain c {{ type nat hook prerouting priority dstnat; {rule}; }}; }}")
    boxes = sandboxes(EVERYTHING)
    assert not boxes.reach(MACHINE, ELSEWHERE)
    _let_at_the_machine(boxes, as_root=True)
    assert boxes.reach(MACHINE, ELSEWHERE)


def test_another_environment_is_not_reached(sandboxes: Any) -> None:
    boxes = sandboxes(EVERYTHING)
    other = boxes.listen()
    assert not boxes.reach(other)
    boxes.in_router("nft", "flush chain inet lambent forward; chain inet lambent forward { policy accept; }")
    assert boxes.reach(other)


def test_nothing_comes_in_from_the_machine(sandboxes: Any, become: Any, machine: Machine) -> None:
    if become is not None:
        pytest.skip("the machine has no way to the sandboxes of an ordinary user")
    boxes = sandboxes(EVERYTHING)
    address = boxes.listen()
    device = next(name for name in machine.devices() if name.startswith("lambent"))
    router = machines.run("ip", "route", "show", "dev", device).split()[0]
    machines.run("ip", "route", "add", address, "via", router, "dev", device, "onlink")
    command = (sys.executable, "-c", CONNECT, address, str(PORT))
    assert machines.run(*command).startswith("no:")
    machines.run("nft", f"flush chain inet {mark_of(boxes.data_dir)} output")
    _let_at_the_machine(boxes, as_root=True)
    assert machines.run(*command).startswith("no:"), "the router lets nothing in, whatever the machine's rules say"
    boxes.in_router("nft", "flush chain inet lambent forward; chain inet lambent forward { policy accept; }")
    assert machines.run(*command).strip() == "seen as a sandbox"


def test_there_is_no_ipv6(sandboxes: Any) -> None:
    addresses = sandboxes(EVERYTHING).run("print(open('/proc/net/if_inet6').read())").split("\n")
    assert [line.split()[5] for line in addresses if line] == ["lo"]


def test_a_function_can_not_change_its_network(sandboxes: Any) -> None:
    script = "import fcntl, socket, struct; s = socket.socket(); "
    down = script + "fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'eth0', 0))"
    assert "PermissionError" in sandboxes(EVERYTHING).run(down)
    up = script + "print(fcntl.ioctl(s, 0x8913, struct.pack('16sH14x', b'eth0', 0)) != b'')"
    assert sandboxes(EVERYTHING).run(up).strip() == "True"


def test_one_environment_has_a_bounded_number_of_connections(sandboxes: Any) -> None:
    boxes = sandboxes(EVERYTHING)
    script = f"""
import socket
sent = 0
for port in range(10000, 12000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("{PUBLIC}", port))
        try:
            one.send(b"x")
            one.send(b"x")
            sent += 1
        except OSError:
            pass
print(sent)
"""
    boxes.run(script)
    counted = int(boxes.in_router("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
    assert 900 < counted <= 1100

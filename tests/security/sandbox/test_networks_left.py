"""What networks leave on the machine: nothing, and after a crash nothing that the next start does not take away."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambent.core.network import Destination, Network, NetworkMode
from lambent.testing import machines
from lambent.testing.machines import NAMESERVER, NEIGHBOUR, PORT, PUBLIC, Machine
from lambent.testing.sandbox_pair import CONNECT, SandboxPair

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the machine and the internet of these tests"),
    pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed"),
    pytest.mark.skipif(not shutil.which("ip"), reason="ip is not installed"),
]

INTERNET = Network(NetworkMode.INTERNET, nameservers=(NAMESERVER,))
WITHIN_S = 10.0


def eventually(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.02)


def state(machine: Machine) -> tuple[set[str], list[str], bool, str]:
    return machine.devices(), machine.tables(), machine.forwards(), machines.run("ip", "route")


def pastas(data_dir: Path) -> list[str]:
    """Processes of pasta for the data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0:1] == [b"/usr/bin/pasta"] and os.fsencode(data_dir / "sandbox" / "network") in words:
            found.append(entry.name)
    return found


def test_loopback_alone_changes_nothing_on_the_machine(sandboxes: Any, machine: Machine) -> None:
    before = state(machine)
    boxes = sandboxes(Network(NetworkMode.LOOPBACK))
    assert not boxes.reach(PUBLIC)
    assert state(machine) == before
    assert pastas(boxes.data_dir) == []


def test_after_the_server_nothing_is_left(sandboxes: Any, machine: Machine, become: Any) -> None:
    before = state(machine)
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    assert (state(machine) != before) is (become is None)
    assert len(pastas(boxes.data_dir)) == (become is not None)
    assert boxes.close() == 0
    assert state(machine) == before
    assert pastas(boxes.data_dir) == []


def test_a_program_that_ends_leaves_no_device_in_the_router(sandboxes: Any) -> None:
    boxes = sandboxes(INTERNET)
    for _ in range(3):
        assert boxes.reach(PUBLIC)
    eventually(lambda: "sandbox" not in boxes.in_router("ip", "-brief", "link"), "the devices are gone")


def test_what_a_killed_launcher_leaves_the_next_start_takes_away(sandboxes: Any, machine: Machine, become: Any) -> None:
    before = state(machine)
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    os.kill(boxes.launcher, signal.SIGKILL)
    boxes.kill()
    if become is None:
        assert machine.forwards(), "the control: something is left"
    else:
        eventually(lambda: pastas(boxes.data_dir) == [], "the keeper ends pasta")
    again = sandboxes(INTERNET, boxes.data_dir)
    assert state(machine) == before
    assert again.reach(PUBLIC)
    assert again.close() == 0
    assert state(machine) == before


def test_a_killed_server_leaves_nothing(sandboxes: Any, machine: Machine) -> None:
    before = state(machine)
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    boxes.kill()
    eventually(lambda: state(machine) == before and pastas(boxes.data_dir) == [], "the launcher has cleaned")


def test_pasta_that_outlives_its_keeper_is_ended_by_the_next_start(sandboxes: Any, become: Any) -> None:
    if become is None:
        pytest.skip("root has no pasta")
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    (pasta,) = pastas(boxes.data_dir)
    keeper = Path(f"/proc/{pasta}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(keeper), signal.SIGKILL)
    os.kill(boxes.launcher, signal.SIGKILL)
    boxes.kill()
    assert pastas(boxes.data_dir) == [pasta], "the control: something is left"
    again = sandboxes(INTERNET, boxes.data_dir)
    eventually(lambda: pastas(boxes.data_dir) == [], "the last one is ended")
    assert again.reach(PUBLIC)


def test_without_pasta_functions_fail_and_say_why(sandboxes: Any, become: Any) -> None:
    if become is None:
        pytest.skip("root has no pasta")
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    (pasta,) = pastas(boxes.data_dir)
    os.kill(int(pasta), signal.SIGKILL)
    eventually(lambda: pastas(boxes.data_dir) == [], "pasta is gone")
    said = "pasta, through which functions reach out, has ended"
    eventually(lambda: said in boxes.run("print('started')"), "the launcher knows")


def test_without_a_tun_device_functions_with_a_network_say_why(machine: Machine, data_dir: Path, become: Any) -> None:
    if become is None:
        pytest.skip("root takes none")
    data_dir.parent.chmod(0o777)
    boxes = SandboxPair(data_dir, INTERNET, machines.become_an_ordinary_user_without_tun)
    for _ in range(2):
        assert "Failed to open tun socket" in boxes.run("print('started')")
    assert boxes.close() == 0


def test_the_machine_forwards_for_functions_and_for_nobody_else(sandboxes: Any, machine: Machine, become: Any) -> None:
    machine.serve_in_internet(NAMESERVER)
    through = (sys.executable, "-c", CONNECT, NAMESERVER, str(PORT))
    boxes = sandboxes(INTERNET)
    assert boxes.reach(PUBLIC)
    with machines.at(machine.neighbour):
        assert machines.run(*through).startswith("no:")
    if become is not None:
        assert not machine.forwards()
        return
    machines.run("nft", "delete table inet lambent-forwarding")
    with machines.at(machine.neighbour):
        assert machines.run(*through).strip() == f"seen as {NEIGHBOUR}"


def test_two_servers_share_the_machine(sandboxes: Any, machine: Machine, become: Any) -> None:
    before = state(machine)
    one, other = sandboxes(INTERNET), sandboxes(Network(NetworkMode.ALLOW, (Destination(PUBLIC),)))
    assert one.run("print('one')").strip() == "one"
    assert other.reach(PUBLIC)
    assert one.close() == 0
    assert other.reach(PUBLIC), "the first to go takes nothing along that the other needs"
    assert other.close() == 0
    assert state(machine) == before

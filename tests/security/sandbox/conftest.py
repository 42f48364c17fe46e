"""For the hostile tests the arena, opened once for each place in each test process; for those of networks a machine of
their own for each, and sandboxes on it: root's and an ordinary user's."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arena import PLACES, Arena, open_arena

from lambent.core.network import Network
from lambent.testing import machines
from lambent.testing.machines import METADATA, NAMESERVER, PRIVATE, PUBLIC, Machine
from lambent.testing.sandbox_pair import SandboxPair

ELSEWHERE = 9090


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machines.machine() as made:
        for address in (PUBLIC, PRIVATE, METADATA):
            made.serve_in_internet(address)
        made.serve_in_internet(PRIVATE, ELSEWHERE)
        made.serve_names(NAMESERVER)
        made.serve("0.0.0.0")
        yield made


@pytest.fixture(params=["root", "ordinary user"])
def become(request: pytest.FixtureRequest) -> Callable[[], None] | None:
    if request.param == "root":
        return None
    if not shutil.which("pasta"):
        pytest.skip("pasta is not installed")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun")
    return machines.become_an_ordinary_user


@pytest.fixture
def sandboxes(
    machine: Machine, become: Callable[[], None] | None, data_dir: Path
) -> Iterator[Callable[..., SandboxPair]]:
    opened: list[SandboxPair] = []
    data_dir.parent.chmod(0o777)

    def start(network: Network, data_dir: Path = data_dir) -> SandboxPair:
        if any(one.data_dir == data_dir and one.process.poll() is None for one in opened):
            data_dir = data_dir.with_name(f"data{len(opened)}")
        opened.append(SandboxPair(data_dir, network, become))
        return opened[-1]

    yield start
    for one in opened:
        if one.process.poll() is None:
            assert one.close() == 0


@pytest.fixture(scope="session", params=PLACES)
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    with open_arena(request.param) as opened:
        yield opened

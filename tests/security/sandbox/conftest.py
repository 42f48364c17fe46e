"""For the hostile tests the arena, opened once for each place in each test process; for those of networks a machine of
their own for each, and sandboxes on it: root's and an ordinary user's. A test with a parameter `user` that is another
than ours is run in a process of that one's."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arena import PLACES, Arena, open_arena

from lambent.core.network import Network
from lambent.settings import Settings
from lambent.testing import machines, ordinary_user
from lambent.testing.machines import METADATA, NAMESERVER, PRIVATE, PUBLIC, Machine
from lambent.testing.sandbox_pair import SandboxPair

ELSEWHERE = 9090
TEST_WITHIN_S = 240.0
SKIPPED = re.compile(r"^SKIPPED \[1\] \S+: (.*)$", re.MULTILINE)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not hasattr(pyfuncitem, "callspec") or pyfuncitem.callspec.params.get("user") != "ordinary" or os.geteuid():
        return None
    _run_as_an_ordinary_user(pyfuncitem)
    return True


def _run_as_an_ordinary_user(test: pytest.Function) -> None:
    """What it says when it fails is this test's failure, and its skip is this one's."""
    project = test.config.rootpath
    options = ("--rootdir", str(project), "--config-file", str(project / "pyproject.toml"), "-p", "no:cacheprovider")
    pytest_of_its_own = (sys.executable, "-m", "pytest", *options, f"{test.path}::{test.name}")
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    # The runtimes' kits are ours, which were made by now.
    mine["XDG_CACHE_HOME"] = str(Settings().runtimes_dir.parents[1])
    done = subprocess.run(
        (sys.executable, "-m", ordinary_user.__name__, *pytest_of_its_own),
        env=mine,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TEST_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"as an ordinary user:\n{done.stdout}", pytrace=False)
    skipped = SKIPPED.search(done.stdout)
    if skipped is not None:
        pytest.skip(f"as an ordinary user: {skipped[1]}")


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

"""For the hostile tests the arena, opened once for each place in each test process; for those of networks a machine of
their own for each, and sandboxes on it: root's and an ordinary user's. A test with a parameter `user` that is another
than ours is run in a process of that one's."""

import multiprocessing
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from arena import PLACES, Arena, open_arena

from lambent.core.network import Network
from lambent.settings import Settings
from lambent.testing import machines, ordinary_user
from lambent.testing.machines import METADATA, NAMESERVER, PRIVATE, PUBLIC, Machine
from lambent.testing.sandbox_pair import SandboxPair
from lambent.worker.sandbox import kernel

ELSEWHERE = 9090
TEST_WITHIN_S = 240.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not hasattr(pyfuncitem, "callspec") or pyfuncitem.callspec.params.get("user") != "ordinary" or os.geteuid():
        return None
    _run_as_an_ordinary_user(pyfuncitem)
    return True


def _run_as_an_ordinary_user(test: pytest.Function) -> None:
    """In a child of this process. What it says when it fails is this test's failure, and its skip is this one's."""
    arguments = {name: test.funcargs[name] for name in test._fixtureinfo.argnames}
    # The runtimes' kits are ours, which were made by now.
    kits = str(Settings().runtimes_dir.parents[1])
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_tell_how_it_ends, args=(sender, kits, test.obj, arguments)
    )
    child.start()
    sender.close()
    try:
        assert receiver.poll(TEST_WITHIN_S), f"as an ordinary user: not over within {TEST_WITHIN_S} s"
        failed, skipped = receiver.recv()
    except EOFError:
        child.join()
        pytest.fail(f"as an ordinary user: ended with {child.exitcode}", pytrace=False)
    finally:
        child.kill()
        child.join()
    if failed:
        pytest.fail(f"as an ordinary user:\n{failed}", pytrace=False)
    if skipped:
        pytest.skip(f"as an ordinary user: {skipped}")


def _tell_how_it_ends(to: Connection, kits: str, test: Callable[..., None], arguments: dict[str, Any]) -> None:
    failed = skipped = ""
    try:
        ordinary_user.become()
        kernel.set_dumpable(True)
        os.chdir("/")
        os.environ["XDG_CACHE_HOME"] = kits
        test(**arguments)
    except pytest.skip.Exception as skip:
        skipped = str(skip)
    except BaseException:  # noqa: BLE001 what it is, the parent raises
        failed = traceback.format_exc()
    to.send((failed, skipped))


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

"""Environments with random faults leave nothing behind, and what would be left behind is seen."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambent.settings import Settings
from lambent.testing.soak import gauges
from lambent.testing.soak.faults import FAULTS, MADE, RESTORED, WELL, Upheaval
from lambent.testing.soak.judge import BYTES_A_LIFE, leaks
from lambent.testing.soak.run import NO_TEMPLATES, Plan, soak
from lambent.testing.soak.strikes import launchers
from lambent.testing.soak.worker import Worker
from lambent.worker.sandbox.freezing import GroupFreezer
from lambent.worker.sandbox.launched import mark_of

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user can not make one")
DRIVER = Settings().sandbox
SEED = 300


def soaked(driver: str, lives: int, rounds: int) -> dict[str, Any]:
    """What a soak has told, of which nothing was left and every life ended as it may."""
    command = (sys.executable, "-m", "lambent.testing.soak")
    plan = (f"--driver={driver}", f"--seed={SEED}", f"--lives={lives}", f"--rounds={rounds}")
    done = subprocess.run((*command, *plan), stdout=subprocess.PIPE, timeout=400, check=False)
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["unexpected"] == []
    assert told["leaks"] == {}, told["rests"]
    assert told["ends"].keys() >= {fault.name for fault in FAULTS}
    return told


@pytest.mark.slow
def test_nothing_is_left_of_three_hundred_environments_with_random_faults() -> None:
    told = soaked(DRIVER, lives=300, rounds=12)
    if MADE in told["ends"][RESTORED.name]:  # by a driver that restores
        assert told["ahead"] > 0
    assert told["upheavals"].keys() == {one.name for one in Upheaval}
    if os.geteuid() == 0:
        assert all(told["upheavals"].values()), told["upheavals"]


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("crun", "runc"))), reason="no OCI runtime is on PATH")
def test_nothing_is_left_of_ninety_environments_in_containers() -> None:
    told = soaked("oci", lives=90, rounds=3)
    assert told["ends"][RESTORED.name].keys() == {NO_TEMPLATES}, "this driver is not known to restore"
    assert told["upheavals"].keys() == {Upheaval.LAUNCHER_KILLED.name}


Plant = Callable[[Worker], None]
Leak = Callable[[], contextlib.AbstractContextManager[Plant]]


@contextmanager
def processes() -> Iterator[Plant]:
    running: list[subprocess.Popen[bytes]] = []
    memory = "import time; kept = b'x' * (4 << 20); print(flush=True); time.sleep(600)"

    def plant(_: Worker) -> None:
        running.append(subprocess.Popen([sys.executable, "-S", "-c", memory], stdout=subprocess.PIPE))
        assert running[-1].stdout is not None
        assert running[-1].stdout.readline() == b"\n"

    yield plant
    for process in running:
        process.kill()
        process.communicate()


@contextmanager
def orphans() -> Iterator[Plant]:
    """They are not below the worker any more, and have its name in their variables alone."""
    started: list[int] = []

    def plant(worker: Worker) -> None:
        shell = "sleep 600 > /dev/null & echo $!"
        variables = {"PATH": os.environ["PATH"], "WHERE": str(worker.place)}
        said = subprocess.run(["/bin/sh", "-c", shell], env=variables, stdout=subprocess.PIPE, check=True)
        started.append(int(said.stdout))

    yield plant
    for process in started:
        os.kill(process, signal.SIGKILL)


@contextmanager
def descriptors() -> Iterator[Plant]:
    opened: list[int] = []
    yield lambda _: opened.append(os.dup(0))
    for descriptor in opened:
        os.close(descriptor)


@contextmanager
def mounts() -> Iterator[Plant]:
    """In the launcher's namespace, with which they end."""

    def plant(worker: Worker) -> None:
        launcher = min(launchers())  # a zygote of it looks like it until it executes its own program
        subprocess.run(
            ["nsenter", f"--mount=/proc/{launcher}/ns/mnt", "mount", "-t", "tmpfs", "left", "/mnt"], check=True
        )

    yield plant


@contextmanager
def control_groups() -> Iterator[Plant]:
    """In the worker's own one, and removed with it."""
    made: list[Path] = []

    def plant(worker: Worker) -> None:
        made.append(Path(gauges.groups_of(mark_of(worker.data_dir))[0]) / f"left-{len(made)}")
        made[-1].mkdir()

    yield plant
    for group in made:
        with contextlib.suppress(FileNotFoundError):
            group.rmdir()


@contextmanager
def namespaces() -> Iterator[Plant]:
    running: list[subprocess.Popen[bytes]] = []

    def plant(_: Worker) -> None:
        said = ["unshare", "--user", "--map-root-user", "--net", "/bin/sh", "-c", "echo in; exec sleep 600"]
        running.append(subprocess.Popen(said, stdout=subprocess.PIPE))
        assert running[-1].stdout is not None
        assert running[-1].stdout.readline() == b"in\n"

    yield plant
    for process in running:
        process.kill()
        process.communicate()


@contextmanager
def loop_devices() -> Iterator[Plant]:
    attached: list[str] = []

    def plant(worker: Worker) -> None:
        image = worker.place / f"left-{len(attached)}"
        image.write_bytes(bytes(1 << 20))
        command = ["losetup", "--find", "--show", str(image)]
        attached.append(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())

    yield plant
    for device in attached:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def files() -> Iterator[Plant]:
    numbers = iter(range(100))
    yield lambda worker: (worker.data_dir / f"left-{next(numbers)}").write_bytes(b"left") and None


@contextmanager
def tasks() -> Iterator[Plant]:
    """They are cancelled with the loop."""
    kept: list[asyncio.Task[bool]] = []
    yield lambda _: kept.append(asyncio.create_task(asyncio.Event().wait()))


@contextmanager
def objects() -> Iterator[Plant]:
    kept: list[GroupFreezer] = []
    yield lambda _: kept.append(GroupFreezer())


@contextmanager
def memory() -> Iterator[Plant]:
    kept: list[bytearray] = []
    yield lambda _: kept.append(bytearray(b"x" * (1 << 20)))


WATCHED = {
    processes: {"processes", "helper_descriptors", "helper_memory_kib"},
    orphans: {"processes", "helper_descriptors"},
    namespaces: {"namespaces"},
    descriptors: {"descriptors"},
    files: {"files", "file_bytes"},
    tasks: {"tasks"},
    objects: {"objects"},
    memory: {"memory_kib"},
    mounts: {"mounts"},
    control_groups: {"control_groups"},
    loop_devices: {"loop_devices"},
}


@pytest.mark.parametrize(
    "planted",
    [  # of those that a gauge shows, one at a time
        (processes, descriptors, tasks, memory),
        (orphans, files, objects),
        (namespaces,),
        pytest.param((mounts, control_groups, loop_devices), marks=(as_root, pytest.mark.root)),
    ],
    ids=lambda planted: "-".join(leak.__name__ for leak in planted),
)
def test_what_each_round_leaves_behind_is_seen(planted: Sequence[Leak]) -> None:
    plan = Plan(DRIVER, SEED, lives=4, rounds=3, first=(WELL,), drawn=WELL, shaken=False, at_rest_within_s=0.1)
    with contextlib.ExitStack() as stack:
        plants = [stack.enter_context(leak()) for leak in planted]
        told = asyncio.run(soak(plan, lambda worker: [plant(worker) for plant in plants]))
    assert told.unexpected == []
    seen = {one.gauge for one in leaks(told.rests, BYTES_A_LIFE)}
    assert seen >= set[str]().union(*(WATCHED[leak] for leak in planted))

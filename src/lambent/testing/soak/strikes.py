"""What is done to environments from outside, to one or to all of them at once."""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

from lambent.testing.soak import gauges
from lambent.testing.soak.faults import LONGEST_DELAY_S, Act, Life, Moment, Upheaval
from lambent.testing.soak.worker import Known, Worker
from lambent.worker.sandbox.freezing import descendants

ANY_KILLED = 10
_LAUNCHER = b"lambent.worker.sandbox.launcher"


async def act(life: Life, known: Known, worker: Worker) -> None:
    """Wait for the fault's moment and do what it says. It may come too late: then there is nothing to strike."""
    fault = life.fault
    if fault.act is None:
        return
    match fault.moment:
        case Moment.START:
            pass
        case Moment.INIT:
            await known.until(lambda: "initialising" in known.said or known.available or known.made, "initialising")
        case Moment.RESTORE:
            await known.until(lambda: "restoring" in known.said or known.available, "restoring")
        case Moment.READY:
            await known.until(lambda: known.available or known.made, "available")
        case Moment.INVOKE:
            await known.until(lambda: "invoked" in known.said or known.finished > 0, "invoked")
        case Moment.BORNE:
            await known.until(lambda: known.borne > 0, "bearing")
    await asyncio.sleep(life.delay_s)
    match fault.act:
        case Act.RETIRE:
            worker.dispatcher.retire(life)
        case Act.KILL_FIRST_PROCESS | Act.KILL_OTHER_PROCESS:
            first = fault.act is Act.KILL_FIRST_PROCESS
            for process in _processes_of(life):
                if gauges.is_first_in_its_namespace(process) == first:
                    _kill(process)
        case Act.MAKE_GROUPS_BUSY:
            await _occupy(life, known)


def _processes_of(life: Life) -> list[int]:
    """They are told by the package. Of what is restored from one template, all: those restored ahead of need, too."""
    found = gauges.processes_of(life.package)
    return [process for process in found if gauges.is_restored(process) == bool(life.template)]


async def _occupy(life: Life, known: Known) -> None:
    """Others have a group in each of the environment's, and a process in that, until the environment is gone."""
    groups = gauges.groups_of(life.name)
    if not groups:
        return
    other = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        for group in groups:
            inner = Path(group) / "others"
            with contextlib.suppress(FileNotFoundError):  # the environment is over already
                inner.mkdir()
                (inner / "cgroup.procs").write_text(str(other.pid))
        await known.until(lambda: False, "gone")
    finally:
        _kill(other.pid)
        await other.wait()


async def befall(upheaval: Upheaval, worker: Worker, chance: random.Random) -> bool:
    """Returns whether there was something to strike."""
    match upheaval:
        case Upheaval.CONNECTION_CUT:
            await worker.dispatcher.cut()
            await worker.dispatcher.join()
            return True
        case Upheaval.LAUNCHER_KILLED:
            victims = launchers()
            for victim in victims:
                _kill(victim)
            return bool(victims)
        case Upheaval.ANY_PROCESSES_KILLED:
            return await _kill_around(chance)
        case Upheaval.USER_IDS_EXHAUSTED:
            raise AssertionError("that is done by environments")


async def _kill_around(chance: random.Random) -> bool:
    killed = 0
    for _ in range(ANY_KILLED):
        await asyncio.sleep(chance.uniform(0, LONGEST_DELAY_S))
        below = [process for launcher in launchers() for process in descendants(launcher)]
        if below:
            _kill(chance.choice(below))
            killed += 1
    return killed > 0


def launchers() -> list[int]:
    """None or one."""
    return [process for process in descendants(os.getpid()) if _LAUNCHER in _command(process)]


def _command(process: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)

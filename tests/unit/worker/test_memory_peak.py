"""The peak of a sandbox's memory where the kernel does not forget that of the program before."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from lambent.worker.sandbox.driver import Addresses, Exit, Program
from lambent.worker.sandbox.freezing import Freezer
from lambent.worker.sandbox.launched import LaunchedSandbox

NEVER_WRITTEN = Path("/proc/sys/kernel/cap_last_cap")
"""A file of the kernel with a small number that nobody, not even root, may write: as an old `memory.peak`."""


class Launcher:
    """Starts nothing: the program is this process, whose memory is that of Python and pytest."""

    alive = True

    def watch(self, sandbox_id, exited):
        self.exited = exited

    def unwatch(self, sandbox_id):
        del self.exited

    async def ask(self, what, **fields):
        if what != "start":
            return {}, []
        read, self.output = os.pipe()
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        return {"pid": os.getpid()}, [*(listener.detach() for listener in listeners), read]


class NoFreezer(Freezer):
    def freeze(self, process):
        pass

    def thaw(self, process):
        pass

    def close(self):
        pass


def test_where_a_peak_can_not_be_forgotten_the_next_programs_own_process_is_measured():
    if not NEVER_WRITTEN.exists():
        pytest.skip(f"{NEVER_WRITTEN} is not there")

    async def run():
        launcher = Launcher()
        reply = {"uid": 0, "restored": False, "freeze_file": "", "freeze_version": 0, "peak_file": str(NEVER_WRITTEN)}
        sandbox = LaunchedSandbox(launcher, "box", Addresses("", ""), reply, NoFreezer(), 0)
        peaks = []
        for _ in range(2):
            running = await sandbox.start(Program(("/bin/true",), {}), lambda how: None)
            peaks.append(sandbox.memory_peak_mib())
            launcher.exited(Exit(code=0))
            for listener in (running.runtime_api, running.endpoint):
                listener.close()
            os.close(running.output)
            os.close(launcher.output)
        await sandbox.destroy()
        return peaks

    first, second = asyncio.run(run())
    assert first == 1
    assert second > 10

"""A place to try the sandbox drivers: a data directory on disk, a folder of code, and programs whose output is kept."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lambent.core.network import LOOPBACK, Network
from lambent.worker.sandbox.driver import Driver, Exit, Mount, Program, Running, Sandbox, SandboxSpec, Share, Template
from lambent.worker.sandbox.drivers import make_driver

_END_WITHIN_S = 60.0
_CHUNK = 1 << 16
UID_BASE, UID_COUNT = 300_000, 2_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a program."""

    exit: Exit
    output: str


class Watched:
    """A program that runs: collects its output, and tells its end."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._running: Running | None = None
        self._output = bytearray()
        self._more = asyncio.Event()

    def attach(self, running: Running) -> None:
        self._running = running
        asyncio.get_running_loop().add_reader(running.output, self._read)

    @property
    def running(self) -> Running:
        assert self._running is not None
        return self._running

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.running.output, _CHUNK)
            except BlockingIOError:
                break
            if not data:
                asyncio.get_running_loop().remove_reader(self.running.output)
                break
            self._output += data
        self._more.set()

    async def says(self, text: str) -> str:
        """Wait until the output has `text`; returns all of it so far."""
        async with asyncio.timeout(_END_WITHIN_S):
            while text.encode() not in self._output and not self.ended.done():
                self._more.clear()
                await self._more.wait()
        return self._output.decode(errors="replace")

    async def outcome(self) -> Outcome:
        """Wait for the end, and give the sockets and the pipe back."""
        async with asyncio.timeout(_END_WITHIN_S):
            how = await asyncio.shield(self.ended)
        self._read()
        asyncio.get_running_loop().remove_reader(self.running.output)
        self.running.runtime_api.close()
        self.running.endpoint.close()
        os.close(self.running.output)
        return Outcome(how, self._output.decode(errors="replace"))


class Bench:
    """An open driver, its data directory, and a folder `code` that its sandboxes see at /var/task."""

    def __init__(self, driver: Driver, data_dir: Path, code: Path, missing: tuple[str, ...]) -> None:
        self.driver = driver
        self.data_dir = data_dir
        self.code = code
        self.missing = missing
        self._made = 0
        prefix = Path(sys.base_prefix)
        program = Path(sys.executable).resolve()
        if prefix == Path("/usr"):
            self._mounts: tuple[Mount, ...] = ()
            self.python = str(program)
        else:
            self._mounts = (Mount(prefix, "/var/lang"),)
            self.python = f"/var/lang/{program.relative_to(prefix)}"

    async def create(
        self,
        *,
        memory_mib: int = 128,
        ephemeral_mib: int = 64,
        processes: int = 1024,
        files: int = 1024,
        network: Network = LOOPBACK,
    ) -> Sandbox:
        self._made += 1
        template = Template(self._mounts, network=network)
        mounts = (Mount(self.code, "/var/task"),)
        spec = SandboxSpec(f"box-{self._made}", template, mounts, memory_mib, ephemeral_mib, processes, files)
        return await self.driver.create(spec)

    async def start(self, sandbox: Sandbox, *command: str, **variables: str) -> Watched:
        watched = Watched()
        program = Program(command, {"PATH": "/usr/bin:/bin", **variables})
        watched.attach(await sandbox.start(program, watched.ended.set_result))
        return watched

    async def run(self, sandbox: Sandbox, *command: str, **variables: str) -> Outcome:
        return await (await self.start(sandbox, *command, **variables)).outcome()

    async def probe(self, sandbox: Sandbox, script: str, *arguments: str) -> Outcome:
        """Run a Python script, that uses the standard library alone, in the sandbox."""
        return await self.run(sandbox, self.python, "-I", "-c", script, *arguments)


@asynccontextmanager
async def open_bench(driver: str, data_dir: Path | None = None, share: Share | None = None) -> AsyncIterator[Bench]:
    """A bench of its own on disk, beside `data_dir` if one is given; all of it is gone afterwards. `driver` is a name
    of the setting `sandbox`, or an OCI runtime by `oci:` and its name or path."""
    beside = Path("/var/tmp") if data_dir is None else data_dir.parent  # noqa: S108 - on disk, unlike /tmp
    place = Path(tempfile.mkdtemp(prefix="lambent-test-", dir=beside))
    place.chmod(0o755)
    code = place / "code"
    code.mkdir(mode=0o755)
    data = data_dir or place / "data"
    name, _, oci_runtime = driver.partition(":")
    opened = make_driver(name, data, UID_BASE, UID_COUNT, oci_runtime, share or Share())
    try:
        missing = tuple(await opened.open())
        try:
            yield Bench(opened, data, code, missing)
        finally:
            await opened.close()
    finally:
        shutil.rmtree(place)

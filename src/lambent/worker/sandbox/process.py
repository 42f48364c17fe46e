"""The process driver: no isolation and no limits. For machines that allow nothing better, and must be asked for."""

from typing import Any

from lambent.worker.sandbox.driver import Addresses, SandboxSpec
from lambent.worker.sandbox.freezing import GroupFreezer
from lambent.worker.sandbox.launched import LaunchedDriver, LaunchedSandbox
from lambent.worker.sandbox.link import Link


class ProcessDriver(LaunchedDriver):
    """See `driver.Driver`."""

    name = "process"

    def configuration(self) -> dict[str, Any]:
        return {"way": "process", "directory": str(self.directory)}

    def sandbox(self, link: Link, spec: SandboxSpec, reply: dict[str, Any]) -> LaunchedSandbox:
        addresses = Addresses(*(f"127.0.0.1:{port}" for port in reply["ports"]))
        return LaunchedSandbox(link, spec.sandbox_id, addresses, reply, GroupFreezer(), depth=0)

"""The driver on an OCI runtime: the same limits and the same view as `namespaces`, in containers that another program
makes. For machines whose owners want that program to be what isolates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.worker.sandbox import probe
from lambent.worker.sandbox.driver import SandboxError, SandboxSpec
from lambent.worker.sandbox.freezing import TreeFreezer
from lambent.worker.sandbox.launched import LaunchedSandbox
from lambent.worker.sandbox.link import Link
from lambent.worker.sandbox.namespaces import ADDRESSES, NamespacesDriver


class OciDriver(NamespacesDriver):
    """See `driver.Driver`. `runtime` is a name or a path, empty for the first of crun and runc that is installed."""

    name = "oci"
    forks = False

    def __init__(self, data_dir: Path, uid_base: int, uid_count: int, runtime: str) -> None:
        super().__init__(data_dir, uid_base, uid_count)
        self._runtime = runtime
        self.restores = False

    async def open(self) -> Sequence[str]:
        missing = list(await super().open())
        runtime = probe.look_at_oci_runtime(self._runtime)
        return missing if runtime.ok else [*missing, f"{runtime.name}: {runtime.explanation}."]

    def look_around(self) -> list[probe.Finding]:
        return [*super().look_around(), probe.look_at_oci_runtime(self._runtime)]

    def configuration(self) -> dict[str, Any]:
        found = probe.find_oci_runtime(self._runtime)
        if found is None:
            raise SandboxError("there is no OCI runtime")
        return super().configuration() | {"runtime": found.path, "runtime_kind": found.kind}

    def sandbox(self, link: Link, spec: SandboxSpec, reply: dict[str, Any]) -> LaunchedSandbox:
        # Of the keeper's two children the first is pid 1 of the sandbox, the second the program.
        return LaunchedSandbox(link, spec.sandbox_id, ADDRESSES, reply, TreeFreezer(), depth=2)

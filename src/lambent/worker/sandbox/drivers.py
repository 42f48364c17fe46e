"""Makes the isolation driver that the settings name, and tells what the machine can do for the default one."""

import asyncio
import tempfile
from pathlib import Path

from lambent.worker.sandbox.driver import Driver
from lambent.worker.sandbox.namespaces import NamespacesDriver
from lambent.worker.sandbox.probe import Finding
from lambent.worker.sandbox.process import ProcessDriver


def make_driver(name: str, data_dir: Path, uid_base: int, uid_count: int) -> Driver:
    """`name` is the setting `sandbox`: namespaces or process. Not open yet."""
    if name == "process":
        return ProcessDriver(data_dir)
    assert name == "namespaces", name
    return NamespacesDriver(data_dir, uid_base, uid_count)


def examine(uid_base: int, uid_count: int) -> list[Finding]:
    """What this machine can and can not do for sandboxes, and how to mend it. Not to be called on an event loop.

    A driver is opened on a directory of its own, so the answers are those that a server gets; nothing stays behind.
    """
    with tempfile.TemporaryDirectory(prefix="lambent-doctor-", dir="/var/tmp") as place:
        return asyncio.run(NamespacesDriver(Path(place), uid_base, uid_count).examine())

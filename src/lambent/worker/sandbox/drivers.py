"""Makes the isolation driver that the settings name, and tells what the machine can do for it."""

import asyncio
import tempfile
from pathlib import Path

from lambent.worker.sandbox.driver import Driver, Share
from lambent.worker.sandbox.namespaces import NamespacesDriver
from lambent.worker.sandbox.oci import OciDriver
from lambent.worker.sandbox.probe import Finding
from lambent.worker.sandbox.process import ProcessDriver

_ALL = Share()


def make_driver(
    name: str, data_dir: Path, uid_base: int, uid_count: int, oci_runtime: str, share: Share = _ALL
) -> Driver:
    """`name` is the setting `sandbox`: namespaces, oci or process. Not open yet."""
    if name == "process":
        return ProcessDriver(data_dir)
    driver = _confining(name, data_dir, uid_base, uid_count, oci_runtime)
    driver.share = share
    return driver


def _confining(name: str, data_dir: Path, uid_base: int, uid_count: int, oci_runtime: str) -> NamespacesDriver:
    if name == "oci":
        return OciDriver(data_dir, uid_base, uid_count, oci_runtime)
    assert name == "namespaces", name
    return NamespacesDriver(data_dir, uid_base, uid_count)


def examine(name: str, uid_base: int, uid_count: int, oci_runtime: str) -> list[Finding]:
    """What this machine can and can not do for the sandboxes of a driver that isolates, and how to mend it. Not to be
    called on an event loop.

    The driver is opened on a directory of its own, so the answers are those that a server gets; nothing stays behind.
    """
    with tempfile.TemporaryDirectory(prefix="lambent-doctor-", dir="/var/tmp") as place:
        return asyncio.run(_confining(name, Path(place), uid_base, uid_count, oci_runtime).examine())

"""Makes the isolation driver that the settings name."""

from pathlib import Path

from lambent.worker.sandbox.bubblewrap import BubblewrapDriver
from lambent.worker.sandbox.driver import Driver
from lambent.worker.sandbox.process import ProcessDriver


def make_driver(name: str, data_dir: Path, uid_base: int, uid_count: int) -> Driver:
    """`name` is the setting `sandbox`: bubblewrap or process. Not open yet."""
    if name == "process":
        return ProcessDriver(data_dir)
    assert name == "bubblewrap", name
    return BubblewrapDriver(data_dir, uid_base, uid_count)

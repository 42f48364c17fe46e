"""The data directory belongs to one server at a time."""

import fcntl
import os
from pathlib import Path


class DataDirectoryError(Exception):
    """The directory can not be used. The message is for the person who started the server."""


class DataDirectory:
    """Holds the directory's lock from `open` to `close`, or to the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def open(self) -> None:
        """Make the directory, readable to its owner only, and lock it. Raises DataDirectoryError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"the data directory {self.path} can not be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            whose = f" (process {holder})" if holder else ""
            raise DataDirectoryError(
                f"the data directory {self.path} is in use by another Lambent server{whose}; "
                "stop it, or choose another with --data-dir"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

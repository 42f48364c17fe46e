"""Room on the disk that is kept for what must still be written when others have filled it."""

import contextlib
import os
from pathlib import Path


class DiskReserve:
    """A file that takes so many bytes and holds nothing, until it is given up. Raises nothing: where the disk fails,
    there is no reserve."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.is_held = False

    def take(self) -> bool:
        """Have the room, where there is as much. Returns whether it is held."""
        if not self.is_held:
            self.is_held = self._allocate()
            if not self.is_held:
                self.give_up()
        return self.is_held

    def give_up(self) -> None:
        self.is_held = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _allocate(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

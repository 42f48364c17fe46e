"""Room on the disk that is kept for what must still be written when others have filled it."""

import os
from pathlib import Path


class DiskReserve:
    """A file that takes so many bytes and holds nothing, until it is given up."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.is_held = False

    def take(self) -> bool:
        """Have the room, where there is as much. Returns whether it is held."""
        if not self.is_held:
            self.is_held = self._allocate()
        return self.is_held

    def give_up(self) -> None:
        self.is_held = False
        self._path.unlink(missing_ok=True)

    def _allocate(self) -> bool:
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError:
            self._path.unlink()
            return False
        finally:
            os.close(descriptor)
        return True

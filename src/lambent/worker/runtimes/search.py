"""Looks into the places where interpreters may be, and remembers which of them can not be read.

Such a place is passed over, as one that is not there: what is found elsewhere serves. `lambent doctor` tells of it.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path


class Search:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._unreadable: dict[Path, None] = {}

    @property
    def unreadable(self) -> Sequence[Path]:
        """The directories that were looked into in vain, in the order in which they were."""
        return tuple(self._unreadable)

    def has_program(self, path: Path) -> bool:
        """Whether we may execute a file there."""
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            self._unreadable[path.parent] = None
            return False
        return os.access(path, os.X_OK)

    def versions_in(self, store: Path) -> list[Path]:
        """What a version switcher has in its directory: one directory for each version, the newest first."""
        try:
            found = list(store.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            self._unreadable[store] = None
            return []
        return sorted(found, key=_natural, reverse=True)


def _natural(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]

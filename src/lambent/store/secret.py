"""A secret of this data directory: made once, kept in a file that only the owner reads."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

SECRET_BYTES = 32


def read_or_make(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """The secret in the file, which is made, durably, if it is missing. Whoever comes second gets the first's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return read_or_write(path, lambda: random_bytes(SECRET_BYTES))


def read_or_write(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is in the file, which is written, durably, if it is missing. Whoever comes second gets the first's."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    # mkstemp makes the file readable by its owner alone.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_bytes()
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path.read_bytes()

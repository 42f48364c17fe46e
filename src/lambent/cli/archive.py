"""Deployment packages: a folder or file as a zip archive, the same bytes for the same content.

Equal content gives an equal archive on every machine (sorted names, one fixed time, permissions reduced to
executable or not), so that deploying without a change changes nothing.
"""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Of no use to a function that runs; .npmrc may hold the key to a registry.
LEFT_OUT = frozenset(
    {
        ".npmrc",
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".DS_Store",
    }
)

# The earliest time that a zip archive can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR = 0o100000


def build(*roots: Path) -> bytes:
    """The archive of the contents of folders; where two have a path in common the first one's file is taken."""
    files: dict[str, Path] = {}
    for root in roots:
        for path in _walk(root, root, frozenset()):
            files.setdefault(path.relative_to(root).as_posix(), path)
    return write(sorted(files.items()))


def write(files: list[tuple[str, Path]]) -> bytes:
    """The archive of files under the names given."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, path in files:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix: the permissions below count
            entry.external_attr = (_REGULAR | (0o755 if os.access(path, os.X_OK) else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, path.read_bytes())
    return archive.getvalue()


def _walk(folder: Path, root: Path, above: frozenset[Path]) -> Iterator[Path]:
    """The files below a folder. Links are followed, but not back into a folder that they are in."""
    real = folder.resolve()
    if real in above:
        return
    for path in folder.iterdir():
        if path.name in LEFT_OUT or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _walk(path, root, above | {real})
        elif path.is_file():
            yield path

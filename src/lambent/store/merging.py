"""The trees of several layers as one: each is laid over those before it, as if their archives were unpacked in order.

Files are hard links to those of the packages, so a merged tree costs its directories. What is laid over something
of another kind takes its place; links are copied and never followed, or one layer's link could have another layer's
files written to where it leads.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lambent.store.archive import check_links


def merge(trees: Sequence[Path], root: Path) -> None:
    """Make the merged tree in `root`, which is empty. Raises InvalidParameterValueException when a link of one layer
    leaves the tree by way of another layer's."""
    root.chmod(0o755)
    for tree in trees:
        _lay(tree, root)
    check_links([path for path in root.rglob("*") if path.is_symlink()], root)


def _lay(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not place.is_dir() or place.is_symlink():
                _clear(place)
                place.mkdir()
                place.chmod(0o755)
            _lay(Path(entry.path), place)
        else:
            _clear(place)
            _place_file(entry, place)


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _place_file(entry: os.DirEntry[str], place: Path) -> None:
    if entry.is_symlink():
        place.symlink_to(os.readlink(entry.path))  # noqa: PTH115 - as text: what it leads to is not looked at
        return
    try:
        os.link(entry.path, place)
    except OSError as error:
        # A file can have so many names only, and some filesystems let it have one.
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        shutil.copy2(entry.path, place)

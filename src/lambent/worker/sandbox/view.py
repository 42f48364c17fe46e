"""What a sandbox sees of the machine: builds the root directory of a template.

/usr with its links, the template's own mounts and links, an /etc of our own, five devices, a /proc of its own
processes, /tmp. Everything but /tmp is read-only, the root directory included: it is memory, and would be a second,
unlimited /tmp. A sandbox's first process mounts its own /proc over the one here; its code and its /tmp come from
outside, when it is known whose it is (`confinement.py`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lambent.worker.sandbox import kernel

_READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID
_FILES = _READ_ONLY | kernel.MOUNT_ATTR_NODEV
_SYSTEM_DIRECTORIES = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
_PLACES_OF_CODE = ("/var/task/lib", "/opt/lib")
"""The function's code is mounted over /var/task and /opt. The C library of a zygote, which has these two on its path,
would not look into them ever again if they were not there when it starts."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Directories that every sandbox has parts of, as the builder sees them."""

    etc: str
    dev: str


def build(
    place: str, sources: Sources, root: str, mounts: Sequence[Sequence[str]], links: Sequence[Sequence[str]]
) -> None:
    """Build the root at `place`, a directory. `root` is a tree to be used in the place of the machine's /usr and of
    our /etc, empty for these; it must have every directory in which something is to be mounted. `mounts` are (source,
    target), `links` (path, what it points to). To be called in a mount namespace of its own. Raises OSError."""
    if root:
        show(root, place, _FILES)
    else:
        kernel.mount("tmpfs", place, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
        for path in ("/dev", "/proc", "/tmp", "/etc", "/usr", *_PLACES_OF_CODE):
            os.makedirs(place + path)
        show("/usr", f"{place}/usr", _FILES)
        show(sources.etc, f"{place}/etc", _FILES)
        for path in filter(os.path.lexists, _SYSTEM_DIRECTORIES):
            if os.path.islink(path):
                os.symlink(os.readlink(path), place + path)
            else:
                _show_at(place, path, path)
    show(sources.dev, f"{place}/dev", _READ_ONLY)
    show("/proc", f"{place}/proc", 0)
    for source, target in sorted(mounts, key=lambda mount: mount[1]):
        if os.path.normpath(source) == target and target.startswith("/usr/"):
            continue  # shown already
        _show_at(place, source, target)
    for path, target in links:
        os.makedirs(os.path.dirname(place + path), exist_ok=True)
        os.symlink(target, place + path)
    if not root:
        # Last, and by itself: /tmp of the sandboxes is mounted into it later.
        kernel.mount(
            "none",
            place,
            flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV,
        )


def _show_at(place: str, source: str, target: str) -> None:
    """Show a file or a directory at a path that need not be there yet."""
    path = place + target
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    elif not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o644))
    show(source, path, _FILES)


def show(source: str, target: str, attributes: int) -> None:
    """Mount what is at `source`, with all that is mounted below it, at `target`."""
    descriptor = kernel.clone_mount(source, recursive=True)
    try:
        if attributes:
            kernel.set_mount_attributes(descriptor, attributes)
        kernel.attach_mount(descriptor, target)
    finally:
        os.close(descriptor)

"""What a sandbox sees of the machine, as bubblewrap's arguments. Pure: it looks at nothing and decides from its inputs.

/usr with its links, the sandbox's own mounts and links, an /etc of our own, five devices, a /proc of its own
processes, /tmp. Everything but /tmp is read-only, the root directory included: it is memory, and would be a second,
unlimited /tmp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lambent.worker.sandbox.stage import GROUP_ID, HOSTNAME, USER_ID


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are for the process that runs bubblewrap."""

    dev: str
    etc: str
    scratch: str
    mounts: tuple[tuple[str, str], ...]
    """(where the source can be seen, path in the sandbox)"""
    system: tuple[tuple[str, str], ...]
    """/bin, /lib and their like: (path, what it links to, or empty for a directory of its own)"""


def arguments(
    paths: Paths,
    links: Sequence[tuple[str, str]],
    variables: Mapping[str, str],
    directory: str,
    descriptors: Mapping[str, int],
) -> list[str]:
    """Arguments for bubblewrap, without its own name and without the command."""
    words = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--uid", str(USER_ID), "--gid", str(GROUP_ID), "--hostname", HOSTNAME]
    words += ["--ro-bind", "/usr", "/usr"]
    for path, target in paths.system:
        words += ["--symlink", target, path] if target else ["--ro-bind", path, path]
    words += ["--ro-bind", paths.etc, "/etc"]
    # Not bubblewrap's own --dev: its devpts would need a second user namespace, and it has a /dev/shm.
    words += ["--dev-bind", paths.dev, "/dev", "--remount-ro", "/dev", "--proc", "/proc"]
    words += ["--bind", paths.scratch, "/tmp"]
    # Bubblewrap would make the directories in between for their owner alone.
    for parent in _parents([*(target for _, target in paths.mounts), *(path for path, _ in links), "/var/task"]):
        words += ["--dir", parent]
    for source, target in sorted(paths.mounts, key=lambda mount: mount[1]):
        words += ["--ro-bind", source, target]
    for path, target in links:
        words += ["--symlink", target, path]
    words += ["--dir", "/var/task", "--dir", "/opt", "--remount-ro", "/"]
    for name, value in variables.items():
        words += ["--setenv", name, value]
    words += ["--chdir", directory]
    for option, descriptor in descriptors.items():
        words += [option, str(descriptor)]
    return words


def _parents(targets: Sequence[str]) -> list[str]:
    """Every directory above the targets, the upper ones first; none of those that a mount brings along."""
    parents = {str(parent) for target in targets for parent in PurePosixPath(target).parents}
    inside = tuple(f"{target}/" for target in targets)
    brought = ("/usr/", "/etc/", "/tmp/", "/dev/", "/proc/")
    parents -= {"/", *(path.rstrip("/") for path in brought)}
    return sorted(parent for parent in parents if not f"{parent}/".startswith((*brought, *inside)))

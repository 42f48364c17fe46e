"""The OCI bundle of a sandbox: `config.json` of the Open Container Initiative's runtime specification. Pure.

The root file system is the one that `view.py` builds. What is the sandbox's own is mounted into it by the runtime:
/proc, /dev, the function's code and its /tmp. Its user, pid and network namespaces are made before (`keeper.py`); the
runtime joins them and makes the rest.
"""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambent.worker.sandbox.stage import DEVICES, HOSTNAME

_HIDDEN = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
)
_UNCHANGEABLE = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_SHOWN = ("rbind", "ro", "nosuid", "nodev")


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are for the runtime: the root file system, /dev, /tmp, and what is mounted from elsewhere as
    (source, target)."""

    root: str
    dev: str
    scratch: str
    mounts: tuple[tuple[str, str], ...]


def configuration(
    places: Places,
    program: Mapping[str, Any],
    user: tuple[int, int],
    limits: Mapping[int, int],
    namespaces: Mapping[str, str],
    profile: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """`program` has command, variables and directory, `user` is (user id, group id), `limits` are by the number of the
    resource, `namespaces` are those to join (kind, path), `profile` is the seccomp profile, if there is one."""
    linux: dict[str, Any] = {
        # Not to be made, but crun looks here for whether there is a user 0.
        "uidMappings": [{"containerID": user[0], "hostID": user[0], "size": 1}],
        "gidMappings": [{"containerID": user[1], "hostID": user[1], "size": 1}],
        "namespaces": [
            *({"type": kind, "path": path} for kind, path in namespaces.items()),
            *({"type": kind} for kind in ("mount", "ipc", "uts", "cgroup")),
        ],
        "maskedPaths": list(_HIDDEN),
        "readonlyPaths": list(_UNCHANGEABLE),
    }
    if profile is not None:
        linux["seccomp"] = profile
    return {
        "ociVersion": "1.0.2",
        "hostname": HOSTNAME,
        "root": {"path": places.root, "readonly": True},
        "mounts": _mounts(places),
        "process": {
            "terminal": False,
            "user": {"uid": user[0], "gid": user[1]},
            "args": list(program["command"]),
            "env": [f"{name}={value}" for name, value in program["variables"].items()],
            "cwd": program["directory"],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")},
            "rlimits": [
                {"type": _name_of_limit(number), "soft": value, "hard": value} for number, value in limits.items()
            ],
            "noNewPrivileges": True,
        },
        "linux": linux,
    }


def _mounts(places: Places) -> list[dict[str, Any]]:
    mounts = [
        _mount("/proc", "proc", "proc", ("nosuid", "nodev", "noexec")),
        _mount("/dev", places.dev, "bind", ("rbind", "ro", "nosuid")),
        # They are mounts below it, which crun does not always take along.
        *(_mount(f"/dev/{name}", f"{places.dev}/{name}", "bind", ("bind", "ro", "nosuid")) for name in DEVICES),
        _mount("/tmp", places.scratch, "bind", ("rbind", "rw", "nosuid", "nodev")),
    ]
    return [*mounts, *(_mount(target, source, "bind", _SHOWN) for source, target in places.mounts)]


def _mount(target: str, source: str, kind: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "source": source, "type": kind, "options": list(options)}


def _name_of_limit(number: int) -> str:
    return next(name for name in dir(resource) if name.startswith("RLIMIT_") and getattr(resource, name) == number)

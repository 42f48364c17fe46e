"""What this machine can and can not do for sandboxes, and how to mend it.

It knows what to look at and what to advise. That a sandbox works is seen by starting one, which is the driver's part
(`NamespacesDriver.examine`); `drivers.examine` does all of it on a directory of its own.
"""

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DELEGATE = (
    "Run the server as root, or give it a cgroup of its own: systemd-run --user --scope -p Delegate=yes lambent serve."
)
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}
"""Files that can forbid user namespaces: the value that forbids, and how to allow them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed` is what the driver does not run without; `mend` is empty when `ok`."""

    name: str
    ok: bool
    explanation: str
    mend: str = ""
    needed: bool = False


def look_around(uid_base: int, uid_count: int) -> list[Finding]:
    """What can be seen without starting a sandbox."""
    findings = [look_at_user_namespaces()]
    if os.geteuid() == 0:
        findings.append(look_at_user_ids(uid_base, uid_count))
    return findings


def look_at_user_namespaces() -> Finding:
    """Only what forbids them in general; whether they work is seen by the driver's trial."""
    forbidding = []
    for path, (value, mend) in _SWITCHES.items():
        try:
            if Path(path).read_text(encoding="ascii").strip() == value:
                forbidding.append((path, mend))
        except FileNotFoundError:
            continue
    if not forbidding:
        return Finding("user namespaces", True, "allowed", needed=True)
    paths = ", ".join(path for path, _ in forbidding)
    mends = "; ".join(mend for _, mend in forbidding)
    return Finding("user namespaces", False, f"forbidden by {paths}", f"As root: {mends}.", needed=True)


def look_at_user_ids(uid_base: int, uid_count: int) -> Finding:
    """Whether the range exists in our user namespace (in a container it may not) and belongs to no account."""
    name, last = "user ids for sandboxes", uid_base + uid_count - 1
    change = "Choose others with --sandbox-uid-base and --sandbox-uid-count."
    mapped = []
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = (int(word) for word in line.split())
        mapped.append(range(first, first + count))
    if not any(uid_base in one and last in one for one in mapped):
        return Finding(name, False, f"{uid_base} to {last} do not all exist in this container", change, needed=True)
    accounts = [entry.pw_name for entry in pwd.getpwall() if uid_base <= entry.pw_uid <= last]
    if accounts:
        return Finding(name, False, f"{uid_base} to {last} include accounts: {', '.join(accounts)}", change)
    return Finding(name, True, f"{uid_base} to {last}")


def judge(found: dict[str, str]) -> Iterator[Finding]:
    """The protections that can be had only on some machines; `found` is what the launcher has found for each."""
    without = {
        "memory": ("memory limit", "per process and by address space only", _DELEGATE),
        "pids": ("process limit", "by RLIMIT_NPROC in the environment's user namespace", _DELEGATE),
        "freezer": ("freezing", "by SIGSTOP, which a function's own processes can notice", _DELEGATE),
        "tmp": ("/tmp on disk", "a tmpfs instead, which is memory", _mend_images()),
    }
    for key, (name, fallback, mend) in without.items():
        if found[key]:
            yield Finding(name, True, found[key])
        else:
            yield Finding(name, False, fallback, mend)


def _mend_images() -> str:
    if os.geteuid() != 0:
        return "Run the server as root."
    return "Install e2fsprogs, and give a container access to /dev/loop-control and loop devices."

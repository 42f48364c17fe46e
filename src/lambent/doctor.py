"""`lambent doctor`: what this machine can and can not do for a server with these settings, and how to mend it.

Owns the order and the form of the findings, and looks at the port and the disk itself; what a sandbox and the runtimes
need is found by those who use it.
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from lambent.settings import Settings

# Below this a package, its unpacked form and the logs of a day may not fit.
_FREE_BYTES = 1 << 30


class Grade(StrEnum):
    """`LIMITED` is what Lambent runs without, `MISSING` what it does not run without."""

    GOOD = "good"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do about it (empty when nothing is to be done)."""

    subject: str
    grade: Grade
    detail: str
    mend: str = ""


def run(settings: Settings, *, as_json: bool) -> int:
    """Print the findings. Returns 1 when something is missing that the server needs, else 0."""
    findings = list(examine(settings))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(report(findings, colour=sys.stdout.isatty()))
    return 1 if any(finding.grade is Grade.MISSING for finding in findings) else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, in the order in which they are told."""
    yield look_at_port(settings.host, settings.port)
    yield look_at_disk("data directory", settings.data_dir, "--data-dir")
    yield look_at_disk("runtimes directory", settings.runtimes_dir, "--runtimes-dir")


def report(findings: Iterable[Finding], *, colour: bool) -> str:
    """The findings for people, a line each, and below it how to mend what is not good."""
    marks = {Grade.GOOD: ("32", "good"), Grade.LIMITED: ("33", "limited"), Grade.MISSING: ("31", "missing")}
    lines = []
    for finding in findings:
        code, word = marks[finding.grade]
        mark = f"\x1b[{code}m{word:<7}\x1b[0m" if colour else f"{word:<7}"
        lines.append(f"{mark}  {finding.subject}: {finding.detail}")
        if finding.mend:
            lines.append(f"         -> {finding.mend}")
    return "\n".join(lines)


def look_at_port(host: str, port: int) -> Finding:
    """Whether the server could listen at its address now."""
    subject = f"port {port} on {host}"
    if port == 0:
        return Finding("port", Grade.GOOD, f"a free one on {host} is taken at start")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Finding(
            subject, Grade.MISSING, error.strerror or str(error), "End who holds it, or choose another --port."
        )
    return Finding(subject, Grade.GOOD, "free")


def look_at_disk(subject: str, directory: Path, flag: str) -> Finding:
    """Whether a directory can be made or written, is on a disk, and has room."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    subject = f"{subject} {directory}"
    if not existing.is_dir() or not _writable(existing):
        return Finding(subject, Grade.MISSING, f"{existing} can not be written", f"Choose another with {flag}.")
    free = shutil.disk_usage(existing).free
    detail = f"{free / (1 << 30):.1f} GiB free on {_file_system(existing)}"
    if _file_system(existing) in ("tmpfs", "ramfs"):
        return Finding(subject, Grade.LIMITED, f"{detail}: it is memory", f"Choose one on a disk with {flag}.")
    if free < _FREE_BYTES:
        return Finding(subject, Grade.LIMITED, detail, f"Make room, or choose another with {flag}.")
    return Finding(subject, Grade.GOOD, detail)


def _writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


def _file_system(path: Path) -> str:
    """The type of the file system that a path is on; the longest mount point that leads to it tells."""
    best, kind = "", "an unknown file system"
    real = str(path.resolve())
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, this_kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, this_kind
    return kind

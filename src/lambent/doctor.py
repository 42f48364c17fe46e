"""`lambent doctor`: what this machine can and can not do for a server with these settings, and how to mend it.

Owns the order and the form of the findings, and looks at the disk itself; the port, the key file, the AWS
services, the runtimes and the sandbox are looked at by those who use them.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from lambent.core.network import networks
from lambent.endpoint import SERVICES, Endpoint
from lambent.server.listening import ListenError, listen
from lambent.service_clients import ServiceClients, Unusable
from lambent.settings import Settings
from lambent.store.keyring import KeyFileError, read_key_file
from lambent.store.metadata import key_file_of
from lambent.worker import descriptor_limit
from lambent.worker.runtimes.catalog import Runtimes
from lambent.worker.sandbox import drivers, probe
from lambent.worker.sandbox.probe import Finding as SandboxFinding

# Below this a package, its unpacked form and the logs of a day may not fit.
_FREE_BYTES = 1 << 30

_LANGUAGES = {
    "python": "Install a CPython from 3.9 up, with pyenv, uv or the system's packages; --python-search names others.",
    "nodejs": "Install Node.js, or name it with --node.",
}


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
    allowed = settings.listen_without_authentication
    yield look_at_port(settings.host, settings.port, without_authentication_allowed=allowed)
    yield look_at_disk("data directory", settings.data_dir, "--data-dir")
    yield look_at_disk("runtimes directory", settings.runtimes_dir, "--runtimes-dir")
    yield look_at_key_file(settings.data_dir / "metadata.sqlite", settings.environment_key_file)
    yield from look_at_services(settings)
    yield look_at_descriptors(descriptor_limit.most(), settings.concurrency_limit)
    yield from look_at_runtimes(settings)
    if settings.sandbox == "process":
        detail = "none: functions can do what the server can"
        yield Finding(
            "isolation", Grade.LIMITED, detail, "Leave --sandbox process away, unless you trust every function."
        )
    else:
        found = drivers.examine(
            settings.sandbox, settings.sandbox_uid_base, settings.sandbox_uid_count, settings.sandbox_oci_runtime
        )
        yield from map(judge, found)
    yield from look_at_networks(settings)


def look_at_networks(settings: Settings) -> Iterator[Finding]:
    """Whether the networks of the settings make sense, and what they take is there."""
    try:
        wanted = networks(settings.network, settings.networks).reach_out()
    except ValueError as error:
        yield Finding("networks", Grade.MISSING, str(error), "Mend it in the settings file (docs/settings.md).")
        return
    if settings.sandbox == "process":
        if wanted:
            detail = "not kept to: without isolation a function has the machine's network"
            yield Finding("networks", Grade.LIMITED, detail, "Leave --sandbox process away.")
        return
    yield from map(judge, probe.look_at_network())


def judge(found: SandboxFinding) -> Finding:
    """What the worker found, in our grades."""
    if found.ok:
        return Finding(found.name, Grade.GOOD, found.explanation)
    return Finding(found.name, Grade.MISSING if found.needed else Grade.LIMITED, found.explanation, found.mend)


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


def look_at_port(host: str, port: int, *, without_authentication_allowed: bool) -> Finding:
    """Whether the server could listen at its address now; if not, who holds it."""
    subject = f"port {port} on {host}" if port else f"a port on {host}"
    try:
        listen(host, port, without_authentication_allowed=without_authentication_allowed).close()
    except ListenError as error:
        return Finding(subject, Grade.MISSING, str(error))
    return Finding(subject, Grade.GOOD, "free")


def look_at_runtimes(settings: Settings) -> Iterator[Finding]:
    """The languages whose functions run here. The shell and compiled ones always do."""
    runtimes = Runtimes(settings.runtimes_dir, settings.node, settings.node_client, settings.python_search)
    found = runtimes.found()
    for one in found:
        note = f" ({one.note})" if one.note else ""
        grade = Grade.LIMITED if one.note else Grade.GOOD
        yield Finding(one.name, grade, f"{one.version}, {one.path}{note}", one.mend)
    for language, mend in _LANGUAGES.items():
        if not any(one.name.startswith(language) for one in found):
            yield Finding(language, Grade.LIMITED, "no interpreter was found: its functions do not run here", mend)
    for place in runtimes.unreadable():
        yield Finding(
            f"interpreters in {place}",
            Grade.LIMITED,
            "the directory can not be read, and was passed over",
            "Let the server's user read it, or leave it out of where the server looks (docs/runtimes.md).",
        )


def look_at_disk(subject: str, directory: Path, flag: str) -> Finding:
    """Whether a directory can be made or written, is on a disk, and has room."""
    # For what is below a directory that may not be entered, `Path.exists` raises.
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if os.access(path, os.F_OK))
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


def look_at_key_file(database: Path, named: Path | None) -> Finding:
    """Whether the server can use its key file, and nobody else. Nothing is made."""
    path = key_file_of(database, named)
    subject = f"key file {path}"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _missing_key_file(subject, path, database, named)
    except OSError as error:
        detail = f"it can not be looked at: {error.strerror}"
        return Finding(subject, Grade.MISSING, detail, "Let the server's user read it.")
    try:
        read_key_file(path)
    except KeyFileError as error:
        return Finding(subject, Grade.MISSING, str(error), "Let the server's user read it, a key a line.")
    if mode & 0o077:
        detail = f"others than its owner are let at it (mode {mode & 0o777:04o})"
        return Finding(subject, Grade.LIMITED, detail, f"chmod 600 {path}")
    return Finding(subject, Grade.GOOD, "for its owner alone")


def _missing_key_file(subject: str, path: Path, database: Path, named: Path | None) -> Finding:
    if named is not None and not path.parent.is_dir():
        detail = f"the directory {path.parent} is not there"
        return Finding(
            subject, Grade.MISSING, detail, "Make it or mount it, or choose another with --environment-key-file."
        )
    if database.exists():
        detail = "not there: the next start makes a new key, and no variable under another can be read"
        return Finding(
            subject, Grade.LIMITED, detail, "Put it back, if it was lost or is on a disk that is not mounted."
        )
    return Finding(subject, Grade.GOOD, "is made at the first start")


def look_at_descriptors(most: int, concurrency_limit: int) -> Finding:
    """How many environments a server that may have so many descriptors has room for."""
    environments = descriptor_limit.environments_within(most)
    subject, detail = "open files", f"a limit of {most:,}, good for about {environments:,} environments"
    if environments >= concurrency_limit:
        return Finding(subject, Grade.GOOD, detail)
    wanted = descriptor_limit.enough_for(concurrency_limit)
    mend = f"Raise the hard limit to {wanted:,} (LimitNOFILE= of systemd, ulimit -Hn), or lower --concurrency-limit."
    return Finding(subject, Grade.LIMITED, detail, mend)


def look_at_services(settings: Settings) -> Iterator[Finding]:
    """The AWS services that the settings name: whether each answers, and takes the credentials that it is given."""
    clients = ServiceClients(attempts=2)
    for service, title in SERVICES.items():
        flags = f"Start it, or mend --{service}-endpoint and what is beside it (docs/settings.md)."
        of_all = settings.endpoint_of_all(service)
        if of_all.url:
            yield _look_at_service(clients, service, f"{title} {of_all.url}", of_all, settings.region, flags)
        for account, endpoints in settings.accounts.items():
            own = endpoints.get(service)
            if own is not None and own.url:
                subject = f"{title} {own.url} of account {account}"
                mend = f"Start it, or mend [accounts.{account}] in the settings file."
                yield _look_at_service(clients, service, subject, own, settings.region, mend)


def _look_at_service(
    clients: ServiceClients, service: str, subject: str, where: Endpoint, region: str, mend: str
) -> Finding:
    try:
        clients.try_out(service, where, region)
    except Unusable as error:
        return Finding(subject, Grade.LIMITED, str(error), mend)
    taken = "takes the credentials" if where.access_key_id else "requests are not signed"
    return Finding(subject, Grade.GOOD, f"answers, {taken}")


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

"""Kits: what a function finds at /var/runtime, built once per machine and kept in a cache directory.

A kit's directory is named after all that it is made of, is built beside its place and renamed into it, so one that is
there is whole. Several servers may share the cache: a lock file per kit lets one of them build while others wait.
Everything here blocks and belongs in a thread.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lambent.worker.runtimes.launch import RuntimeUnavailable

CLIENTS = Path(__file__).parent / "clients"
_STEP_TIMEOUT_S = 600
_SHOWN_LINES = 6


def client_files(language: str) -> dict[str, bytes]:
    """The files of our own that go into a language's kit, by their path in it."""
    root = CLIENTS / language
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "__pycache__"
    }


def kit_name(runtime: str, requirements: Iterable[str], files: Mapping[str, bytes]) -> str:
    content = hashlib.sha256()
    for requirement in requirements:
        content.update(requirement.encode() + b"\n")
    for name, data in files.items():
        content.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return f"{runtime}-{content.hexdigest()[:16]}"


def install(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """The directory of the kit, built by `build` in a directory that it is given, unless it is there.

    Raises RuntimeUnavailable when the cache can not be written or the building fails.
    """
    kit = cache / name
    if kit.is_dir():
        return kit
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / f".{name}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kit.is_dir():
                _build(cache, kit, build)
    except OSError as error:
        raise RuntimeUnavailable(
            f"the runtime kit {name} can not be put into {cache}: {error}; the setting runtimes_dir names the directory"
        ) from error
    return kit


def _build(cache: Path, kit: Path, build: Callable[[Path], None]) -> None:
    for leftover in cache.glob(f".{kit.name}.building-*"):
        shutil.rmtree(leftover)  # of a builder that was killed: the lock is ours, so nobody is at it
    place = Path(tempfile.mkdtemp(prefix=f".{kit.name}.building-", dir=cache))
    try:
        build(place)
        place.chmod(0o755)
        place.rename(kit)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_files(place: Path, files: Mapping[str, bytes]) -> None:
    """Write our own files, readable by whichever user a function runs as."""
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
        path.parent.chmod(0o755)


def run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    """One step of a building. Raises RuntimeUnavailable with the end of what the command said."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_STEP_TIMEOUT_S,
            umask=0o022,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeUnavailable(f"{what} took longer than {_STEP_TIMEOUT_S} s") from error
    except OSError as error:
        raise RuntimeUnavailable(f"{what} could not be started: {error}") from error
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-_SHOWN_LINES:]
        raise RuntimeUnavailable(f"{what} failed with exit status {done.returncode}: " + " / ".join(lines))

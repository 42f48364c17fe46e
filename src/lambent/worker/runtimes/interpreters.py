"""Finds the Python interpreters of this machine, and asks each what it is.

Looked for, in order: the directories of the setting `python_search`, PATH, pyenv, uv, and last the shims of version
switchers on PATH. The first that is a CPython of the wanted version wins. Nothing is asked before it is needed, and
each answer is kept: asking starts a process.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lambent.core.record import Record
from lambent.worker.runtimes.search import Search

OLDEST_MINOR = 9
NEWEST_MINOR = 14
_ASK_TIMEOUT_S = 20
_QUESTION = """
import json, sys
try:
    import ctypes
except ImportError:
    ctypes = None
implementation, version, abi = sys.implementation.name, list(sys.version_info[:3]), getattr(sys, "abiflags", "")
print(json.dumps([implementation, version, abi, sys.base_prefix, ctypes is not None]))
"""


class Interpreter(Record, frozen=True):
    """A CPython. `prefix` is the directory it was installed to, never a virtual environment."""

    version: tuple[int, int, int]
    prefix: Path
    has_ctypes: bool
    """Without this module, as where it was built without libffi, it can not be a zygote."""

    @property
    def executable(self) -> Path:
        return self.prefix / "bin" / f"python3.{self.version[1]}"

    @property
    def release(self) -> str:
        return ".".join(map(str, self.version))


class Interpreters:
    """The machine's interpreters, found when first asked for. Safe to call from several threads."""

    def __init__(self, search: str, environment: Mapping[str, str], home: Path) -> None:
        self._setting = search
        self.search = Search()
        self._environment = environment
        self._home = home
        self._found: dict[int, Interpreter | None] = {}
        self._answers: dict[Path, Interpreter | None] = {}

    def find(self, minor: int) -> Interpreter | None:
        """The interpreter that runs functions of `python3.<minor>`."""
        if minor not in self._found:
            asked = (self._ask(candidate) for candidate in self._candidates(f"python3.{minor}"))
            self._found[minor] = next((one for one in asked if one is not None and one.version[1] == minor), None)
        return self._found[minor]

    def all(self) -> list[Interpreter]:
        """One interpreter for each version that can be served."""
        found = (self.find(minor) for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1))
        return [interpreter for interpreter in found if interpreter is not None]

    def _directories(self) -> Iterator[Path]:
        for entry in self._setting.split(":"):
            if entry:
                yield Path(entry)
                yield Path(entry) / "bin"
        on_path = [Path(entry) for entry in self._environment.get("PATH", "").split(":") if entry]
        yield from (entry for entry in on_path if entry.name != "shims")
        yield Path("/usr/local/bin")
        yield Path("/usr/bin")
        for store in self._version_stores():
            yield from (version / "bin" for version in self.search.versions_in(store))
        yield from (entry for entry in on_path if entry.name == "shims")

    def _version_stores(self) -> Iterator[Path]:
        pyenv = self._environment.get("PYENV_ROOT")
        yield (Path(pyenv) if pyenv else self._home / ".pyenv") / "versions"
        uv = self._environment.get("UV_PYTHON_INSTALL_DIR")
        data = self._environment.get("XDG_DATA_HOME")
        share = Path(data) if data else self._home / ".local" / "share"
        yield Path(uv) if uv else share / "uv" / "python"

    def _candidates(self, name: str) -> Iterator[Path]:
        seen: set[Path] = set()
        for directory in self._directories():
            candidate = directory / name
            if candidate not in seen and self.search.has_program(candidate):
                seen.add(candidate)
                yield candidate

    def _ask(self, path: Path) -> Interpreter | None:
        if path not in self._answers:
            self._answers[path] = _ask(path)
        return self._answers[path]


def _ask(path: Path) -> Interpreter | None:
    try:
        asked = subprocess.run(
            [str(path), "-I", "-S", "-c", _QUESTION],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_TIMEOUT_S,
            check=True,
        )
        implementation, version, abi, prefix, has_ctypes = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a broken interpreter, or a shim that has nothing behind it
    # The wheels of the client are for the standard ABI: "t" is free-threaded, "d" a debug build.
    if implementation != "cpython" or abi != "":
        return None
    interpreter = Interpreter((version[0], version[1], version[2]), Path(os.path.realpath(prefix)), has_ctypes)
    return interpreter if os.access(interpreter.executable, os.X_OK) else None

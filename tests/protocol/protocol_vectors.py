"""botocore's protocol test vectors: fetched once from its source package, and turned around.

A vector of `input` says how a client sends parameters; here the request is given and the parameters are expected. A
vector of `output` says how a client reads a response; here the result is given and the response is expected.
"""

import base64
import fcntl
import json
import math
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lambent.wire import catalog
from lambent.wire.http import HttpRequest

FILES = ("rest-json", "json", "json_1_0", "json_1_0-query-compatible", "query", "rest-xml")
CBOR_FILES = (
    "smithy-rpc-v2-cbor",
    "smithy-rpc-v2-cbor-query-compatible",
    "smithy-rpc-v2-cbor-non-query-compatible",
)


@dataclass(frozen=True, slots=True)
class Vector:
    """One test case: `suite` has the model's metadata and shapes, `case` the operation and both sides of it."""

    file: str
    suite: dict[str, Any]
    case: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.case["id"])

    def model(self) -> dict[str, Any]:
        given = self.case["given"]
        return {
            "metadata": self.suite["metadata"],
            "operations": {given["name"]: given},
            "shapes": self.suite["shapes"],
        }

    def service(self) -> catalog.Service:
        return catalog.read("vectors", json.dumps(self.model()).encode())

    def request(self) -> HttpRequest:
        serialized = self.case["serialized"]
        path, _, query = serialized["uri"].partition("?")
        body = serialized.get("body", "")
        raw = base64.b64decode(body) if self.file in CBOR_FILES else body.encode()
        headers = {name.lower(): value for name, value in serialized.get("headers", {}).items()}
        # Some vectors name only the headers that they are about; every client sends these.
        if self.file == "query":
            headers.setdefault("content-type", "application/x-www-form-urlencoded")
        if self.file in ("json", "json_1_0"):
            prefix = self.suite["metadata"]["targetPrefix"]
            headers.setdefault("x-amz-target", f"{prefix}.{self.case['given']['name']}")
        return HttpRequest(serialized["method"], path, query, headers, raw)


def source() -> Path:
    """The source package of the installed botocore, downloaded on first use; workers running in parallel share it."""
    release = version("botocore")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lambent-tests"
    base.mkdir(parents=True, exist_ok=True)
    archive = base / f"botocore-{release}.tar.gz"
    with open(base / "botocore.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            command += ["--no-deps", "--no-binary", "botocore", f"botocore=={release}", "--dest", str(base)]
            subprocess.run(command, check=True)
    return archive


@cache
def load_all(archive: Path) -> dict[tuple[str, str], list[Vector]]:
    """The vectors of every file that is judged, by direction and file, in one pass over the archive."""
    found = {}
    root = f"{archive.name.removesuffix('.tar.gz')}/tests/unit/protocols"
    names = {f"{root}/{side}/{file}.json": (side, file) for side in ("input", "output") for file in FILES + CBOR_FILES}
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.name in names:
                side, file = names[entry.name]
                content = tar.extractfile(entry)
                assert content is not None
                suites = json.load(content)
                found[side, file] = [Vector(file, suite, case) for suite in suites for case in suite["cases"]]
    return found


def plain(value: Any) -> Any:
    """A value in the form in which the vectors have it, so that two of them compare."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return value.decode()
        case datetime():
            return plain((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def natural(value: Any, shape: catalog.Shape) -> Any:
    """A vector's value as a handler would give it: special floats as floats."""
    if value is None or shape.document:
        return value
    match shape.type:
        case "structure":
            return {key: natural(item, shape.members[key].shape) for key, item in value.items()}
        case "list":
            return [natural(item, shape.members["member"].shape) for item in value]
        case "map":
            return {key: natural(item, shape.members["value"].shape) for key, item in value.items()}
        case "float" | "double":
            return float(value)
        case "blob":
            return value.encode()
        case _:
            return value

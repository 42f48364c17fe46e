"""Functions on a running server, and what their environments have left on the machine."""

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROLE = "arn:aws:iam::111122223333:role/function"
PYTHON = f"python3.{sys.version_info[1]}"
PROVIDED = "provided.al2023"
WITHIN_S = 20.0


def package(files: Mapping[str, str]) -> bytes:
    """A deployment package; every file in it may be executed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    return content.getvalue()


def eventually(is_so: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """The first true value of something that comes about outside of this process."""
    deadline = time.monotonic() + within_s
    while True:
        value = is_so()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s: {value!r}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """What an invocation gave its caller."""

    status: int
    error: str | None
    body: bytes
    tail: str
    request_id: str

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[str]:
        return self.tail.splitlines()

    @property
    def report(self) -> str:
        return self.lines[-1]


@dataclass(frozen=True)
class Function:
    name: str
    client: Any

    def invoke(self, payload: Any = None, client: Any = None, **parameters: Any) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        given = (client or self.client).invoke(
            FunctionName=self.name, Payload=body, **{"LogType": "Tail", **parameters}
        )
        return Answer(
            given["StatusCode"],
            given.get("FunctionError"),
            given["Payload"].read(),
            base64.b64decode(given.get("LogResult", "")).decode("utf-8", "replace"),
            given["ResponseMetadata"]["RequestId"],
        )

    def update(self, **configuration: Any) -> None:
        self.client.update_function_configuration(FunctionName=self.name, **configuration)
        self.client.get_waiter("function_updated_v2").wait(FunctionName=self.name, WaiterConfig={"Delay": 0.02})


@dataclass
class Functions:
    """Makes functions, under names of their own, and takes them away."""

    client: Any
    made: list[Function] = field(default_factory=list)

    def create(
        self,
        files: Mapping[str, str] | str,
        runtime: str = PYTHON,
        handler: str = "app.handler",
        name: str = "",
        **configuration: Any,
    ) -> Function:
        """`files`, or the text of the one file that the handler is in."""
        if isinstance(files, str):
            suffix = {"p": ".py", "n": ".js"}[runtime[0]]
            files = {"bootstrap" if runtime == PROVIDED else handler.split(".")[0] + suffix: files}
        function = Function(name or f"f-{uuid.uuid4().hex[:12]}", self.client)
        self.client.create_function(
            FunctionName=function.name,
            Runtime=runtime,
            Handler=handler,
            Role=ROLE,
            Code={"ZipFile": package(files)},
            **configuration,
        )
        self.made.append(function)
        self.client.get_waiter("function_active_v2").wait(
            FunctionName=function.name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 6000}
        )
        return function

    def delete_all(self) -> None:
        for function in self.made:
            self.client.delete_function(FunctionName=function.name)
        self.made.clear()


# How sandboxes are booted ---------------------------------------------------------------------------------------------

BOOTED_ON_DEMAND = ("--preboot-memory-mib", "0")
BOOTING: dict[str, tuple[str, ...]] = {"booted ahead": (), "booted on demand": BOOTED_ON_DEMAND}
"""The two ways in which an environment comes to its sandbox, as arguments of a server; a test of environments has both.
A further server of such a test takes those of its `server` along."""


def assert_booted_as_told(server: Any, told_by: Any) -> None:
    """A further server that has run a function has nothing booted ahead where `told_by` does not boot so."""
    if BOOTED_ON_DEMAND[0] in told_by.arguments:
        assert not booted_ahead(server.data_dir)


# What is left ---------------------------------------------------------------------------------------------------------


def mark_of(data_dir: Path) -> str:
    """By which the sandboxes of a data directory are known on the machine."""
    return "lambent-" + hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:12]


def leftovers(data_dir: Path) -> set[str]:
    """What the environments of the data directory have on the machine now: their processes, control groups, mounts,
    loop devices and files. Empty when no environment lives; the server, idle, has nothing of it. What is booted ahead,
    and the /tmp that is made for the next sandbox, is nobody's yet, and not counted."""
    nobodys = len(booted_ahead(data_dir)) + has_tmp_made_ahead(data_dir)
    devices = sorted(loop_devices(data_dir))[nobodys:]
    return processes(data_dir) | control_groups(data_dir) | mounts(data_dir) | set(devices) | files(data_dir)


def booted_ahead(data_dir: Path) -> set[str]:
    """The names of the sandboxes that no function has yet: there are processes in their groups, and none of them sees
    a deployment package."""
    seen: dict[str, bool] = {}
    for process in Path("/proc").iterdir():
        try:
            named = re.search(rf"{mark_of(data_dir)}/(booted-\d+)", (process / "cgroup").read_text())
            if named is not None:
                sees = f"{data_dir}/packages/" in (process / "mountinfo").read_text()
                seen[named[1]] = seen.get(named[1], False) or sees
        except OSError:
            continue
    return {name for name, sees in seen.items() if not sees}


def has_tmp_made_ahead(data_dir: Path) -> bool:
    """Whether a launcher that lives has one, which is on a loop device."""
    devices = [device.partition(" ")[0] for device in loop_devices(data_dir)]
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            for line in (process / "mountinfo").read_text().splitlines() if devices else ():
                if "/tmp-spare-" in line and any(f" /dev/{device} " in line for device in devices):
                    return True
    return False


def assert_nothing_left(data_dir: Path, before: Collection[str] = ()) -> None:
    """Beyond what was there before, within the time that it takes to end an environment."""
    deadline = time.monotonic() + WITHIN_S
    while left := leftovers(data_dir).difference(before):
        assert time.monotonic() < deadline, sorted(left)
        time.sleep(0.02)


def processes(data_dir: Path) -> set[str]:
    """Those in the sandboxes' control groups, and those that see a deployment package of the data directory: where
    there are no control groups for us, the mount table tells whose a process is."""
    group, code = re.compile(rf"{mark_of(data_dir)}/([^/\s]+)"), f"{data_dir}/packages/"
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            place = group.search((process / "cgroup").read_text())
            if place is not None or code in (process / "mountinfo").read_text():
                # Not what it runs: the first process of a sandbox becomes another program.
                found[f"process {process.name}"] = place[1] if place is not None else ""
        except OSError:
            continue  # it has ended, or is another user's
    others = {"zygotes", *booted_ahead(data_dir)}  # what was born meanwhile is among them
    return {name for name, place in found.items() if place not in others}


def control_groups(data_dir: Path) -> set[str]:
    """The groups of its environments, in every hierarchy."""
    roots = Path("/sys/fs/cgroup")
    found = {
        group
        for own in (*roots.glob(mark_of(data_dir)), *roots.glob("*/" + mark_of(data_dir)), *_nested(data_dir))
        for group in own.iterdir()
        if group.is_dir()
    }
    others = {"zygotes", *booted_ahead(data_dir)}
    return {str(group) for group in found if group.name not in others}


def _nested(data_dir: Path) -> list[Path]:
    """The server's own groups where the test runs in a group that is not the root."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        path = line.split(":", 2)[2].lstrip("/")
        if path:
            found += list(Path("/sys/fs/cgroup").glob(f"{path}/{mark_of(data_dir)}"))
            found += list(Path("/sys/fs/cgroup").glob(f"*/{path}/{mark_of(data_dir)}"))
    return found


def mounts(data_dir: Path) -> set[str]:
    """In the machine's own mount table. The sandboxes have theirs in a namespace that ends with the launcher."""
    needles = (str(data_dir), mark_of(data_dir))
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line for line in table if any(needle in line for needle in needles) and " - cgroup" not in line}


def loop_devices(data_dir: Path) -> set[str]:
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            name = backing.read_text()
        except OSError:
            continue
        if str(data_dir) in name:
            found.add(f"{backing.parts[3]} of {name.strip()}")
    return found


def files(data_dir: Path) -> set[str]:
    """Beside the templates of disk images, one for each size of /tmp."""
    return {str(path) for path in (data_dir / "sandbox").glob("*") if not re.fullmatch(r"tmp-\d+\.ext4", path.name)}


def open_descriptors(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def descendants(process: int) -> list[int]:
    """The process and everything that it, or a child of it, has started and still has."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def living(known: list[int]) -> dict[int, str]:
    """Those of the processes that still run, with their commands. One that has ended and whose new parent, the
    machine's init, has not yet looked is not living."""
    found = {}
    for process in known:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                found[process] = Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found

"""A control plane with a real store on a real disk, whose operations a test calls directly."""

import asyncio
import io
import itertools
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lambent.control.dependencies import Control
from lambent.control.operations import operations
from lambent.control.preparation import Preparation
from lambent.core.caller import Caller
from lambent.core.function import FunctionVersion
from lambent.core.function_state import is_unfinished
from lambent.core.provisioned_concurrency import Progress
from lambent.core.snap_start import Snapshot
from lambent.store.changes import Change, VersionChanged
from lambent.store.metadata import MetadataStore
from lambent.store.packages import PackageStore
from lambent.testing.clock import ManualClock
from lambent.testing.runtimes import FakeRuntimes
from lambent.wire.call import Call, Reply

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/runner"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"


def zipped(**files: str) -> bytes:
    """An archive of these files; `app='...'` becomes app.py."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in (files or {"app": "def handler(event, context): return event\n"}).items():
            archive.writestr(zipfile.ZipInfo(f"{name}.py"), text)
    return buffer.getvalue()


def damaged() -> bytes:
    """Its directory is sound; what it holds is not what that promises."""
    archive = bytearray(zipped(app="x" * 100))
    archive[archive.index(b"x" * 100)] ^= 1
    return bytes(archive)


def creation(name: str = "echo", **members: Any) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": zipped()},
        **members,
    }


class NothingProvisioned:
    def progress(self, *_: Any) -> Progress:
        return Progress()


class ScriptedTemplates:
    """What comes of a version's template is what a test says; `gate` holds it back."""

    def __init__(self) -> None:
        self.outcome = Snapshot.MADE
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.was_given_up = asyncio.Event()
        self.dropped: list[str] = []

    async def make(self, version: FunctionVersion) -> Snapshot:
        self.asked.append(version.version)
        self.was_asked.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_given_up.set()
            raise
        return self.outcome

    def drop(self, version: FunctionVersion) -> None:
        self.dropped.append(version.version)


class Plane:
    def __init__(self, directory: Path) -> None:
        ids = itertools.count(1)
        self.clock = ManualClock()
        self.runtimes = FakeRuntimes()
        self.store = MetadataStore(directory / "metadata.sqlite")
        self.packages = PackageStore(directory / "packages")
        self._directory = directory / "packages"
        self.snapshots = ScriptedTemplates()
        self.deps = Control(
            store=self.store,
            packages=self.packages,
            clock=self.clock,
            new_id=lambda: f"id-{next(ids)}",
            code_link_secret=b"secret",
            concurrency_limit=1000,
            provisioned=NothingProvisioned(),
            snapshots=self.snapshots,
        )
        self.preparation = Preparation(self.deps, self.runtimes, parallel=2, retry_after_s=0)
        self.changes: list[Change] = []
        self._unfinished: set[tuple[str, str]] = set()
        self._heard = asyncio.Event()
        self.store.subscribe(self._hear)

    def _hear(self, change: Change) -> None:
        self.changes.append(change)
        if isinstance(change, VersionChanged):
            key = (change.current.function.name, change.current.version)
            if is_unfinished(change.current):
                self._unfinished.add(key)
            else:
                self._unfinished.discard(key)
        self._heard.set()

    async def settled(self) -> None:
        """Every preparation that was accepted has ended."""
        await self.heard(lambda: not self._unfinished)

    async def heard(self, condition: Callable[[], bool]) -> None:
        """The store has told of enough changes to make the condition true."""
        async with asyncio.timeout(20):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    def kept(self) -> list[Path]:
        """Of every package that is stored, the directory; and what is left of those that were under way."""
        return [path for path in self._directory.iterdir() if path.name != "incoming" or any(path.iterdir())]

    def overlook(self) -> None:
        """Do not wait for the preparations that are under way now."""
        self._unfinished.clear()

    async def reply(self, operation: str, account: str = ACCOUNT, **params: Any) -> Mapping[str, Any] | Reply:
        call = Call(
            service="lambda",
            operation=operation,
            params=params,
            caller=Caller(account, f"arn:aws:iam::{account}:root", account),
            region=REGION,
            partition="aws",
            request_id="request",
            endpoint="http://127.0.0.1:4566",
            headers={},
        )
        return await operations(self.deps)[operation](call)

    async def call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        answer = await self.reply(operation, **params)
        return answer.result if isinstance(answer, Reply) else answer

    async def active(self, name: str = "echo", **members: Any) -> Mapping[str, Any]:
        """A function that can run."""
        await self.call("CreateFunction", **creation(name, **members))
        await self.settled()
        return await self.call("GetFunctionConfiguration", FunctionName=name)


@asynccontextmanager
async def running(directory: Path, *, preparing: bool = True) -> AsyncIterator[Plane]:
    plane = Plane(directory)
    await plane.store.open()
    task = asyncio.create_task(plane.preparation.run()) if preparing else None
    try:
        yield plane
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await plane.store.close()
        await plane.packages.close()


def with_plane(scenario: Callable[[Plane], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a plane of its own."""
    directory = Path(tempfile.mkdtemp(prefix="lambent-test-", dir="/var/tmp"))

    async def main() -> None:
        async with running(directory) as plane:
            await scenario(plane)

    try:
        asyncio.run(main())
    finally:
        shutil.rmtree(directory)

"""The work between an accepted change and a function that can run: `State` and `LastUpdateStatus` follow it.

Whatever the store has as Pending or InProgress is prepared: its layers merged, its runtime made ready; then its record
is replaced, unless somebody changed it in the meantime. A version with SnapStart is initialised besides, which may take
minutes and keeps nobody else waiting. Its package was unpacked before it was accepted, and is once
more where the machine was started since. Work is taken from the store's own changes, and at start from what a killed
server left, so that nothing stays in between for ever.
"""

import asyncio
import logging
import sqlite3
from functools import partial

from msgspec.structs import replace

from lambent.control.dependencies import Control, Runtimes
from lambent.core.errors import ModelledError
from lambent.core.function import FunctionName, FunctionVersion, has_snap_start
from lambent.core.function_state import (
    Event,
    PreparationFailed,
    Prepared,
    is_unfinished,
    lifecycle_of,
    step,
)
from lambent.core.image import CAN_NOT_BE_RUN, CAN_NOT_BE_RUN_CODE
from lambent.core.snap_start import NotKept, Snapshot
from lambent.store import functions
from lambent.store.changes import Change, FunctionRemoved, VersionChanged, VersionRemoved
from lambent.store.metadata import WritingConnection
from lambent.worker.runtimes.launch import RuntimeUnavailable

_log = logging.getLogger(__name__)

PARALLEL = 4
RETRY_AFTER_S = 5
DEADLINE_S = 360
"""Developer guide, "Lambda function states": a function that is Pending for more than six minutes is given up."""


SNAPSHOT_DEADLINE_S = 1200
"""The longest initialisation for a snapshot takes 15 minutes; what is left is for a machine that can not start it."""

INIT_FAILED = PreparationFailed("An error occurred during function initialization.", "FunctionError")


class Preparation:
    """Owns the preparations in progress. `run` is the parent of their tasks."""

    def __init__(
        self, deps: Control, runtimes: Runtimes, *, parallel: int = PARALLEL, retry_after_s: float = RETRY_AFTER_S
    ) -> None:
        self._deps = deps
        self._runtimes = runtimes
        self._parallel = parallel
        self._retry_after_s = retry_after_s
        # As many as there are unfinished versions in the store: what bounds those bounds this.
        self._queue: asyncio.Queue[FunctionVersion] = asyncio.Queue()
        self._snapshots: dict[tuple[FunctionName, str], asyncio.Task[None]] = {}
        """The versions that are being initialised for their snapshot."""
        deps.store.subscribe(self._hear)

    async def run(self) -> None:
        """Prepare what is left from before, then whatever comes, until cancelled. The store must be open."""
        # What was heard already may be in it again: the second to finish finds the record changed, and leaves it.
        for version in await self._left_from_before():
            self._queue.put_nowait(version)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._parallel):
                group.create_task(self._work(group))

    def _hear(self, change: Change) -> None:
        if isinstance(change, VersionChanged) and is_unfinished(change.current):
            self._queue.put_nowait(change.current)
        elif isinstance(change, VersionRemoved | FunctionRemoved):
            for (function, version), task in self._snapshots.items():
                if function == change.function and (isinstance(change, FunctionRemoved) or version == change.version):
                    task.cancel()

    async def _left_from_before(self) -> list[FunctionVersion]:
        return await self._deps.store.read(
            lambda connection: [
                version
                for function, number in functions.unfinished(connection)
                if (version := functions.get(connection, function, number)) is not None
            ]
        )

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            version = await self._queue.get()
            event = await self._prepare(version)
            key = (version.function, version.version)
            if not isinstance(event, Prepared) or not has_snap_start(version):
                await self._finish(version, event)
            elif key not in self._snapshots:
                task = self._snapshots[key] = group.create_task(self._snapshot(version))
                task.add_done_callback(partial(self._snapshot_over, key))

    def _snapshot_over(self, key: tuple[FunctionName, str], _: asyncio.Task[None]) -> None:
        del self._snapshots[key]

    async def _snapshot(self, version: FunctionVersion) -> None:
        event: Event = Prepared()
        snapshot = Snapshot.FAILED
        try:
            async with asyncio.timeout(SNAPSHOT_DEADLINE_S):
                snapshot = await self._deps.snapshots.make(version)
        except TimeoutError:
            event = PreparationFailed(
                f"The function could not be initialized within {SNAPSHOT_DEADLINE_S} seconds.", "InternalError"
            )
        except NotKept as error:
            event = PreparationFailed(f"The snapshot of the function could not be made: {error}.", "InternalError")
        else:
            event = INIT_FAILED if snapshot is Snapshot.FAILED else Prepared()
        made = replace(version, snapshotted=snapshot is Snapshot.MADE)
        if not await self._finish(made, event) and not await self._is_there(version):
            self._deps.snapshots.drop(version)

    async def _is_there(self, version: FunctionVersion) -> bool:
        """Whether what was prepared is still there, in whatever state."""
        now = await self._deps.store.read(
            lambda connection: functions.get(connection, version.function, version.version)
        )
        return now is not None and now.config_revision == version.config_revision

    async def _prepare(self, version: FunctionVersion) -> Event:
        if version.image is not None:
            return PreparationFailed(CAN_NOT_BE_RUN, CAN_NOT_BE_RUN_CODE)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._deps.packages.unpack(version.package)
                if version.configuration.layers:
                    await self._deps.packages.merge([layer.package for layer in version.configuration.layers])
                await self._runtimes.prepare(version.configuration.runtime)
        except ModelledError as error:
            return PreparationFailed(error.message or error.code, "InvalidZipFileException")
        except RuntimeUnavailable as error:
            return PreparationFailed(str(error), "InvalidRuntime")
        except TimeoutError:
            return PreparationFailed(f"The preparation took longer than {DEADLINE_S} seconds.", "InternalError")
        except OSError as error:
            return PreparationFailed(f"The package could not be unpacked: {error.strerror}", "InternalError")
        except Exception as error:  # noqa: BLE001 the boundary: what a package brings about ends with its function
            _log.error("a preparation failed", exc_info=error, extra={"package": version.package.digest})
            return PreparationFailed("An internal error occurred.", "InternalError")
        return Prepared()

    async def _finish(self, version: FunctionVersion, event: Event) -> bool:
        """Write down what came of it. False where it is not what it was any more."""
        lifecycle = step(lifecycle_of(version), event)
        after = replace(
            version,
            revision_id=self._deps.new_id(),
            state=lifecycle.state,
            last_update=lifecycle.last_update,
        )

        def transaction(connection: WritingConnection) -> None:
            functions.replace(connection, after, expected_revision=version.revision_id)

        while True:
            try:
                await self._deps.store.run(transaction)
            except functions.RevisionMismatch:
                # Changed meanwhile, or deleted and created again: what it is now has a preparation of its own.
                return False
            except sqlite3.Error as error:
                # A full disk, most likely. The version must not stay in between for ever.
                _log.warning("a function's state could not be written", extra={"error": str(error)})
                await asyncio.sleep(self._retry_after_s)
            else:
                return True

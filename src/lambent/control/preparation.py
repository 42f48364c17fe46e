"""The work between an accepted change and a function that can run: `State` and `LastUpdateStatus` follow it.

Whatever the store has as Pending or InProgress is prepared: its layers merged, its runtime made ready; then its record
is replaced, unless somebody changed it in the meantime. Its package was unpacked before it was accepted, and is once
more where the machine was started since. Work is taken from the store's own changes, and at start from what a killed
server left, so that nothing stays in between for ever.
"""

import asyncio
import logging
import sqlite3

from msgspec.structs import replace

from lambent.control.dependencies import Control, Runtimes
from lambent.core.errors import ModelledError
from lambent.core.function import FunctionVersion
from lambent.core.function_state import (
    Event,
    PreparationFailed,
    Prepared,
    is_unfinished,
    lifecycle_of,
    step,
)
from lambent.core.image import CAN_NOT_BE_RUN, CAN_NOT_BE_RUN_CODE
from lambent.store import functions
from lambent.store.changes import Change, VersionChanged
from lambent.store.metadata import WritingConnection
from lambent.worker.runtimes.launch import RuntimeUnavailable

_log = logging.getLogger(__name__)

PARALLEL = 4
RETRY_AFTER_S = 5
DEADLINE_S = 360
"""Developer guide, "Lambda function states": a function that is Pending for more than six minutes is given up."""


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
        deps.store.subscribe(self._hear)

    async def run(self) -> None:
        """Prepare what is left from before, then whatever comes, until cancelled. The store must be open."""
        # What was heard already may be in it again: the second to finish finds the record changed, and leaves it.
        for version in await self._left_from_before():
            self._queue.put_nowait(version)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._parallel):
                group.create_task(self._work())

    def _hear(self, change: Change) -> None:
        if isinstance(change, VersionChanged) and is_unfinished(change.current):
            self._queue.put_nowait(change.current)

    async def _left_from_before(self) -> list[FunctionVersion]:
        return await self._deps.store.read(
            lambda connection: [
                version
                for function, number in functions.unfinished(connection)
                if (version := functions.get(connection, function, number)) is not None
            ]
        )

    async def _work(self) -> None:
        while True:
            version = await self._queue.get()
            await self._finish(version, await self._prepare(version))

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

    async def _finish(self, version: FunctionVersion, event: Event) -> None:
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
                return await self._deps.store.run(transaction)
            except functions.RevisionMismatch:
                # Changed meanwhile, or deleted and created again: what it is now has a preparation of its own.
                return None
            except sqlite3.Error as error:
                # A full disk, most likely. The version must not stay in between for ever.
                _log.warning("a function's state could not be written", extra={"error": str(error)})
                await asyncio.sleep(self._retry_after_s)

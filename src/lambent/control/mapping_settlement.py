"""The work between an accepted change of an event source mapping and the state that it leads to.

Sources have no pollers yet, so nothing has to be started or stopped for a mapping: what settles its state is that the
store has it, durably. A mapping in state Enabled is one that would be polled. Work is taken from the store's own
changes, and at start from what a killed server left, so that nothing stays in between for ever.
"""

import asyncio
import logging
import sqlite3

from msgspec.structs import replace

from lambent.control.dependencies import Control
from lambent.core.event_source import EventSourceMapping
from lambent.core.event_source_state import State, is_unfinished, settling, step
from lambent.store import event_source_mappings
from lambent.store.changes import Change, MappingChanged
from lambent.store.metadata import WritingConnection

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 5


class MappingSettlement:
    """Owns the way out of every unfinished state."""

    def __init__(self, deps: Control, *, retry_after_s: float = RETRY_AFTER_S) -> None:
        self._deps = deps
        self._retry_after_s = retry_after_s
        # As many as there are unfinished mappings in the store: what bounds those bounds this.
        self._queue: asyncio.Queue[EventSourceMapping] = asyncio.Queue()
        deps.store.subscribe(self._hear)

    async def run(self) -> None:
        """Settle what is left from before, then whatever comes, until cancelled. The store must be open."""
        for mapping in await self._deps.store.read(event_source_mappings.unfinished):
            self._queue.put_nowait(mapping)
        while True:
            await self._settle(await self._queue.get())

    def _hear(self, change: Change) -> None:
        if isinstance(change, MappingChanged) and is_unfinished(change.mapping.state):
            self._queue.put_nowait(change.mapping)

    async def _settle(self, heard: EventSourceMapping) -> None:
        function = heard.function

        def transaction(connection: WritingConnection) -> None:
            mapping = event_source_mappings.get(connection, function.account, function.region, heard.uuid)
            if mapping is None or not is_unfinished(mapping.state):
                # Settled by an earlier turn: it was heard of twice.
                return
            state = step(mapping.state, settling(mapping.state, enabled=mapping.enabled))
            if state is State.GONE:
                event_source_mappings.delete(connection, mapping)
            else:
                settled = replace(mapping, state=state, modified_ms=self._deps.clock.wall_ms())
                event_source_mappings.replace(connection, settled)

        while True:
            try:
                return await self._deps.store.run(transaction)
            except sqlite3.Error as error:
                # A full disk, most likely. The mapping must not stay in between for ever.
                _log.warning("a mapping's state could not be written", extra={"error": str(error)})
                await asyncio.sleep(self._retry_after_s)

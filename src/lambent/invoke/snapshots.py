"""Templates of versions with SnapStart, as the control plane asks for them."""

from dataclasses import dataclass

from lambent.core.function import FunctionVersion
from lambent.core.snap_start import Snapshot
from lambent.invoke.configuration import serving_of
from lambent.invoke.dispatcher import Dispatcher


@dataclass(frozen=True, slots=True)
class TemplatesOfVersions:
    dispatcher: Dispatcher

    async def make(self, version: FunctionVersion) -> Snapshot:
        return await self.dispatcher.snapshot(serving_of(version))

    def drop(self, version: FunctionVersion) -> None:
        self.dispatcher.supersede(serving_of(version).pool_id)

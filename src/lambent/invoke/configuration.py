"""What the data plane knows of the functions: an immutable snapshot per version, and the aliases, held in memory.

The store feeds its changes in here; an invocation reads nothing else. Owns no decision: `frontend` interprets.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lambent.core.alias import Alias
from lambent.core.arn import function_arn
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.store.changes import (
    AliasChanged,
    AliasRemoved,
    Change,
    FunctionRemoved,
    ReservationChanged,
    VersionChanged,
    VersionRemoved,
)


@dataclass(frozen=True, slots=True)
class Serving:
    """A version that can run, with what each invocation of it needs already computed."""

    version: FunctionVersion
    pool_id: str
    arn: str
    """Unqualified."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version as it is known: `serving` is None while nothing of it can run."""

    current: FunctionVersion
    serving: Serving | None

    def serving_pool(self) -> str | None:
        return None if self.serving is None else self.serving.pool_id


def _serving(version: FunctionVersion) -> Serving:
    function = version.function
    pool_id = "/".join((function.account, function.region, function.name, version.version, version.config_revision))
    return Serving(version, pool_id, function_arn(function))


class ServingConfiguration:
    """Snapshots by function and version, aliases by function and name.

    `on_superseded` is told the pool that gets no invocation any more, `on_reservation` what concurrency a function has
    reserved, `on_removed` the function that is gone.
    """

    def __init__(self) -> None:
        self._functions: dict[FunctionName, dict[str, Snapshot]] = {}
        self._aliases: dict[FunctionName, dict[str, Alias]] = {}
        self.on_superseded: Callable[[str], None] = lambda _pool_id: None
        self.on_reservation: Callable[[FunctionName, int | None], None] = lambda _function, _reserved: None
        self.on_removed: Callable[[FunctionName], None] = lambda _function: None

    def apply(self, change: Change) -> None:
        match change:
            case VersionChanged(current, serving):
                versions = self._functions.setdefault(current.function, {})
                before = versions.get(current.version)
                after = None if serving is None else _serving(serving)
                if before is not None and (after is None or before.serving_pool() != after.pool_id):
                    self._supersede(before)
                versions[current.version] = Snapshot(current, after)
            case VersionRemoved(function, version):
                snapshot = self._functions.get(function, {}).pop(version, None)
                self._supersede(snapshot)
            case FunctionRemoved(function):
                self._aliases.pop(function, None)
                for snapshot in self._functions.pop(function, {}).values():
                    self._supersede(snapshot)
                self.on_removed(function)
            case ReservationChanged(function, reserved):
                self.on_reservation(function, reserved)
            case AliasChanged(alias):
                self._aliases.setdefault(alias.function, {})[alias.name] = alias
            case AliasRemoved(function, name):
                self._aliases.get(function, {}).pop(name, None)

    def _supersede(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None and snapshot.serving is not None:
            self.on_superseded(snapshot.serving.pool_id)

    def find(self, function: FunctionName, version: str = LATEST) -> Snapshot | None:
        versions = self._functions.get(function)
        return None if versions is None else versions.get(version)

    def alias(self, function: FunctionName, name: str) -> Alias | None:
        """No version has a name that an alias may have."""
        aliases = self._aliases.get(function)
        return None if aliases is None else aliases.get(name)

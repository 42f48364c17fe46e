"""What the data plane knows of the functions: an immutable snapshot per version, the aliases, what is reserved, and how
asynchronous invocations are to be treated, held in memory.

The store feeds its changes in here; an invocation reads nothing else. Owns no decision: `frontend` interprets.
"""

from collections.abc import Callable

from lambent.core.alias import Alias
from lambent.core.arn import function_arn
from lambent.core.assignment import tenant_pool
from lambent.core.event_invoke import EventInvokeConfig
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.core.provisioned_concurrency import shares
from lambent.core.record import Record
from lambent.store.changes import (
    AliasChanged,
    AliasRemoved,
    Change,
    EventInvokeChanged,
    EventInvokeRemoved,
    FunctionRemoved,
    MappingChanged,
    MappingRemoved,
    ProvisioningChanged,
    ProvisioningRemoved,
    ReservationChanged,
    VersionChanged,
    VersionRemoved,
)


class Serving(Record, frozen=True):
    """A version that can run, with what each invocation of it needs already computed."""

    version: FunctionVersion
    pool_id: str
    arn: str
    """Unqualified."""
    tenant_id: str | None = None
    """Whose environments serve, where the function keeps its tenants apart."""

    def for_tenant(self, tenant_id: str) -> "Serving":
        return Serving(self.version, tenant_pool(self.pool_id, tenant_id), self.arn, tenant_id)


class Snapshot(Record, frozen=True):
    """A version as it is known: `serving` is None while nothing of it can run."""

    current: FunctionVersion
    serving: Serving | None

    def serving_pool(self) -> str | None:
        return None if self.serving is None else self.serving.pool_id


def serving_of(version: FunctionVersion) -> Serving:
    function = version.function
    pool_id = "/".join((function.account, function.region, function.name, version.version, version.config_revision))
    return Serving(version, pool_id, function_arn(function))


def version_of_pool(pool_id: str) -> tuple[FunctionName, str]:
    """The function and version that a pool's environments are of, those of a tenant as well."""
    account, region, name, version, _ = pool_id.split("/", 4)
    return FunctionName(account, region, name), version


class ServingConfiguration:
    """Snapshots by function and version, aliases by function and name.

    `on_superseded` is told the pool that gets no invocation any more, `on_reservation` what concurrency a function has
    reserved, `on_event_invoke` the function of whose events it is said anew what becomes of them, `on_provisioned` how
    many environments of a version are to be initialised ahead of need (told again when it is as before),
    `on_snapshotted` the version whose environments are restored from a template, `on_removed` the function that is
    gone.
    """

    def __init__(self) -> None:
        self._functions: dict[FunctionName, dict[str, Snapshot]] = {}
        self._aliases: dict[FunctionName, dict[str, Alias]] = {}
        self._reserved: dict[FunctionName, int] = {}
        self._event_invoke: dict[FunctionName, dict[str, EventInvokeConfig]] = {}
        """By qualifier."""
        self.on_superseded: Callable[[str], None] = lambda _pool_id: None
        self.on_event_invoke: Callable[[FunctionName], None] = lambda _function: None
        self.on_reservation: Callable[[FunctionName, int | None], None] = lambda _function, _reserved: None
        self._provisioned: dict[FunctionName, dict[str, int]] = {}
        """The settings, by qualifier."""
        self._ahead: dict[FunctionName, dict[str, Serving]] = {}
        """What `on_provisioned` was told of, by pool."""
        self.on_provisioned: Callable[[Serving, int], None] = lambda _serving, _count: None
        self.on_removed: Callable[[FunctionName], None] = lambda _function: None
        self.on_snapshotted: Callable[[Serving], None] = lambda _serving: None

    def apply(self, change: Change) -> None:
        match change:
            case VersionChanged(current, serving):
                versions = self._functions.setdefault(current.function, {})
                before = versions.get(current.version)
                after = None if serving is None else serving_of(serving)
                if before is not None and (after is None or before.serving_pool() != after.pool_id):
                    self._supersede(before)
                versions[current.version] = Snapshot(current, after)
                # What can not be run without its variables is not initialised without them.
                if after is not None and after.version.snapshotted and after.version.configuration.unreadable is None:
                    self.on_snapshotted(after)
                self._provision(current.function)
            case VersionRemoved(function, version):
                snapshot = self._functions.get(function, {}).pop(version, None)
                self._supersede(snapshot)
                self._unprovision(function, version)
                self._forget_event_invoke(function, version)
            case FunctionRemoved(function):
                self._aliases.pop(function, None)
                self._provisioned.pop(function, None)
                self._reserved.pop(function, None)
                self._event_invoke.pop(function, None)
                self._provision(function)
                for snapshot in self._functions.pop(function, {}).values():
                    self._supersede(snapshot)
                self.on_removed(function)
            case ReservationChanged(function, reserved):
                if reserved is None:
                    self._reserved.pop(function, None)
                else:
                    self._reserved[function] = reserved
                self.on_reservation(function, reserved)
            case AliasChanged(alias):
                self._aliases.setdefault(alias.function, {})[alias.name] = alias
                self._provision(alias.function)
            case AliasRemoved(function, name):
                self._aliases.get(function, {}).pop(name, None)
                self._unprovision(function, name)
                self._forget_event_invoke(function, name)
            case EventInvokeChanged(config):
                self._event_invoke.setdefault(config.function, {})[config.qualifier] = config
                self.on_event_invoke(config.function)
            case EventInvokeRemoved(function, qualifier):
                self._forget_event_invoke(function, qualifier)
            case MappingChanged() | MappingRemoved():
                pass  # what is invoked is the same, whoever has it invoked
            case ProvisioningChanged(setting):
                self._provisioned.setdefault(setting.function, {})[setting.qualifier] = setting.count
                self._provision(setting.function)
            case ProvisioningRemoved(function, qualifier):
                self._unprovision(function, qualifier)

    def _forget_event_invoke(self, function: FunctionName, qualifier: str) -> None:
        configs = self._event_invoke.get(function)
        if configs is None or configs.pop(qualifier, None) is None:
            return
        if not configs:
            del self._event_invoke[function]
        self.on_event_invoke(function)

    def _unprovision(self, function: FunctionName, qualifier: str) -> None:
        settings = self._provisioned.get(function)
        if settings is None or settings.pop(qualifier, None) is None:
            return
        self._provision(function)
        if not settings:
            del self._provisioned[function]

    def _provision(self, function: FunctionName) -> None:
        """Tell what environments of the function are to be initialised ahead, after whatever may have changed it."""
        before = self._ahead.pop(function, {})
        wanted: dict[str, tuple[Serving, int]] = {}
        for qualifier in self._provisioned.get(function, ()):
            for version, count in self.provisioned_versions(function, qualifier).items():
                snapshot = self.find(function, version)
                if count and snapshot is not None and snapshot.serving is not None:
                    wanted[snapshot.serving.pool_id] = (snapshot.serving, count)
        for pool_id, serving in before.items():
            if pool_id not in wanted:
                self.on_provisioned(serving, 0)
        if wanted:
            self._ahead[function] = {pool_id: serving for pool_id, (serving, _) in wanted.items()}
        for serving, count in wanted.values():
            self.on_provisioned(serving, count)

    def provisioned_versions(self, function: FunctionName, qualifier: str) -> dict[str, int]:
        """How many environments the setting for the qualifier wants of which version. Empty where there is none."""
        count = self._provisioned.get(function, {}).get(qualifier)
        return {} if count is None else shares(count, qualifier, self.alias(function, qualifier))

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

    def reserved(self, function: FunctionName) -> int | None:
        """The concurrency that the function has for itself, or None."""
        return self._reserved.get(function)

    def event_invoke(self, function: FunctionName, qualifier: str | None) -> EventInvokeConfig:
        """What was configured for asynchronous invocations by the qualifier, else the defaults."""
        config = self._event_invoke.get(function, {}).get(qualifier or LATEST)
        return config or EventInvokeConfig(function, qualifier or LATEST, 0)

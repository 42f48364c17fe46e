"""What a transaction changed, as those who act on it want to know it."""

from dataclasses import dataclass

from lambent.core.alias import Alias
from lambent.core.event_source import EventSourceMapping
from lambent.core.function import FunctionName, FunctionVersion
from lambent.core.provisioned_concurrency import ProvisionedConcurrency


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """A version is new or different. `current` is what the API shows. `serving` is what invocations run: the last
    good record, so the same one except while an update is in progress or has failed; None until a creation is done."""

    current: FunctionVersion
    serving: FunctionVersion | None


@dataclass(frozen=True, slots=True)
class VersionRemoved:
    """A version is gone, and what was provisioned for it."""

    function: FunctionName
    version: str


@dataclass(frozen=True, slots=True)
class FunctionRemoved:
    """The function is gone, with all its versions and aliases, and what was reserved and
    provisioned."""

    function: FunctionName


@dataclass(frozen=True, slots=True)
class AliasChanged:
    """An alias is new or different. The versions that it names are there."""

    alias: Alias


@dataclass(frozen=True, slots=True)
class AliasRemoved:
    """An alias is gone, and what was provisioned for it."""

    function: FunctionName
    name: str


@dataclass(frozen=True, slots=True)
class MappingChanged:
    """An event source mapping is new or different."""

    mapping: EventSourceMapping


@dataclass(frozen=True, slots=True)
class MappingRemoved:
    """An event source mapping is gone. `mapping` is the last that there was of it."""

    mapping: EventSourceMapping


@dataclass(frozen=True, slots=True)
class ReservationChanged:
    """The function, which is there, has reserved so much concurrency, or none."""

    function: FunctionName
    reserved: int | None


@dataclass(frozen=True, slots=True)
class ProvisioningChanged:
    """A version or alias, which is there, has this provisioned concurrency."""

    setting: ProvisionedConcurrency


@dataclass(frozen=True, slots=True)
class ProvisioningRemoved:
    function: FunctionName
    qualifier: str


Change = (
    VersionChanged
    | VersionRemoved
    | FunctionRemoved
    | AliasChanged
    | AliasRemoved
    | MappingChanged
    | MappingRemoved
    | ReservationChanged
    | ProvisioningChanged
    | ProvisioningRemoved
)

"""What a transaction changed, as those who act on it want to know it."""

from lambent.core.alias import Alias
from lambent.core.event_invoke import EventInvokeConfig
from lambent.core.event_source import EventSourceMapping
from lambent.core.function import FunctionName, FunctionVersion
from lambent.core.provisioned_concurrency import ProvisionedConcurrency
from lambent.core.record import Record


class VersionChanged(Record, frozen=True):
    """A version is new or different. `current` is what the API shows. `serving` is what invocations run: the last
    good record, so the same one except while an update is in progress or has failed; None until a creation is done."""

    current: FunctionVersion
    serving: FunctionVersion | None


class VersionRemoved(Record, frozen=True):
    """A version is gone, and what was provisioned for it."""

    function: FunctionName
    version: str


class FunctionRemoved(Record, frozen=True):
    """The function is gone, with all its versions and aliases, and what was reserved and
    provisioned."""

    function: FunctionName


class AliasChanged(Record, frozen=True):
    """An alias is new or different. The versions that it names are there."""

    alias: Alias


class AliasRemoved(Record, frozen=True):
    """An alias is gone, and what was provisioned for it."""

    function: FunctionName
    name: str


class MappingChanged(Record, frozen=True):
    """An event source mapping is new or different."""

    mapping: EventSourceMapping


class MappingRemoved(Record, frozen=True):
    """An event source mapping is gone. `mapping` is the last that there was of it."""

    mapping: EventSourceMapping


class ReservationChanged(Record, frozen=True):
    """The function, which is there, has reserved so much concurrency, or none."""

    function: FunctionName
    reserved: int | None


class ProvisioningChanged(Record, frozen=True):
    """A version or alias, which is there, has this provisioned concurrency."""

    setting: ProvisionedConcurrency


class ProvisioningRemoved(Record, frozen=True):
    function: FunctionName
    qualifier: str


class EventInvokeChanged(Record, frozen=True):
    """How asynchronous invocations by a version or alias, which is there, are to be treated."""

    config: EventInvokeConfig


class EventInvokeRemoved(Record, frozen=True):
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
    | EventInvokeChanged
    | EventInvokeRemoved
)

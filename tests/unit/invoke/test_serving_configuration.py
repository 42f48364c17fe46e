from msgspec.structs import replace

from lambent.core.alias import Alias, Routing
from lambent.core.event_invoke import EventInvokeConfig
from lambent.core.function import LATEST, Configuration, FunctionName, FunctionVersion, Logging, Package
from lambent.core.function_state import PUBLISHED
from lambent.core.provisioned_concurrency import ProvisionedConcurrency
from lambent.invoke.configuration import Serving, ServingConfiguration
from lambent.store.changes import (
    AliasChanged,
    AliasRemoved,
    Change,
    EventInvokeChanged,
    EventInvokeRemoved,
    FunctionRemoved,
    ProvisioningChanged,
    ProvisioningRemoved,
    ReservationChanged,
    VersionChanged,
    VersionRemoved,
)

FUNCTION = FunctionName("123456789012", "eu-west-1", "echo")
LIVE = Alias(FUNCTION, "live", "1", "r1")


def version(number: str = LATEST) -> FunctionVersion:
    return FunctionVersion(
        function=FUNCTION,
        version=number,
        configuration=Configuration("role", "python3.13", "app.handler", logging=Logging("/g")),
        package=Package("d1", 10),
        architectures=("x86_64",),
        revision_id="r1",
        config_revision="c1",
        last_modified_ms=0,
        state=PUBLISHED.state,
        last_update=PUBLISHED.last_update,
    )


def test_an_alias_is_what_the_last_change_made_it() -> None:
    known = ServingConfiguration()
    assert known.alias(FUNCTION, "live") is None
    known.apply(AliasChanged(LIVE))
    moved = replace(LIVE, version="2")
    known.apply(AliasChanged(moved))
    assert known.alias(FUNCTION, "live") == moved
    assert known.alias(FunctionName("000000000000", FUNCTION.region, FUNCTION.name), "live") is None
    assert known.alias(FUNCTION, "1") is None
    known.apply(AliasRemoved(FUNCTION, "live"))
    assert known.alias(FUNCTION, "live") is None


def test_a_function_that_is_gone_has_no_alias_and_one_of_its_name_begins_without() -> None:
    known = ServingConfiguration()
    known.apply(VersionChanged(version(), version()))
    known.apply(VersionChanged(version("1"), version("1")))
    known.apply(AliasChanged(LIVE))
    known.apply(FunctionRemoved(FUNCTION))
    known.apply(VersionChanged(version(), version()))
    assert known.find(FUNCTION) is not None
    assert known.find(FUNCTION, "1") is None
    assert known.alias(FUNCTION, "live") is None


def test_reservations_and_the_end_of_functions_are_handed_on() -> None:
    known = ServingConfiguration()
    told: list[object] = []
    known.on_reservation = lambda function, reserved: told.append((function, reserved))
    known.on_removed = told.append
    known.apply(VersionChanged(version(), version()))
    known.apply(ReservationChanged(FUNCTION, 5))
    known.apply(ReservationChanged(FUNCTION, None))
    known.apply(FunctionRemoved(FUNCTION))
    assert told == [(FUNCTION, 5), (FUNCTION, None), FUNCTION]


def test_asynchronous_invocations_are_configured_by_qualifier_until_that_is_gone() -> None:
    known = ServingConfiguration()
    configs = {name: EventInvokeConfig(FUNCTION, name, 7) for name in (LATEST, "1", "live")}

    def configured() -> set[str]:
        return {name for name, config in configs.items() if known.event_invoke(FUNCTION, name) == config}

    for config in configs.values():
        known.apply(EventInvokeChanged(config))
    assert configured() == {LATEST, "1", "live"}
    known.apply(EventInvokeRemoved(FUNCTION, LATEST))
    assert configured() == {"1", "live"}
    known.apply(AliasRemoved(FUNCTION, "live"))
    assert configured() == {"1"}
    known.apply(VersionRemoved(FUNCTION, "1"))
    assert configured() == set()
    known.apply(EventInvokeChanged(configs[LATEST]))
    known.apply(ReservationChanged(FUNCTION, 0))
    assert known.reserved(FUNCTION) == 0
    known.apply(FunctionRemoved(FUNCTION))
    assert (configured(), known.reserved(FUNCTION)) == (set(), None)


class Provisioned:
    """What a configuration has told of provisioned concurrency, by version."""

    def __init__(self) -> None:
        self.known = ServingConfiguration()
        self.known.on_provisioned = self.hear
        self.counts: dict[str, int] = {}
        for number in ("1", "2"):
            self.known.apply(VersionChanged(version(number), version(number)))

    def hear(self, serving: Serving, count: int) -> None:
        self.counts[serving.version.version] = count

    def after(self, *changes: Change) -> dict[str, int]:
        """What is provisioned then."""
        for change in changes:
            self.known.apply(change)
        return {number: count for number, count in self.counts.items() if count}


def provisioned(qualifier: str, count: int) -> ProvisioningChanged:
    return ProvisioningChanged(ProvisionedConcurrency(FUNCTION, qualifier, count, 0))


def test_what_is_provisioned_for_a_version_ends_with_the_setting_the_version_or_the_function() -> None:
    for end in (ProvisioningRemoved(FUNCTION, "1"), VersionRemoved(FUNCTION, "1"), FunctionRemoved(FUNCTION)):
        told = Provisioned()
        assert told.after(provisioned("1", 3)) == {"1": 3}
        assert told.after(end) == {}
        assert told.known.provisioned_versions(FUNCTION, "1") == {}


def test_what_is_provisioned_for_an_alias_follows_it() -> None:
    told = Provisioned()
    assert told.after(AliasChanged(LIVE), provisioned("live", 4)) == {"1": 4}
    assert told.after(AliasChanged(replace(LIVE, version="2"))) == {"2": 4}
    assert told.after(AliasChanged(replace(LIVE, routing=Routing("2", 0.25)))) == {"1": 3, "2": 1}
    assert told.after(AliasRemoved(FUNCTION, "live")) == {}


def test_a_version_that_can_not_run_yet_is_provisioned_when_it_can() -> None:
    told = Provisioned()
    assert told.after(VersionChanged(version("3"), None), provisioned("3", 2)) == {}
    assert told.after(VersionChanged(version("3"), version("3"))) == {"3": 2}

from dataclasses import replace

from lambent.core.alias import Alias
from lambent.core.function import LATEST, Configuration, FunctionName, FunctionVersion, Logging, Package
from lambent.core.function_state import PUBLISHED
from lambent.invoke.configuration import ServingConfiguration
from lambent.store.changes import AliasChanged, AliasRemoved, FunctionRemoved, VersionChanged

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

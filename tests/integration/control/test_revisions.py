"""RevisionId: every change that can be made on condition that nobody else has made one, as boto3 makes it."""

from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from lambda_api import Refusal, clients, make_function, reconfigure, refusal, settle, shape, status, unique
from lambda_requests import World, make, method, requests
from stored_state import StoredState, changes, stored_state

MODEL = botocore.session.get_session().get_service_model("lambda")
ANOTHER = "00000000-0000-4000-8000-000000000000"


def of_function(api: Any, world: World) -> str:
    return str(api.get_function_configuration(FunctionName=world.function)["RevisionId"])


def of_alias(api: Any, world: World) -> str:
    return str(api.get_alias(FunctionName=world.function, Name=world.alias)["RevisionId"])


def of_policy(api: Any, world: World) -> str:
    return str(api.get_policy(FunctionName=world.function)["RevisionId"])


def of_alias_policy(api: Any, world: World) -> str:
    return str(api.get_resource_policy(ResourceArn=world.alias_arn)["RevisionId"])


def of_layer_policy(api: Any, world: World) -> str:
    return str(api.get_layer_version_policy(LayerName=world.layer, VersionNumber=1)["RevisionId"])


CONDITIONAL: dict[str, tuple[Callable[[Any, World], str], str]] = {
    "PublishVersion": (of_function, "GetFunction/GetAlias"),
    "UpdateFunctionCode": (of_function, "GetFunction/GetAlias"),
    "UpdateFunctionConfiguration": (of_function, "GetFunction/GetAlias"),
    "UpdateAlias": (of_alias, "GetFunction/GetAlias"),
    "AddPermission": (of_policy, "GetPolicy"),
    "RemovePermission": (of_policy, "GetPolicy"),
    "PutResourcePolicy": (of_alias_policy, "GetResourcePolicy"),
    "DeleteResourcePolicy": (of_alias_policy, "GetResourcePolicy"),
    "AddLayerVersionPermission": (of_layer_policy, "GetLayerPolicy"),
    "RemoveLayerVersionPermission": (of_layer_policy, "GetLayerPolicy"),
}
"""Whose revision is meant, and by which operation AWS's refusal says that it is to be had."""


def stale(getter: str) -> Refusal:
    return Refusal(
        412,
        "PreconditionFailedException",
        f"The Revision Id provided does not match the latest Revision Id. Call the {getter} API to retrieve the "
        "latest Revision Id",
        "User",
    )


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """Nobody else changes what it has."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def api(own_server: Any) -> Any:
    return clients(own_server)


@pytest.fixture
def world(api: Any) -> World:
    """With something to publish."""
    world = World()
    make(api, world)
    reconfigure(api, world.function, Description="not published")
    return world


@pytest.fixture
def stored(own_server: Any) -> Iterator[StoredState]:
    with stored_state(own_server.data_dir) as state:
        yield state


def test_every_operation_with_a_revision_is_here() -> None:
    assert sorted(CONDITIONAL) == sorted(
        name
        for name in requests(World(), World())
        if (given := MODEL.operation_model(name).input_shape) is not None and "RevisionId" in given.members
    )


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_change_is_made_to_the_revision_that_its_caller_has_seen_and_to_no_other(
    api: Any, world: World, stored: StoredState, name: str
) -> None:
    revision_of, getter = CONDITIONAL[name]
    operation, params = getattr(api, method(name)), requests(world, World())[name]
    before = stored.at_rest()
    seen = revision_of(api, world)
    others = {of(api, world) for of, _ in CONDITIONAL.values()} - {seen}
    assert len(others) == 4
    for revision in (ANOTHER, *sorted(others)):
        assert refusal(operation, **params, RevisionId=revision) == stale(getter)
    assert changes(before, stored.rows()) == {}
    assert status(operation(**params, RevisionId=seen)) in (200, 201, 204)
    assert changes(before, stored.at_rest()) != {}


@pytest.mark.parametrize("name", ["UpdateFunctionConfiguration", "UpdateAlias", "PutResourcePolicy"])
def test_a_revision_is_good_for_one_change(api: Any, world: World, stored: StoredState, name: str) -> None:
    revision_of, getter = CONDITIONAL[name]
    operation, params = getattr(api, method(name)), requests(world, World())[name]
    stored.at_rest()
    seen = revision_of(api, world)
    told = operation(**params, RevisionId=seen)["RevisionId"]
    before = stored.at_rest()
    assert refusal(operation, **params, RevisionId=seen) == stale(getter)
    if revision_of is of_function:
        # That the update has ended is a change of its own.
        assert refusal(operation, **params, RevisionId=told) == stale(getter)
    else:
        assert revision_of(api, world) == told
    assert changes(before, stored.rows()) == {}


def test_a_dry_run_is_held_to_the_revision_too(api: Any, world: World, stored: StoredState) -> None:
    before = stored.at_rest()
    params = {**requests(world, World())["UpdateFunctionCode"], "DryRun": True}
    assert refusal(api.update_function_code, **params, RevisionId=ANOTHER) == stale("GetFunction/GetAlias")
    assert status(api.update_function_code(**params, RevisionId=of_function(api, world))) == 200
    assert changes(before, stored.rows()) == {}


def test_every_step_of_a_functions_life_is_a_new_revision(api: Any) -> None:
    name = unique("stepping")

    def revision(qualifier: str = "$LATEST") -> str:
        return str(api.get_function_configuration(FunctionName=name, Qualifier=qualifier)["RevisionId"])

    make_function(api, name)
    latest = [revision()]
    # One that changes nothing is an update like any other.
    for members in ({"Timeout": 9}, {"Timeout": 9}):
        latest.append(api.update_function_configuration(FunctionName=name, **members)["RevisionId"])
        settle(api, name)
        latest.append(revision())
    first = api.publish_version(FunctionName=name)
    latest.append(revision())
    assert len({*latest, first["RevisionId"]}) == len(latest) + 1
    # Nothing is there to publish: neither is changed.
    assert shape(api.publish_version(FunctionName=name)) == shape(first)
    assert revision() == latest[-1]
    reconfigure(api, name, Description="other")
    api.publish_version(FunctionName=name)
    assert revision("1") == first["RevisionId"]
    api.delete_function(FunctionName=name)

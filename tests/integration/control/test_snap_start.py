"""The setting SnapStart as boto3 makes it, against a running server: what a function must be to have it, and what its
versions can not have besides."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import ROLE, invalid, make_function, refusal, shape, unique, zipped
from live_functions import eventually

ON = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
OFF = {"SnapStart": {"ApplyOn": "None"}}
NOT_WITH_PROVISIONED = invalid(
    "Provisioned Concurrency Configs cannot be applied to SnapStart enabled function versions."
)
TOO_LARGE = invalid("Ephemeral storage larger than 512 MB is not supported for SnapStart enabled functions.")


def not_of(runtime: str) -> Any:
    return invalid(f"{runtime} is not supported for SnapStart enabled functions.")


@pytest.fixture
def function(api: Any) -> Iterator[str]:
    """Of a runtime that can have it. Whether the machine has that runtime does not matter."""
    name = unique("snapped")
    made = api.create_function(
        FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="app.handler", Code={"ZipFile": zipped()}, **ON
    )
    assert made["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    prepared(api, name)
    yield name
    api.delete_function(FunctionName=name)


def prepared(api: Any, name: str) -> str:
    """What has come of it, once that is known: a State."""

    def over() -> bool:
        shown = api.get_function_configuration(FunctionName=name)
        return shown["State"] != "Pending" and shown.get("LastUpdateStatus") != "InProgress"

    eventually(over)
    return str(api.get_function_configuration(FunctionName=name)["State"])


def change(api: Any, name: str, **members: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.update_function_configuration(FunctionName=name, **members)
    prepared(api, name)
    return answer


@pytest.mark.parametrize(
    "runtime",
    ["java11", "java17", "java21", "java25", "python3.12", "python3.13", "python3.14", "dotnet8", "dotnet10"],
)
def test_runtimes_that_can_be_snapshot_have_it(api: Any, function: str, runtime: str) -> None:
    shown = api.update_function_configuration(FunctionName=function, Runtime=runtime)
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}


@pytest.mark.parametrize("runtime", ["python3.11", "nodejs22.x", "ruby3.4", "java8.al2", "dotnet6", "provided.al2023"])
def test_other_runtimes_do_not(api: Any, function: str, runtime: str) -> None:
    name = unique("never")
    creation = {"FunctionName": name, "Handler": "app.handler", "Role": ROLE}
    assert refusal(api.create_function, **creation, Code={"ZipFile": zipped()}, Runtime=runtime, **ON) == not_of(
        runtime
    )
    assert refusal(api.get_function, FunctionName=name).status == 404
    # Neither by a change of the one nor by a change of the other.
    assert refusal(api.update_function_configuration, FunctionName=function, Runtime=runtime) == not_of(runtime)
    assert api.get_function_configuration(FunctionName=function)["Runtime"] == "python3.12"


def test_it_is_not_turned_on_for_a_runtime_that_can_not_have_it(api: Any) -> None:
    make_function(api, name := unique("plain"))
    before = shape(api.get_function_configuration(FunctionName=name))
    assert refusal(api.update_function_configuration, FunctionName=name, **ON) == not_of("python3.11")
    assert shape(api.get_function_configuration(FunctionName=name)) == before
    assert change(api, name, Runtime="python3.13", **ON)["SnapStart"]["ApplyOn"] == "PublishedVersions"
    api.delete_function(FunctionName=name)


def test_a_snapshot_has_no_large_storage(api: Any, function: str) -> None:
    larger = {"EphemeralStorage": {"Size": 513}}
    assert refusal(api.update_function_configuration, FunctionName=function, **larger) == TOO_LARGE
    change(api, function, **larger, **OFF)
    assert refusal(api.update_function_configuration, FunctionName=function, **ON) == TOO_LARGE
    assert change(api, function, EphemeralStorage={"Size": 512}, **ON)["EphemeralStorage"] == {"Size": 512}


def test_a_version_with_a_snapshot_has_no_provisioned_concurrency(api: Any, function: str) -> None:
    if prepared(api, function) != "Active":
        pytest.skip("a version is published of a function that can run, and there is no Python 3.12 on this machine")
    put = {"FunctionName": function, "ProvisionedConcurrentExecutions": 1}
    assert api.publish_version(FunctionName=function)["Version"] == "1"
    version = {"FunctionName": function, "Qualifier": "1"}
    api.get_waiter("published_version_active").wait(**version, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    api.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        assert refusal(api.put_provisioned_concurrency_config, Qualifier=qualifier, **put) == NOT_WITH_PROVISIONED
    change(api, function, **OFF)
    assert api.publish_version(FunctionName=function)["Version"] == "2"
    api.create_alias(FunctionName=function, Name="ready", FunctionVersion="2")
    api.put_provisioned_concurrency_config(Qualifier="ready", **put)
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}
    for move in ({"FunctionVersion": "1"}, weights):
        assert refusal(api.update_alias, FunctionName=function, Name="ready", **move) == NOT_WITH_PROVISIONED
    assert api.get_alias(FunctionName=function, Name="ready")["FunctionVersion"] == "2"
    # What $LATEST has does not count.
    change(api, function, **ON)
    api.put_provisioned_concurrency_config(Qualifier="ready", **put)

"""The setting SnapStart as boto3 makes it, against a running server: what a function must be to have it, and what its
versions can not have besides."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import invalid, make_function, reconfigure, refusal, shape, unique, zipped

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
    """Of a runtime that can have it, with version 1, which has it."""
    name = unique("snapped")
    make_function(api, name, Runtime="python3.12", **ON)
    assert api.publish_version(FunctionName=name)["Version"] == "1"
    yield name
    api.delete_function(FunctionName=name)


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
    creation = {"FunctionName": name, "Handler": "app.handler", "Role": "arn:aws:iam::111122223333:role/r"}
    assert refusal(api.create_function, **creation, Code={"ZipFile": zipped()}, Runtime=runtime, **ON) == not_of(
        runtime
    )
    assert refusal(api.get_function, FunctionName=name).status == 404
    # Neither by a change of the one nor by a change of the other.
    assert refusal(api.update_function_configuration, FunctionName=function, Runtime=runtime) == not_of(runtime)
    assert api.get_function_configuration(FunctionName=function, Qualifier="1")["Runtime"] == "python3.12"


def test_it_is_not_turned_on_for_a_runtime_that_can_not_have_it(api: Any) -> None:
    make_function(api, name := unique("plain"))
    before = shape(api.get_function_configuration(FunctionName=name))
    assert refusal(api.update_function_configuration, FunctionName=name, **ON) == not_of("python3.11")
    assert shape(api.get_function_configuration(FunctionName=name)) == before
    reconfigure(api, name, Runtime="python3.13", **ON)
    api.delete_function(FunctionName=name)


def test_a_snapshot_has_no_large_storage(api: Any, function: str) -> None:
    larger = {"EphemeralStorage": {"Size": 513}}
    assert refusal(api.update_function_configuration, FunctionName=function, **larger) == TOO_LARGE
    reconfigure(api, function, **larger, **OFF)
    assert refusal(api.update_function_configuration, FunctionName=function, **ON) == TOO_LARGE
    reconfigure(api, function, EphemeralStorage={"Size": 512}, **ON)


def test_a_version_with_a_snapshot_has_no_provisioned_concurrency(api: Any, function: str) -> None:
    put = {"FunctionName": function, "ProvisionedConcurrentExecutions": 1}
    api.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        assert refusal(api.put_provisioned_concurrency_config, Qualifier=qualifier, **put) == NOT_WITH_PROVISIONED
    reconfigure(api, function, **OFF)
    assert api.publish_version(FunctionName=function)["Version"] == "2"
    api.create_alias(FunctionName=function, Name="ready", FunctionVersion="2")
    api.put_provisioned_concurrency_config(Qualifier="ready", **put)
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}
    for change in ({"FunctionVersion": "1"}, weights):
        assert refusal(api.update_alias, FunctionName=function, Name="ready", **change) == NOT_WITH_PROVISIONED
    assert api.get_alias(FunctionName=function, Name="ready")["FunctionVersion"] == "2"
    # What $LATEST has does not count.
    reconfigure(api, function, **ON)
    api.put_provisioned_concurrency_config(Qualifier="ready", **put)

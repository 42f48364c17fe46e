"""A function's recursion and runtime-management settings as boto3 uses them, against a running server."""

from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    broken_constraint,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

UNKNOWN = "arn:aws:lambda:us-east-1::runtime:" + "0a" * 32


def runtime_of(api: Any, function: str) -> str:
    shown = api.get_function_configuration(FunctionName=function)["RuntimeVersionConfig"]
    return str(shown["RuntimeVersionArn"])


def manual(api: Any, function: str) -> dict[str, str]:
    return {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_of(api, function)}


@pytest.fixture
def function(api: Any) -> Iterator[str]:
    """With version 1 and the alias `live` of it."""
    name = unique("settings")
    make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    api.delete_function(FunctionName=name)


def test_recursive_loops_are_ended_unless_the_function_says_otherwise(api: Any, function: str) -> None:
    assert shape(api.get_function_recursion_config(FunctionName=function)) == {"RecursiveLoop": "Terminate"}
    before = shape(api.get_function_configuration(FunctionName=function))
    put = api.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
    assert (status(put), shape(put)) == (200, {"RecursiveLoop": "Allow"})
    for name in (function, f"111122223333:function:{function}", ARNS + function):
        assert shape(api.get_function_recursion_config(FunctionName=name)) == {"RecursiveLoop": "Allow"}
    after = shape(api.get_function_configuration(FunctionName=function))
    assert after.pop("RevisionId") != before.pop("RevisionId")
    assert after == before
    api.put_function_recursion_config(FunctionName=function, RecursiveLoop="Terminate")
    assert api.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Terminate"


def test_a_recursion_setting_is_of_a_function_that_is_there_as_a_whole(api: Any, function: str) -> None:
    gone = not_found(f"Function not found: {ARNS}not-there")
    assert refusal(api.get_function_recursion_config, FunctionName="not-there") == gone
    assert refusal(api.put_function_recursion_config, FunctionName="not-there", RecursiveLoop="Allow") == gone
    for members, text in (
        ({"FunctionName": f"{function}:1", "RecursiveLoop": "Allow"}, "at 'functionName'"),
        ({"FunctionName": function, "RecursiveLoop": "Maybe"}, "Value 'Maybe' at 'recursiveLoop'"),
        ({"FunctionName": function}, "Value null at 'recursiveLoop'"),
    ):
        broken_constraint(refusal(api.put_function_recursion_config, **members), text)
    assert api.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Terminate"


def test_each_version_says_for_itself_when_its_runtime_is_renewed(api: Any, function: str) -> None:
    default = api.get_runtime_management_config(FunctionName=function)
    assert shape(default) == {"UpdateRuntimeOn": "Auto", "FunctionArn": ARNS + function}
    revision = api.get_function_configuration(FunctionName=function)["RevisionId"]
    pinned = manual(api, function)
    put = api.put_runtime_management_config(FunctionName=function, **pinned)
    assert status(put) == 200
    assert shape(put) == {**pinned, "FunctionArn": ARNS + function}
    assert shape(api.get_runtime_management_config(FunctionName=function)) == shape(put)
    assert api.get_function_configuration(FunctionName=function)["RevisionId"] != revision
    assert api.get_runtime_management_config(FunctionName=function, Qualifier="1")["UpdateRuntimeOn"] == "Auto"

    of_version = api.put_runtime_management_config(
        FunctionName=function, Qualifier="1", UpdateRuntimeOn="FunctionUpdate"
    )
    assert shape(of_version) == {"UpdateRuntimeOn": "FunctionUpdate", "FunctionArn": f"{ARNS}{function}:1"}
    assert shape(api.get_runtime_management_config(FunctionName=f"{ARNS}{function}:1")) == shape(of_version)
    assert api.get_runtime_management_config(FunctionName=function, Qualifier="$LATEST")["UpdateRuntimeOn"] == "Manual"


def test_a_new_version_begins_with_the_runtime_setting_of_latest(api: Any, function: str) -> None:
    api.put_runtime_management_config(FunctionName=function, **manual(api, function))
    api.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
    # Neither is part of what a version would keep: nothing is there to publish.
    assert api.publish_version(FunctionName=function)["Version"] == "1"
    api.update_function_configuration(FunctionName=function, Timeout=9)
    api.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.02})
    assert api.publish_version(FunctionName=function)["Version"] == "2"
    assert api.get_runtime_management_config(FunctionName=function, Qualifier="2")["UpdateRuntimeOn"] == "Manual"
    assert api.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Allow"


def test_a_runtime_setting_that_makes_no_sense_is_refused(api: Any, function: str) -> None:
    together = invalid("RuntimeVersionArn is required when UpdateRuntimeOn is Manual, and only allowed then.")
    for members in (
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": runtime_of(api, function)},
    ):
        assert refusal(api.put_runtime_management_config, FunctionName=function, **members) == together
    for members, text in (
        ({"UpdateRuntimeOn": "Never"}, "Value 'Never' at 'updateRuntimeOn'"),
        ({}, "Value null at 'updateRuntimeOn'"),
        ({"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": "python3.11-of-last-may-please"}, "at 'runtimeVersionArn'"),
    ):
        broken_constraint(refusal(api.put_runtime_management_config, FunctionName=function, **members), text)
    for name, qualifier in (("not-there", {}), (function, {"Qualifier": "9"}), (function, {"Qualifier": "9" * 30})):
        arn = ":".join([ARNS + name, *qualifier.values()])
        gone = not_found(f"Function not found: {arn}")
        assert refusal(api.get_runtime_management_config, FunctionName=name, **qualifier) == gone
        assert (
            refusal(api.put_runtime_management_config, FunctionName=name, **qualifier, **manual(api, function)) == gone
        )
    assert api.get_runtime_management_config(FunctionName=function)["UpdateRuntimeOn"] == "Auto"


def test_an_alias_has_no_runtime_setting(api: Any, function: str) -> None:
    not_a_version = invalid("The Qualifier must be $LATEST or the number of a published version.")
    for names in ({"FunctionName": f"{function}:live"}, {"FunctionName": function, "Qualifier": "nowhere"}):
        assert refusal(api.get_runtime_management_config, **names) == not_a_version
        assert refusal(api.put_runtime_management_config, **names, UpdateRuntimeOn="FunctionUpdate") == not_a_version
    assert api.get_runtime_management_config(FunctionName=function, Qualifier="1")["UpdateRuntimeOn"] == "Auto"


def test_a_runtime_is_pinned_to_a_version_of_it(api: Any, function: str) -> None:
    make_function(api, other := unique("node"), Runtime="nodejs22.x")
    for arn in (UNKNOWN, runtime_of(api, other), runtime_of(api, function).replace("us-east-1", "us-east-2")):
        assert refusal(
            api.put_runtime_management_config, FunctionName=function, UpdateRuntimeOn="Manual", RuntimeVersionArn=arn
        ) == invalid(f"The runtime version {arn} is none that the function can use.")
    assert api.get_runtime_management_config(FunctionName=function)["UpdateRuntimeOn"] == "Auto"
    api.delete_function(FunctionName=other)


def test_both_settings_are_those_of_one_account_and_region_and_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    try:
        api = clients(crashing)
        elsewhere = (clients(crashing, account=OTHER_ACCOUNT), clients(crashing, region="eu-west-1"))
        for one in (api, *elsewhere):
            make_function(one, "f")
        api.put_function_recursion_config(FunctionName="f", RecursiveLoop="Allow")
        put = shape(api.put_runtime_management_config(FunctionName="f", **manual(api, "f")))
        for other in elsewhere:
            assert other.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Terminate"
            assert other.get_runtime_management_config(FunctionName="f")["UpdateRuntimeOn"] == "Auto"
        crashing.kill()
        crashing.start()
        api = clients(crashing)
        assert api.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Allow"
        assert shape(api.get_runtime_management_config(FunctionName="f")) == put
    finally:
        assert crashing.stop() == 0

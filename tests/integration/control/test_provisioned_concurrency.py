"""Provisioned concurrency as boto3 uses it, against running servers: environments that are really initialised ahead."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    Refusal,
    account_of,
    broken_constraint,
    clients,
    conflict,
    invalid,
    make_function,
    not_found,
    reconfigure,
    refusal,
    shape,
    status,
    unique,
    zipped,
)
from live_functions import BOOTING, assert_booted_as_told, eventually, processes

CODE = """
import os, time, uuid
HERE = uuid.uuid4().hex
def handler(event, context):
    time.sleep((event or {}).get("sleep", 0))
    if (event or {}).get("die"):
        os._exit(1)
    return [HERE, os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], context.function_version]
"""
FAILS = "raise RuntimeError('not today')\n"
AHEAD = "provisioned-concurrency"
UNPUBLISHED = invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
NOT_A_VERSION = invalid("The function resource provided must be an alias or a published version.")
NONE = Refusal(
    404,
    "ProvisionedConcurrencyConfigNotFoundException",
    "No Provisioned Concurrency Config found for this function",
    "User",
)
ALREADY = conflict("Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
POINTED_AT = conflict("Version is pointed by a Provisioned Concurrency alias")
WITHIN_S = 60


def put(api: Any, name: str, qualifier: str, count: int) -> dict[str, Any]:
    answer = api.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    assert isinstance(answer, dict)
    return answer


def settled(api: Any, name: str, qualifier: str) -> dict[str, Any]:
    """What the config is when it is not in progress any more."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = shape(api.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier))
        if found["Status"] != "IN_PROGRESS":
            return found
        assert found["AvailableProvisionedConcurrentExecutions"] < found["RequestedProvisionedConcurrentExecutions"]
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def ready(api: Any, name: str, qualifier: str, count: int) -> None:
    found = settled(api, name, qualifier)
    assert found.pop("LastModified")
    assert found == {
        "RequestedProvisionedConcurrentExecutions": count,
        "AvailableProvisionedConcurrentExecutions": count,
        "AllocatedProvisionedConcurrentExecutions": count,
        "Status": "READY",
    }


def answers(api: Any, name: str, qualifier: str, parallel: int = 1, sleep: float = 0.0) -> list[list[str]]:
    def call(_: int) -> list[str]:
        payload = json.dumps({"sleep": sleep})
        given = api.invoke(FunctionName=name, Qualifier=qualifier, Payload=payload)
        answer = json.loads(given["Payload"].read())
        assert isinstance(answer, list)
        return answer

    with ThreadPoolExecutor(parallel) as callers:
        return list(callers.map(call, range(parallel)))


@pytest.fixture(scope="module", params=BOOTING.values(), ids=BOOTING)
def server(server: Any, new_server: Any, request: Any) -> Iterator[Any]:
    """The shared one, and one that boots on demand."""
    if request.param:
        with new_server(*request.param) as running:
            yield running
    else:
        yield server


@pytest.fixture
def own(server: Any) -> Any:
    """A client of an account that no other test claims concurrency in."""
    return clients(server, account=str(int(unique("")[1:], 16) % 10**12).zfill(12))


@pytest.fixture
def name(own: Any) -> Any:
    """A function with two versions."""
    made = unique("provisioned")
    make_function(own, made, versions=2, Code={"ZipFile": zipped(CODE)}, Timeout=30)
    yield made
    own.delete_function(FunctionName=made)


def test_environments_are_initialised_ahead_and_serve(own: Any, name: str) -> None:
    given = put(own, name, "1", 3)
    assert status(given) == 202
    given = shape(given)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000", given.pop("LastModified"))
    assert given == {
        "RequestedProvisionedConcurrentExecutions": 3,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    ready(own, name, "1", 3)
    served = answers(own, name, "1", parallel=3, sleep=0.5)
    assert [(how, version) for _, how, version in served] == [(AHEAD, "1")] * 3
    assert len({where for where, _, _ in served}) == 3
    # They are used before others, by whoever comes.
    again = answers(own, name, "1")
    assert again[0][0] in {where for where, _, _ in served}
    assert answers(own, name, "2")[0][1] == "on-demand"
    overflow = answers(own, name, "1", parallel=4, sleep=0.5)
    assert sorted(how for _, how, _ in overflow) == ["on-demand", *[AHEAD] * 3]


def test_the_function_is_told_of_it_in_its_log(own: Any, server: Any, name: str) -> None:
    put(own, name, "1", 1)
    ready(own, name, "1", 1)
    tail = own.invoke(FunctionName=name, Qualifier="1", LogType="Tail")
    assert tail["StatusCode"] == 200
    logs = server.client("logs", account=account_of(own))
    deadline = time.monotonic() + WITHIN_S
    while True:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        lines = [event["message"] for event in events]
        reports = [line for line in lines if line.startswith("INIT_REPORT")]
        if reports:
            break
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
    assert re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: success\s*", reports[0])


def test_a_config_is_replaced_listed_and_deleted(own: Any, name: str) -> None:
    arn = own.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    own.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    put(own, name, "1", 1)
    put(own, name, "live", 1)
    put(own, f"{name}:1", "1", 2)
    ready(own, name, "1", 2)
    ready(own, name, "live", 1)
    assert answers(own, name, "live")[0][1:] == [AHEAD, "2"]
    assert own.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 997
    pages = []
    marker: dict[str, str] = {}
    while True:
        page = own.list_provisioned_concurrency_configs(FunctionName=name, MaxItems=1, **marker)
        pages.append(page["ProvisionedConcurrencyConfigs"])
        if "NextMarker" not in page:
            break
        marker = {"Marker": page["NextMarker"]}
    assert [[config["FunctionArn"] for config in page] for page in pages] == [[f"{arn}:1"], [f"{arn}:live"]]
    shown = shape(own.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1"))
    assert pages[0] == [{"FunctionArn": f"{arn}:1", **shown}]
    for _ in range(2):
        deleted = own.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        assert (status(deleted), shape(deleted)) == (204, {})
    assert refusal(own.get_provisioned_concurrency_config, FunctionName=name, Qualifier="1") == NONE
    assert answers(own, name, "1")[0][1] == "on-demand"
    own.delete_alias(FunctionName=name, Name="live")
    assert own.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    assert answers(own, name, "2")[0][1] == "on-demand"


def test_an_alias_takes_its_environments_along(own: Any, name: str) -> None:
    own.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    put(own, name, "live", 2)
    ready(own, name, "live", 2)
    own.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    ready(own, name, "live", 2)
    assert answers(own, name, "live")[0][1:] == [AHEAD, "2"]
    assert answers(own, name, "1")[0][1] == "on-demand"
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    own.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig=weights)
    ready(own, name, "live", 2)
    assert answers(own, name, "2")[0][1] == AHEAD
    assert put(own, name, "live", 1)["Status"] == "IN_PROGRESS"


def test_a_version_is_provisioned_once_and_only_when_published(own: Any, name: str) -> None:
    own.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    own.create_alias(FunctionName=name, Name="new", FunctionVersion="$LATEST")
    given = {"FunctionName": name, "ProvisionedConcurrentExecutions": 1}
    operation = own.put_provisioned_concurrency_config
    assert refusal(operation, Qualifier="$LATEST", **given) == UNPUBLISHED
    assert refusal(operation, Qualifier="new", **given) == UNPUBLISHED
    put(own, name, "live", 1)
    assert refusal(operation, Qualifier="1", **given) == POINTED_AT
    own.create_alias(FunctionName=name, Name="other", FunctionVersion="1")
    assert refusal(operation, Qualifier="other", **given) == ALREADY
    put(own, name, "2", 1)
    own.update_alias(FunctionName=name, Name="other", FunctionVersion="2")
    assert refusal(operation, Qualifier="other", **given) == ALREADY
    moves = {"FunctionName": name, "Name": "live"}
    assert refusal(own.update_alias, FunctionVersion="2", **moves) == ALREADY
    assert refusal(own.update_alias, FunctionVersion="$LATEST", **moves) == UNPUBLISHED
    assert own.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"


def test_what_is_not_there_has_no_config(api: Any) -> None:
    missing, there = unique("missing"), unique("provisioned")
    make_function(api, there, versions=1)
    put_it, get, delete = (
        api.put_provisioned_concurrency_config,
        api.get_provisioned_concurrency_config,
        api.delete_provisioned_concurrency_config,
    )
    count = {"ProvisionedConcurrentExecutions": 1}
    for operation, members in ((put_it, count), (get, {}), (delete, {})):
        for function, qualifier in ((missing, "1"), (there, "2"), (there, "live")):
            found = refusal(operation, FunctionName=function, Qualifier=qualifier, **members)
            assert found == not_found(f"Function not found: {ARNS}{function}:{qualifier}")
        broken_constraint(refusal(operation, FunctionName=there, Qualifier="a.b", **members), "at 'qualifier'")
    for operation in (get, delete):
        assert refusal(operation, FunctionName=there, Qualifier="$LATEST") == NOT_A_VERSION
    assert refusal(get, FunctionName=there, Qualifier="1") == NONE
    found = refusal(api.list_provisioned_concurrency_configs, FunctionName=missing)
    assert found == not_found(f"Function not found: {ARNS}{missing}")
    broken_constraint(
        refusal(put_it, FunctionName=there, Qualifier="1", ProvisionedConcurrentExecutions=0),
        "Value '0' at 'provisionedConcurrentExecutions'",
        "Member must have value greater than or equal to 1",
    )
    broken_constraint(
        refusal(api.list_provisioned_concurrency_configs, FunctionName=there, MaxItems=51), "Value '51' at 'maxItems'"
    )
    api.delete_function(FunctionName=there)


def test_no_more_is_provisioned_than_is_reserved_or_left(own: Any, name: str) -> None:
    given = {"FunctionName": name, "Qualifier": "1"}
    operation = own.put_provisioned_concurrency_config
    assert refusal(operation, ProvisionedConcurrentExecutions=1001, **given) == invalid(
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
    )
    assert refusal(operation, ProvisionedConcurrentExecutions=901, **given) == invalid(
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    own.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    put(own, name, "2", 1)
    assert refusal(operation, ProvisionedConcurrentExecutions=2, **given) == invalid(
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    put(own, name, "1", 1)
    assert own.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 998
    found = refusal(own.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=1)
    assert found == Refusal(
        400,
        "InvalidParameterValueException",
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].",
        None,
    )
    # All that is reserved is provisioned: nothing is left for other versions.
    assert refusal(own.invoke, FunctionName=name) == Refusal(429, "TooManyRequestsException", "Rate Exceeded.", "User")
    ready(own, name, "1", 1)
    assert answers(own, name, "1")[0][1] == AHEAD


def test_a_function_that_can_not_be_initialised_fails_with_the_reason(own: Any) -> None:
    name = unique("provisioned")
    make_function(own, name, versions=1, Code={"ZipFile": zipped(FAILS)})
    put(own, name, "1", 6)
    found = settled(own, name, "1")
    assert (found["Status"], found["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert found["AvailableProvisionedConcurrentExecutions"] == 0
    own.update_function_code(FunctionName=name, ZipFile=zipped(CODE))
    own.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    reconfigure(own, name, Description="mended")
    own.publish_version(FunctionName=name)
    put(own, name, "2", 1)
    ready(own, name, "2", 1)
    own.delete_function(FunctionName=name)


def test_idle_ones_stay_until_they_are_not_wanted_any_more(data_dir: Any, server: Any) -> None:
    short = type(server)(data_dir, (*server.arguments, "--idle-timeout-s", "1")).start()
    try:
        api = clients(short)
        make_function(api, "f", versions=1, Code={"ZipFile": zipped(CODE)})
        put(api, "f", "1", 1)
        ready(api, "f", "1", 1)
        ahead = processes(data_dir)
        assert ahead
        (first,) = answers(api, "f", "1")
        answers(api, "f", "$LATEST")
        assert processes(data_dir) > ahead
        eventually(lambda: processes(data_dir) == ahead)  # what was started on demand is gone
        assert answers(api, "f", "1") == [first]
        api.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="1")
        eventually(lambda: not processes(data_dir))
        assert_booted_as_told(short, server)
    finally:
        assert short.stop() == 0


def test_one_whose_program_has_crashed_is_initialised_again(own: Any, name: str) -> None:
    put(own, name, "1", 1)
    ready(own, name, "1", 1)
    (first,) = answers(own, name, "1")
    crashed = own.invoke(FunctionName=name, Qualifier="1", Payload=json.dumps({"die": True}))
    assert crashed["FunctionError"] == "Unhandled"
    ready(own, name, "1", 1)
    (after,) = answers(own, name, "1")
    assert after[0] != first[0]
    assert after[1:] == first[1:]


def test_configs_survive_kill_9_and_are_initialised_again(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir, server.arguments).start()
    try:
        api = clients(crashing)
        elsewhere = (clients(crashing, account=OTHER_ACCOUNT), clients(crashing, region="eu-west-1"))
        for one in (api, *elsewhere):
            make_function(one, "f", versions=1, Code={"ZipFile": zipped(CODE)})
        api.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        modified = put(api, "f", "live", 2)["LastModified"]
        ready(api, "f", "live", 2)
        for other in elsewhere:
            assert refusal(other.get_provisioned_concurrency_config, FunctionName="f", Qualifier="1") == NONE
        crashing.kill()
        crashing.start()
        api = clients(crashing)
        ready(api, "f", "live", 2)
        found = api.get_provisioned_concurrency_config(FunctionName="f", Qualifier="live")
        assert found["LastModified"] == modified
        served = answers(api, "f", "live", parallel=2, sleep=0.5)
        assert [how for _, how, _ in served] == [AHEAD] * 2
        api.delete_function(FunctionName="f")
        make_function(api, "f", versions=1)
        assert api.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"] == []
    finally:
        assert crashing.stop() == 0

"""Functions that keep their tenants apart: whom an environment serves, and what an invocation must say."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import botocore.exceptions
import pytest
from live_functions import PROVIDED, Function, Functions, eventually, leftovers, package

APART = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}
CODE = """
import pathlib, time, uuid
INSTANCE = uuid.uuid4().hex
TAG = "first"
seen = []

def handler(event, context):
    seen.append(context.tenant_id)
    pathlib.Path("/tmp", uuid.uuid4().hex).write_text(context.tenant_id or "")
    time.sleep(event.get("sleep", 0))
    return {"instance": INSTANCE, "tag": TAG, "tenant": context.tenant_id, "memory": seen,
            "files": [path.read_text() for path in pathlib.Path("/tmp").iterdir()]}
"""
TELLING = """#!/usr/bin/env python3
import http.client, json, os

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
invocation = "/2018-06-01/runtime/invocation/"
while True:
    api.request("GET", invocation + "next")
    event = api.getresponse()
    event.read()
    tenant = event.headers.get("Lambda-Runtime-Aws-Tenant-Id", "")
    api.request("POST", invocation + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", json.dumps(tenant))
    api.getresponse().read()
"""


@pytest.fixture
def apart(functions: Functions) -> Function:
    return functions.create(CODE, Timeout=30, **APART)


def served(function: Function, tenant: str, payload: Any = None, **parameters: Any) -> Any:
    answer = function.invoke(payload or {}, TenantId=tenant, **parameters)
    assert answer.error is None, answer.body
    return answer.document


def refused(function: Function, **parameters: Any) -> tuple[int, str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        function.invoke({}, **parameters)
    told = caught.value.response
    return told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"], told["Error"]["Message"]


def test_tenants_take_turns_without_sharing_and_each_has_its_own_environment_again(apart: Function) -> None:
    turns = [served(apart, tenant) for tenant in ("red", "blue", "red", "blue", "green", "red")]
    instances = {turn["tenant"]: turn["instance"] for turn in turns}
    assert [turn["tenant"] for turn in turns] == ["red", "blue", "red", "blue", "green", "red"]
    assert len(set(instances.values())) == 3
    assert all(turn["instance"] == instances[turn["tenant"]] for turn in turns)
    last = turns[-1]
    assert last["memory"] == last["files"] == ["red"] * 3


def test_tenants_in_parallel_never_meet(apart: Function) -> None:
    tenants = [f"tenant-{number % 4}" for number in range(40)]
    with ThreadPoolExecutor(12) as callers:
        turns = list(callers.map(lambda tenant: served(apart, tenant, {"sleep": 0.05}), tenants))
    assert [turn["tenant"] for turn in turns] == tenants
    for turn in turns:
        assert {turn["tenant"]} == set(turn["memory"]) == set(turn["files"])
    # Some were served again, so that they could have met.
    assert len({turn["instance"] for turn in turns}) < len(turns)


# One that begins with another, and every character that there may be.
NAMES = ["a", "a/b", "A", "a:b", "a b", "a.b_c:d/e=f+g-h@i j", "x" * 256]


def test_a_tenant_is_told_by_every_character_of_its_id(apart: Function) -> None:
    turns = [served(apart, name) for name in NAMES * 2]
    assert [turn["tenant"] for turn in turns] == NAMES * 2
    assert len({turn["instance"] for turn in turns}) == len(NAMES)


def test_a_tenant_has_environments_of_each_version(apart: Function) -> None:
    apart.client.publish_version(FunctionName=apart.name)
    apart.client.get_waiter("published_version_active").wait(
        FunctionName=apart.name, Qualifier="1", WaiterConfig={"Delay": 0.02}
    )
    apart.client.create_alias(FunctionName=apart.name, Name="live", FunctionVersion="1")
    latest, version, alias = (
        served(apart, "red"),
        served(apart, "red", Qualifier="1"),
        served(apart, "red", Qualifier="live"),
    )
    assert latest["instance"] != version["instance"] == alias["instance"]


def test_new_code_reaches_every_tenant_and_the_old_environments_go(apart: Function, server: Any) -> None:
    for tenant in ("red", "blue"):
        assert served(apart, tenant)["tag"] == "first"
    assert leftovers(server.data_dir)
    apart.client.update_function_code(
        FunctionName=apart.name, ZipFile=package({"app.py": CODE.replace('"first"', '"second"')})
    )
    apart.client.get_waiter("function_updated_v2").wait(FunctionName=apart.name, WaiterConfig={"Delay": 0.02})
    eventually(lambda: not leftovers(server.data_dir))
    turns = {tenant: served(apart, tenant) for tenant in ("red", "blue")}
    assert {tenant: (turn["tag"], turn["memory"]) for tenant, turn in turns.items()} == {
        "red": ("second", ["red"]),
        "blue": ("second", ["blue"]),
    }


def test_a_tenant_that_is_busy_when_the_function_changes_is_served_and_then_its_environment_goes(
    apart: Function, server: Any
) -> None:
    served(apart, "red")
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(served, apart, "red", {"sleep": 2})
        apart.update(Description="changed")
        assert running.result()["tenant"] == "red"
    eventually(lambda: not leftovers(server.data_dir))
    assert served(apart, "red")["memory"] == ["red"]


@contextmanager
def short_lived(server_class: Any, data_dir: Any) -> Iterator[Any]:
    running = server_class(data_dir, ("--idle-timeout-s", "1")).start()
    try:
        yield running
    finally:
        assert running.stop() == 0


def test_environments_of_tenants_who_do_not_come_again_go(server: Any, data_dir: Any) -> None:
    with short_lived(type(server), data_dir) as running:
        function = Functions(running.client("lambda")).create(CODE, **APART)
        first = served(function, "red")
        served(function, "blue")
        assert leftovers(data_dir)
        eventually(lambda: not leftovers(data_dir))
        again = served(function, "red")
        assert (again["memory"], again["instance"] != first["instance"]) == (["red"], True)


def test_a_runtime_of_ones_own_is_told_the_tenant(functions: Functions) -> None:
    function = functions.create(TELLING, runtime=PROVIDED, **APART)
    assert [served(function, tenant) for tenant in ("red", "blue", "red")] == ["red", "blue", "red"]
    shared = functions.create(TELLING, runtime=PROVIDED)
    assert shared.invoke({}).document == ""


def test_the_platforms_records_name_the_tenant(functions: Functions) -> None:
    logging = {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}
    function = functions.create(CODE, LoggingConfig=logging, **APART)
    lines = map(json.loads, function.invoke({}, TenantId="red").lines)
    records = {line["type"]: line["record"] for line in lines if "record" in line}
    told = {kind: records[kind].get("tenantId") for kind in ("platform.start", "platform.runtimeDone")}
    assert told == {"platform.start": "red", "platform.runtimeDone": "red"}


WITHOUT = (
    400,
    "InvalidParameterValueException",
    "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.",
)
UNASKED = (
    400,
    "InvalidParameterValueException",
    "The invoked function is not enabled with tenancy configuration. "
    "Remove the tenant ID from your request and try again.",
)


@pytest.mark.parametrize("kind", ["RequestResponse", "DryRun"])
def test_who_keeps_tenants_apart_must_be_told_which_and_nobody_else_may_be(functions: Functions, kind: str) -> None:
    apart, shared = functions.create(CODE, **APART), functions.create(CODE)
    assert refused(apart, InvocationType=kind) == WITHOUT
    assert refused(shared, InvocationType=kind, TenantId="red") == UNASKED
    assert shared.invoke({}).document["tenant"] is None


@pytest.mark.parametrize("name", ["", " ", "a#b", "a\tb", "a,b", "é", "x" * 257])
def test_an_id_that_is_none_is_refused_before_anything_runs(apart: Function, server: Any, name: str) -> None:
    lax = Function(apart.name, server.client("lambda", parameter_validation=False))
    status, code, message = refused(lax, TenantId=name)
    assert (status, code) == (400, "ValidationException")
    assert "at 'tenantId' failed to satisfy constraint" in message
    eventually(lambda: not leftovers(server.data_dir))

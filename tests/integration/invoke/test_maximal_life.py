"""An environment that has lived for long enough ends, whatever it does, and no caller notices."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live_functions import WITHIN_S, Functions, assert_booted_as_told, assert_nothing_left, eventually, processes

LIFE_S = 2
SWEEP_S = 1
CODE = """
import os, time, uuid
INSTANCE = uuid.uuid4().hex
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return {"instance": INSTANCE, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"""


@pytest.fixture(scope="module")
def short_lived(server: Any, new_server: Any) -> Iterator[Any]:
    """A server that lets environments idle for long, and live for two seconds."""
    with new_server(*server.arguments, "--maximal-life-s", str(LIFE_S)) as running:
        yield running
        assert_booted_as_told(running, server)


@pytest.fixture
def brief(short_lived: Any) -> Iterator[Functions]:
    made = Functions(short_lived.client("lambda"))
    yield made
    made.delete_all()
    assert_nothing_left(short_lived.data_dir)


def test_an_idle_environment_goes(short_lived: Any, brief: Functions) -> None:
    function = brief.create(CODE)
    function.invoke({})
    assert processes(short_lived.data_dir)
    eventually(lambda: not processes(short_lived.data_dir))


def test_one_that_is_never_idle_goes_between_two_events(brief: Functions) -> None:
    """Four callers at a time keep their environments busy: each look of the server finds them at work."""
    function = brief.create(CODE, Timeout=10)
    ends = time.monotonic() + 2 * (LIFE_S + SWEEP_S)

    def call(_: int) -> list[tuple[str, float]]:
        served = []
        while time.monotonic() < ends:
            answer = function.invoke({"sleep": 0.05}, LogType="None")
            assert answer.error is None
            served.append((answer.document["instance"], time.monotonic()))
        return served

    with ThreadPoolExecutor(4) as callers:
        served = [one for mine in callers.map(call, range(4)) for one in mine]
    spans: dict[str, list[float]] = {}
    for instance, at in served:
        spans.setdefault(instance, []).append(at)
    assert len(spans) >= 8, "environments, of four callers that were served for the length of two lives"
    assert max(max(at) - min(at) for at in spans.values()) < LIFE_S + 3 * SWEEP_S


def test_what_runs_for_longer_is_finished_in_it(short_lived: Any, brief: Functions) -> None:
    function = brief.create(CODE, Timeout=10)
    first = function.invoke({}).document["instance"]
    answer = function.invoke({"sleep": LIFE_S + 2 * SWEEP_S})
    assert (answer.error, answer.document["instance"]) == (None, first)
    assert function.invoke({}).document["instance"] != first


def test_a_provisioned_one_is_replaced_before_it_goes(short_lived: Any, brief: Functions) -> None:
    function = brief.create(CODE, Timeout=10)
    api = short_lived.client("lambda")
    version = api.publish_version(FunctionName=function.name)["Version"]
    api.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=version, ProvisionedConcurrentExecutions=2
    )

    def progress() -> tuple[str, int, int]:
        told = api.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=version)
        return (
            told["Status"],
            told["AllocatedProvisionedConcurrentExecutions"],
            told["AvailableProvisionedConcurrentExecutions"],
        )

    eventually(lambda: progress() == ("READY", 2, 2))
    instances: set[str] = set()
    ends = time.monotonic() + WITHIN_S
    while len(instances) < 5 and time.monotonic() < ends:
        given = api.invoke(FunctionName=function.name, Qualifier=version, Payload=b"{}")
        document = json.load(given["Payload"])
        assert document["type"] == "provisioned-concurrency", "none of them was there"
        assert progress() == ("READY", 2, 2)
        instances.add(document["instance"])
    assert len(instances) >= 5, "two, and those in their places"

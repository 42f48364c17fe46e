import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import botocore.exceptions
import msgspec
import pytest
from event_runs import FUNCTION, after_runs, dropped, runs, send
from live_functions import Function, Functions, eventually

from lambent.core.event_invoke import QueuedEvent, Trials
from lambent.core.function import FunctionName
from lambent.core.lineage import mark_of

RECURSIVE = """
import boto3, json, os

def handler(event, context):
    print("RAN " + json.dumps([context.aws_request_id, context.function_version, event]), flush=True)
    client = boto3.client("lambda")
    try:
        told = client.invoke(FunctionName=context.function_name, InvocationType=event["type"],
                             Payload=json.dumps({**event, "depth": event["depth"] + 1}))
        return json.load(told["Payload"]) if event["type"] == "RequestResponse" else None
    except client.exceptions.RecursiveInvocationException as error:
        return {"refused_at": event["depth"] + 1, "status": error.response["ResponseMetadata"]["HTTPStatusCode"]}
"""


@pytest.fixture
def own(functions: Functions) -> Function:
    return functions.create(FUNCTION)


@pytest.fixture
def second(server: Any, data_dir: Any) -> Iterator[Any]:
    """A server that the test may end."""
    made = type(server)(data_dir, ("--event-retry-delay-s", "1")).start()
    yield made
    made.stop()


def refusal(function: Function, payload: bytes, **parameters: Any) -> tuple[int, str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=payload, **parameters)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_an_event_is_accepted_and_run_without_its_client_context(server: Any, functions: Functions) -> None:
    function = functions.create(
        FUNCTION.replace("time.sleep", 'event["context"] = str(context.client_context); print(event); time.sleep')
    )
    context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    request_id = send(function, {"a": 1}, ClientContext=context, LogType="Tail")
    (run,) = after_runs(server, function, 1)
    assert (run.request_id, run.version, run.event) == (request_id, "$LATEST", {"a": 1})
    logs = server.client("logs")
    said = eventually(
        lambda: logs.filter_log_events(logGroupName=f"/aws/lambda/{function.name}", filterPattern="context")["events"]
    )
    assert "'context': 'None'" in said[0]["message"]


def test_an_event_without_a_payload_and_one_by_the_deprecated_operation_are_run(server: Any, own: Function) -> None:
    own.client.invoke(FunctionName=own.name, InvocationType="Event")
    assert own.client.invoke_async(FunctionName=own.name, InvokeArgs=b'{"old": 1}')["Status"] == 202
    assert sorted(str(run.event) for run in after_runs(server, own, 2)) == ["{'old': 1}", "{}"]


def test_what_can_not_be_run_is_refused_as_aws_does(server: Any, own: Function) -> None:
    large = json.dumps("x" * 1_048_575).encode()
    text = "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    assert refusal(own, large) == (413, "RequestTooLargeException", text)
    assert refusal(own, b"{nope")[:2] == (400, "InvalidRequestContentException")
    assert refusal(own, b"{}", ClientContext="?")[:2] == (400, "InvalidRequestContentException")
    assert refusal(own, b"{}", TenantId="t")[:2] == (400, "InvalidParameterValueException")
    assert refusal(own, b"{}", Qualifier="nowhere")[:2] == (404, "ResourceNotFoundException")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        own.client.invoke_async(FunctionName=own.name, InvokeArgs=b"x" * 262_145)
    assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
    own.client.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    largest = send(own, "x" * 1_048_574)
    eventually(lambda: dropped(server, largest, "ZeroReservedConcurrency"))


def test_an_error_of_the_function_is_retried_twice_with_growing_delays(server: Any, own: Function) -> None:
    request_id = send(own, {"fail": 1})
    eventually(lambda: dropped(server, request_id, "RetriesExhausted"))
    attempts = runs(server, own)
    assert [run.request_id for run in attempts] == [request_id] * 3
    delays = [later.at_ms - earlier.at_ms for earlier, later in pairwise(attempts)]
    assert delays[0] >= 1000
    assert delays[1] >= 2000


def test_a_change_of_configuration_applies_to_what_is_queued(server: Any, own: Function) -> None:
    first = send(own, {"fail": 1})
    after_runs(server, own, 1)
    own.client.put_function_event_invoke_config(FunctionName=own.name, MaximumRetryAttempts=1)
    eventually(lambda: dropped(server, first, "RetriesExhausted"))
    assert len(runs(server, own)) == 2
    own.client.put_function_event_invoke_config(FunctionName=own.name, MaximumRetryAttempts=0)
    second = send(own, {"fail": 2})
    eventually(lambda: dropped(server, second, "RetriesExhausted"))
    assert len(runs(server, own)) == 3


def test_an_alias_has_its_own_configuration_and_is_resolved_at_each_attempt(server: Any, own: Function) -> None:
    one = own.client.publish_version(FunctionName=own.name)["Version"]
    own.update(Description="another")
    two = own.client.publish_version(FunctionName=own.name)["Version"]
    own.client.create_alias(FunctionName=own.name, Name="live", FunctionVersion=one)
    own.client.put_function_event_invoke_config(FunctionName=own.name, MaximumRetryAttempts=0)
    own.client.put_function_event_invoke_config(FunctionName=own.name, Qualifier="live", MaximumRetryAttempts=1)
    request_id = send(own, {"fail": 1}, Qualifier="live")
    after_runs(server, own, 1)
    own.client.update_alias(FunctionName=own.name, Name="live", FunctionVersion=two)
    eventually(lambda: dropped(server, request_id, "RetriesExhausted"))
    assert [run.version for run in runs(server, own)] == [one, two]


def test_with_no_concurrency_reserved_an_event_is_accepted_and_given_up_without_an_attempt(
    server: Any, own: Function
) -> None:
    own.client.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    request_id = send(own, {})
    eventually(lambda: dropped(server, request_id, "ZeroReservedConcurrency"))
    own.client.delete_function_concurrency(FunctionName=own.name)
    send(own, {"after": 1})
    assert [run.event for run in after_runs(server, own, 1)] == [{"after": 1}]


def test_events_beyond_the_reserved_concurrency_wait_and_are_run(server: Any, own: Function) -> None:
    own.client.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=2)
    with ThreadPoolExecutor(4) as callers:
        sent = set(callers.map(lambda number: send(own, {"n": number, "sleep": 0.05}), range(20)))
    assert {run.request_id for run in after_runs(server, own, 20)} == sent
    assert len(runs(server, own)) == 20, "being throttled is no attempt"


def test_events_of_a_function_that_is_gone_are_dropped(server: Any, functions: Functions) -> None:
    function = functions.create(FUNCTION)
    request_id = send(function, {"fail": 1})
    after_runs(server, function, 1)
    function.client.delete_function(FunctionName=function.name)
    functions.made.remove(function)
    eventually(lambda: dropped(server, request_id, "RetriesExhausted"))


def test_a_full_queue_of_one_function_does_not_delay_another(server: Any, functions: Functions) -> None:
    greedy, other = functions.create(FUNCTION), functions.create(FUNCTION)
    greedy.client.put_function_concurrency(FunctionName=greedy.name, ReservedConcurrentExecutions=2)
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: send(greedy, {"sleep": 0.2}), range(60)))
    send(other, {})
    after_runs(server, other, 1)
    assert len(runs(server, greedy)) < 60, "there was a queue"


def test_a_chain_is_stopped_where_it_comes_by_a_function_for_the_seventeenth_time(
    server: Any, functions: Functions
) -> None:
    function = functions.create(RECURSIVE, Timeout=30)
    mark = mark_of(FunctionName("111122223333", "us-east-1", function.name))
    client = server.client("lambda")
    client.meta.events.register(
        "before-call.lambda.Invoke",
        lambda params, **_: params["headers"].update(
            {"X-Amzn-Trace-Id": f"Root=1-5759e988-bd862e3f;Lineage={mark}:14"}
        ),
    )
    answer = function.invoke({"type": "RequestResponse", "depth": 15}, client=client)
    assert answer.document == {"refused_at": 17, "status": 400}


def test_an_asynchronous_chain_is_stopped_unless_it_is_allowed(server: Any, functions: Functions) -> None:
    function = functions.create(RECURSIVE, Timeout=30)
    given_up = server.log.read_text().count("event dropped")
    send(function, {"type": "Event", "depth": 1})
    eventually(lambda: server.log.read_text().count("event dropped") > given_up)
    assert [run.event["depth"] for run in runs(server, function)] == list(range(1, 17))
    function.client.put_function_recursion_config(FunctionName=function.name, RecursiveLoop="Allow")
    send(function, {"type": "Event", "depth": 101})
    eventually(lambda: any(run.event["depth"] == 118 for run in runs(server, function)))
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)


def test_a_chain_by_destinations_is_stopped_and_so_is_what_is_told_of_that(server: Any, functions: Functions) -> None:
    first, second = (functions.create(FUNCTION.replace("return event", "return None")) for _ in range(2))
    for function, other in ((first, second), (second, first)):
        destination = {"Destination": f"arn:aws:lambda:us-east-1:111122223333:function:{other.name}"}
        function.client.put_function_event_invoke_config(
            FunctionName=function.name, DestinationConfig={"OnSuccess": destination, "OnFailure": destination}
        )
    send(first, {})
    eventually(lambda: _not_told(server, first))
    assert "RecursiveInvocationException" in _not_told(server, first)
    assert [len(runs(server, function)) for function in (first, second)] == [16, 16]


def _not_told(server: Any, function: Function) -> str:
    lines = server.log.read_text().splitlines()
    return "".join(line for line in lines if "record not delivered" in line and function.name in line)


def test_what_is_queued_is_run_after_a_restart_and_what_is_too_old_is_given_up(second: Any) -> None:
    function = Functions(second.client("lambda")).create(FUNCTION)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    function.client.put_function_event_invoke_config(FunctionName=function.name, MaximumRetryAttempts=0)
    busy = send(function, {"sleep": 1})
    after_runs(second, function, 1)
    old, young = send(function, {"old": 1}), send(function, {"fail": 1})
    began = time.monotonic()
    assert second.stop() == 0
    assert time.monotonic() - began < 10
    with sqlite3.connect(second.data_dir / "events.sqlite") as queue:
        rows = dict(queue.execute("SELECT state, id FROM event"))
        assert len(rows) == 2, "the one that ran was finished"
        (event_id,) = [number for state, number in rows.items() if old.encode() in state]
        _grow_old(queue, event_id)
    queue.close()
    second.start()
    function = Function(function.name, second.client("lambda"))
    eventually(lambda: dropped(second, old, "EventAgeExceeded"))
    eventually(lambda: dropped(second, young, "RetriesExhausted"))
    attempts = runs(second, function)
    assert [run.request_id for run in attempts] == [busy, young], "its configuration has survived, too"


def _grow_old(queue: sqlite3.Connection, event_id: int) -> None:
    """Seven hours pass for the event."""
    ((state,),) = queue.execute("SELECT state FROM event WHERE id = ?", (event_id,))
    event = msgspec.msgpack.decode(state, type=QueuedEvent)
    trials = Trials(event.trials.accepted_ms - 7 * 3_600_000)
    older = msgspec.msgpack.encode(msgspec.structs.replace(event, trials=trials))
    queue.execute("UPDATE event SET state = ?, due_ms = 0 WHERE id = ?", (older, event_id))

"""What asynchronous invocations have done, seen from outside: the function's own log, and the operator's."""

import json
from dataclasses import dataclass
from typing import Any

from live_functions import Function, eventually

FUNCTION = """
import json, time

def handler(event, context):
    print("RAN " + json.dumps([context.aws_request_id, context.function_version, event]), flush=True)
    time.sleep(event.get("sleep", 0))
    if event.get("fail"):
        raise ValueError("as it was told")
    return event
"""


@dataclass(frozen=True)
class Run:
    request_id: str
    version: str
    event: Any
    at_ms: int


def send(function: Function, event: Any, **parameters: Any) -> str:
    """An asynchronous invocation that is accepted. Returns its request id."""
    payload = json.dumps(event).encode()
    given = function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=payload, **parameters)
    assert given["StatusCode"] == 202
    assert given["Payload"].read() == b""
    assert "ExecutedVersion" not in given
    request_id: str = given["ResponseMetadata"]["RequestId"]
    return request_id


def runs(server: Any, function: Function) -> list[Run]:
    """The attempts that have begun, in the order in which they did."""
    pages = server.client("logs").get_paginator("filter_log_events")
    found = [
        Run(*json.loads(one["message"].removeprefix("RAN ")), one["timestamp"])
        for page in pages.paginate(logGroupName=f"/aws/lambda/{function.name}", filterPattern='"RAN "')
        for one in page["events"]
    ]
    return sorted(found, key=lambda run: run.at_ms)


def after_runs(server: Any, function: Function, count: int) -> list[Run]:
    """When so many attempts have begun."""

    def enough() -> list[Run]:
        try:
            found = runs(server, function)
        except server.client("logs").exceptions.ResourceNotFoundException:
            return []
        return found if len(found) >= count else []

    found: list[Run] = eventually(enough)
    return found


def dropped(server: Any, request_id: str, condition: str) -> bool:
    """Whether the operator was told that the event was given up."""
    lines = server.log.read_text().splitlines()
    return any("event dropped" in line and request_id in line and condition in line for line in lines)

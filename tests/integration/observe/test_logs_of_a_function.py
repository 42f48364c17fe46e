"""What a running function writes is found in CloudWatch Logs, and its attempts in the ledger."""

import base64
import io
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from live_functions import BOOTING

from lambent.observe.ledger import Began, Ended, entries

ROLE = "arn:aws:iam::111122223333:role/jobs/worker"
CODE = """
import boto3

def handler(event, context):
    print("first", event["word"])
    print("second\\tline")
    identity = boto3.client("sts").get_caller_identity()
    return {"arn": identity["Arn"], "account": identity["Account"], "stream": context.log_stream_name}
"""


class RunningServer(Protocol):
    data_dir: Any

    def client(self, service: str, account: str = ...) -> Any: ...


@pytest.fixture(scope="module", params=BOOTING.values(), ids=BOOTING)
def server(server: RunningServer, new_server: Any, request: Any) -> Iterator[RunningServer]:
    """The shared one, and one that boots on demand."""
    if request.param:
        with new_server(*request.param) as running:
            yield running
    else:
        yield server


@pytest.fixture(scope="module")
def answer(server: RunningServer) -> Iterator[dict[str, Any]]:
    """One invocation: the function's name, the response, and its payload."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", CODE)
    name = f"logging-{uuid.uuid4().hex[:8]}"
    client = server.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Role=ROLE,
        Handler="app.handler",
        Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    response = client.invoke(FunctionName=name, Payload=b'{"word": "hello"}', LogType="Tail")
    yield {"name": name, "response": response, "payload": json.load(response["Payload"])}
    client.delete_function(FunctionName=name)


def test_the_lines_are_in_the_functions_group_and_its_environments_stream(
    server: RunningServer, answer: dict[str, Any]
) -> None:
    logs = server.client("logs")
    group = f"/aws/lambda/{answer['name']}"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"] == answer["payload"]["stream"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
        "events"
    ]
    messages = [event["message"] for event in events]
    request_id = answer["response"]["ResponseMetadata"]["RequestId"]
    assert messages[0].startswith("INIT_START Runtime Version: python")
    assert messages[1:5] == [
        f"START RequestId: {request_id} Version: $LATEST\n",
        "first hello\n",
        "second\tline\n",
        f"END RequestId: {request_id}\n",
    ]
    assert messages[5].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert messages[5].endswith("\t\n")
    tail = base64.b64decode(answer["response"]["LogResult"]).decode()
    assert tail == "".join(messages[1:6])


def test_the_lines_are_found_by_a_filter_and_only_in_their_own_account(
    server: RunningServer, answer: dict[str, Any]
) -> None:
    group = f"/aws/lambda/{answer['name']}"
    (found,) = server.client("logs").filter_log_events(logGroupName=group, filterPattern='"first hello"')["events"]
    assert found["message"] == "first hello\n"
    stranger = server.client("logs", account="999988887777")
    with pytest.raises(stranger.exceptions.ResourceNotFoundException):
        stranger.filter_log_events(logGroupName=group)


def test_the_attempt_is_in_the_ledger_with_its_measures(server: RunningServer, answer: dict[str, Any]) -> None:
    request_id = answer["response"]["ResponseMetadata"]["RequestId"]
    began, ended = (entry for entry in entries(server.data_dir / "ledger") if entry.request_id == request_id)
    assert isinstance(began, Began)
    assert isinstance(ended, Ended)
    assert (began.function, began.version, began.memory_mib) == (answer["name"], "$LATEST", 128)
    assert ended.outcome == "success"
    assert ended.init_us is not None
    assert ended.init_us > 0
    assert ended.duration_us > 0
    assert ended.wall_ms >= began.wall_ms


def test_the_function_is_its_role_to_others(answer: dict[str, Any]) -> None:
    assert answer["payload"]["account"] == "111122223333"
    assert re.fullmatch(rf"arn:aws:sts::111122223333:assumed-role/worker/{answer['name']}", answer["payload"]["arn"])

"""What is told of asynchronous invocations, from a function to the queue, topic, bus, bucket or function that hears of
it, through a whole server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aws_services import AwsServices, settings_of
from event_runs import after_runs
from live_functions import Functions, eventually

ACCOUNT = "111122223333"
FAILS_OR_ANSWERS = """
def handler(event, context):
    if event.get("fails"):
        raise ValueError("no stock")
    return {"was": event}
"""
HEARS = """
import json
def handler(event, context):
    print("RAN " + json.dumps([context.aws_request_id, context.function_version, event]), flush=True)
"""


@pytest.fixture(scope="module")
def server(new_server: Any, services: AwsServices, queues: AwsServices) -> Iterator[Any]:
    with new_server("--event-retry-delay-s", "1", *settings_of(services, queues)) as running:
        yield running


def arn(service: str, name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:us-east-1:{account}:{name}"


def messages(queues: AwsServices, url: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += queues.client("sqs").receive_message(
            QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )["Messages"]
    return found


def test_a_success_and_a_failure_are_told_and_a_dead_letter_is_sent(queues: AwsServices, functions: Functions) -> None:
    sqs = queues.client("sqs")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("well", "ill", "dead")}
    function = functions.create(FAILS_OR_ANSWERS, DeadLetterConfig={"TargetArn": arn("sqs", "dead")})
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        MaximumRetryAttempts=1,
        DestinationConfig={
            "OnSuccess": {"Destination": arn("sqs", "well")},
            "OnFailure": {"Destination": arn("sqs", "ill")},
        },
    )
    ids = [
        function.invoke(event, InvocationType="Event", LogType="None").request_id
        for event in ({"order": 1}, {"order": 2, "fails": True})
    ]
    (well,) = messages(queues, urls["well"], 1)
    record = json.loads(well["Body"])
    assert record["requestContext"] == {
        "requestId": ids[0],
        "functionArn": arn("lambda", f"function:{function.name}:$LATEST"),
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == {"order": 1}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"was": {"order": 1}}

    (ill,) = messages(queues, urls["ill"], 1)
    record = json.loads(ill["Body"])
    context = record["requestContext"]
    assert (context["requestId"], context["condition"]) == (ids[1], "RetriesExhausted")
    assert context["approximateInvokeCount"] == 2
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "no stock"

    (dead,) = messages(queues, urls["dead"], 1)
    assert json.loads(dead["Body"]) == {"order": 2, "fails": True}
    told = {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()}
    assert told == {"RequestID": ids[1], "ErrorCode": "200", "ErrorMessage": "no stock"}


def test_another_function_and_a_bucket_hear_of_it(server: Any, services: AwsServices, functions: Functions) -> None:
    services.client("s3").create_bucket(Bucket="failures")
    hears = functions.create(HEARS)
    function = functions.create(FAILS_OR_ANSWERS)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        MaximumRetryAttempts=0,
        DestinationConfig={
            "OnSuccess": {"Destination": arn("lambda", f"function:{hears.name}")},
            "OnFailure": {"Destination": "arn:aws:s3:::failures"},
        },
    )
    for event in ({"order": 1}, {"order": 2, "fails": True}):
        function.invoke(event, InvocationType="Event", LogType="None")
    (run,) = after_runs(server, hears, 1)
    assert run.event["requestContext"]["condition"] == "Success"
    assert run.event["responsePayload"] == {"was": {"order": 1}}
    s3 = services.client("s3")
    (found,) = eventually(lambda: s3.list_objects_v2(Bucket="failures").get("Contents"))
    assert found["Key"].startswith(f"aws/lambda/async/{function.name}/")
    record = json.loads(s3.get_object(Bucket="failures", Key=found["Key"])["Body"].read())
    assert record["requestPayload"] == {"order": 2, "fails": True}


def test_with_no_concurrency_reserved_the_event_is_told_without_a_run(
    queues: AwsServices, functions: Functions
) -> None:
    url = queues.client("sqs").create_queue(QueueName="never")["QueueUrl"]
    function = functions.create(FAILS_OR_ANSWERS)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name, DestinationConfig={"OnFailure": {"Destination": arn("sqs", "never")}}
    )
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    function.invoke({"order": 3}, InvocationType="Event", LogType="None")
    (told,) = messages(queues, url, 1)
    record = json.loads(told["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"] == {"order": 3}
    assert "responsePayload" not in record

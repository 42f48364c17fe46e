"""Records and dead letters, as the targets have them: real queues, topics, event buses and buckets."""

import json
from typing import Any

import pytest
from aws_services import AwsServices
from outcomes import ACCOUNT, ARN, FAILED, PAYLOAD, RECORD, TRACE, attempt, deliveries_to

from lambent.core.errors import ModelledError, ResourceNotFoundException, ServiceException, TooManyRequestsException

SERVER_ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:after"


def only_message(server: AwsServices, queue_url: str) -> dict[str, Any]:
    """What is in the queue, which is taken out."""
    received = server.client("sqs").receive_message(
        QueueUrl=queue_url,
        WaitTimeSeconds=20,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["AWSTraceHeader"],
    )
    (message,) = received["Messages"]
    server.client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return message


def test_a_queue_has_the_record_or_the_event_with_the_trace(queues: AwsServices) -> None:
    url = queues.client("sqs").create_queue(QueueName="results")["QueueUrl"]
    target = f"arn:aws:sqs:us-east-1:{ACCOUNT}:results"

    assert attempt(deliveries_to(queues.url + "/"), target) is None
    message = only_message(queues, url)
    assert json.loads(message["Body"]) == RECORD
    assert f'"requestPayload":{PAYLOAD},' in message["Body"]
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}
    assert "MessageAttributes" not in message

    assert attempt(deliveries_to(queues.url), target, dead_letter=True) is None
    message = only_message(queues, url)
    assert message["Body"] == PAYLOAD
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}
    assert message["MessageAttributes"] == {
        "RequestID": {"DataType": "String", "StringValue": FAILED.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": "no stock"},
    }


def test_a_topic_publishes_the_record_or_the_event_with_attributes(services: AwsServices) -> None:
    url = services.client("sqs").create_queue(QueueName="subscriber")["QueueUrl"]
    topic = services.client("sns").create_topic(Name="results")["TopicArn"]
    subscriber = f"arn:aws:sqs:us-east-1:{SERVER_ACCOUNT}:subscriber"
    services.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscriber)

    assert attempt(deliveries_to(services.url), topic) is None
    published = json.loads(only_message(services, url)["Body"])
    assert json.loads(published["Message"]) == RECORD
    assert "MessageAttributes" not in published

    assert attempt(deliveries_to(services.url), topic, dead_letter=True) is None
    published = json.loads(only_message(services, url)["Body"])
    assert published["Message"] == PAYLOAD
    assert published["MessageAttributes"] == {
        "RequestID": {"Type": "String", "Value": FAILED.request_id},
        "ErrorCode": {"Type": "Number", "Value": "200"},
        "ErrorMessage": {"Type": "String", "Value": "no stock"},
    }


def test_a_rule_of_the_event_bus_finds_the_record_as_an_event_of_lambda(services: AwsServices) -> None:
    url = services.client("sqs").create_queue(QueueName="rule")["QueueUrl"]
    events = services.client("events")
    bus = events.create_event_bus(Name="results")["EventBusArn"]
    pattern = {"source": ["lambda"], "detail-type": ["Lambda Function Invocation Result - Failure"]}
    events.put_rule(Name="failures", EventBusName="results", EventPattern=json.dumps(pattern))
    queue = f"arn:aws:sqs:us-east-1:{SERVER_ACCOUNT}:rule"
    events.put_targets(Rule="failures", EventBusName="results", Targets=[{"Id": "queue", "Arn": queue}])

    assert attempt(deliveries_to(services.url), bus) is None
    event = json.loads(only_message(services, url)["Body"])
    assert event["detail"] == RECORD
    assert (event["source"], event["detail-type"]) == ("lambda", "Lambda Function Invocation Result - Failure")
    assert event["resources"] == [bus, ARN]
    assert event["time"] == "2019-11-14T18:16:05Z"


def test_a_bucket_has_the_record_as_an_object_and_as_the_same_when_it_is_sent_again(services: AwsServices) -> None:
    s3 = services.client("s3")
    s3.create_bucket(Bucket="results")
    for _ in range(2):
        assert attempt(deliveries_to(services.url), "arn:aws:s3:::results") is None
    (stored,) = s3.list_objects_v2(Bucket="results")["Contents"]
    assert stored["Key"] == f"aws/lambda/async/orders/2019/11/14/2019-11-14T18.16.05-{FAILED.request_id}"
    assert json.loads(s3.get_object(Bucket="results", Key=stored["Key"])["Body"].read()) == RECORD


def test_a_function_is_invoked_with_the_record_as_the_account_of_the_one_before() -> None:
    invoked: list[tuple[str, str, bytes, str]] = []

    async def invoke(*told: Any) -> None:
        invoked.append(told)

    assert attempt(deliveries_to(None, invoke=invoke), FUNCTION) is None
    ((account, function_arn, payload, trace_id),) = invoked
    assert (account, function_arn, trace_id) == (ACCOUNT, FUNCTION, TRACE)
    assert json.loads(payload) == RECORD


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (TooManyRequestsException("Rate Exceeded."), True),
        (ServiceException("the disk is full"), True),
        (ResourceNotFoundException("Function not found"), False),
    ],
)
def test_a_function_that_can_not_be_invoked_is_a_failed_delivery(error: ModelledError, is_transient: bool) -> None:
    async def invoke(*told: Any) -> None:
        raise error

    failure = attempt(deliveries_to(None, invoke=invoke), FUNCTION)
    assert failure is not None
    assert failure.is_transient is is_transient


@pytest.mark.parametrize("dead_letter", [False, True])
def test_a_queue_that_is_not_there_will_not_be_there_later(queues: AwsServices, dead_letter: bool) -> None:
    target = f"arn:aws:sqs:us-east-1:{ACCOUNT}:nowhere"
    failure = attempt(deliveries_to(queues.url), target, dead_letter=dead_letter)
    assert failure is not None
    assert not failure.is_transient


@pytest.mark.parametrize(
    "target",
    [
        f"arn:aws:sns:us-east-1:{SERVER_ACCOUNT}:nowhere",
        f"arn:aws:events:us-east-1:{SERVER_ACCOUNT}:event-bus/nowhere",
        "arn:aws:s3:::nowhere",
    ],
)
def test_a_target_that_is_not_there_will_not_be_there_later(services: AwsServices, target: str) -> None:
    failure = attempt(deliveries_to(services.url), target)
    assert failure is not None
    assert not failure.is_transient

"""What a mapping is for, and when two are the same. The settings of each source: test_event_source_settings.py."""

from typing import Any

import botocore.session
import pytest
from msgspec.structs import replace

from lambent.core.errors import InvalidParameterValueException
from lambent.core.event_source import (
    EVERY_MAPPING,
    RULES,
    EventSourceMapping,
    Source,
    duplicate_refusal,
    function_of,
    mapping_arn,
    qualifier_shown,
    source_of,
)
from lambent.core.event_source_state import State
from lambent.core.function import FunctionName

REGION = "eu-west-1"
ECHO = FunctionName("123456789012", REGION, "echo")
ONE = EventSourceMapping(
    uuid="u1",
    source=Source.SQS,
    function=ECHO,
    qualifier=None,
    enabled=True,
    state=State.ENABLED,
    modified_ms=1,
    settings={"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:q"},
)


def arn(service: str, rest: str, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:123456789012:{rest}"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (arn("kinesis", "stream/s"), Source.KINESIS),
        (arn("kinesis", "stream/s/consumer/c:1700000000"), Source.KINESIS),
        (arn("dynamodb", "table/t/stream/2024-06-10T19:26:16.525"), Source.DYNAMODB),
        (arn("sqs", "q"), Source.SQS),
        (arn("sqs", "q.fifo"), Source.SQS),
        (arn("kafka", "cluster/c/11111111-2222-3333-4444-555555555555-1"), Source.MSK),
        (arn("kafka", "vpc-connection/123456789012/c/1"), Source.MSK),
        (arn("mq", "broker:b:b-1"), Source.MQ),
        (arn("rds", "cluster:docs"), Source.DOCUMENTDB),
    ],
)
def test_the_arn_tells_the_source(text: str, source: Source) -> None:
    assert source_of({"EventSourceArn": text}, REGION) is source


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"SelfManagedEventSource": {}},
        {"EventSourceArn": arn("sns", "topic")},
        {"EventSourceArn": arn("dynamodb", "table/t")},
        {"EventSourceArn": arn("kinesis", "s")},
        {"EventSourceArn": arn("sqs", "q.other")},
    ],
)
def test_what_is_no_source_is_not_recognised(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterValueException, match=r"^Unrecognized event source\.$"):
        source_of(params, REGION)


def test_a_source_is_one_and_in_the_functions_region() -> None:
    cluster = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}}
    assert source_of({"SelfManagedEventSource": cluster}, REGION) is Source.SELF_MANAGED_KAFKA
    for params in (
        {"SelfManagedEventSource": cluster, "EventSourceArn": arn("sqs", "q")},
        {"EventSourceArn": arn("sqs", "q", "eu-west-2")},
    ):
        with pytest.raises(InvalidParameterValueException):
            source_of(params, REGION)


def test_every_member_of_the_model_is_of_some_source() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    members = set(model.operation_model("CreateEventSourceMapping").input_shape.members)
    settings = members - {"EventSourceArn", "FunctionName", "Enabled", "Tags"}
    assert settings == EVERY_MAPPING.union(*(rules.members for rules in RULES.values()))
    for rules in RULES.values():
        assert set(rules.required) | set(rules.defaults) <= rules.members | EVERY_MAPPING
    access = set(model.shape_for("SourceAccessType").enum)
    assert access == set().union(*(rules.access for rules in RULES.values()))


def test_the_functions_arn_is_shown_as_it_was_given() -> None:
    full = "arn:aws:lambda:eu-west-1:123456789012:function:echo"
    assert qualifier_shown("echo", None) is None
    assert qualifier_shown("echo:live", "live") == "live"
    assert qualifier_shown("123456789012:function:echo:$LATEST", "$LATEST") == "$LATEST"
    assert qualifier_shown(f"{full}:$LATEST", "$LATEST") is None
    assert function_of(replace(ONE, qualifier="live")) == f"{full}:live"
    assert mapping_arn(ONE) == "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:u1"


def other(source: Source, **settings: Any) -> EventSourceMapping:
    return replace(ONE, uuid="u2", source=source, settings=settings)


def kafka(servers: list[str], topic: str) -> dict[str, Any]:
    return {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}}, "Topics": [topic]}


def test_a_queue_or_a_stream_is_mapped_to_a_function_once() -> None:
    assert duplicate_refusal(ONE, ONE) is None
    queue = ONE.settings["EventSourceArn"]
    assert duplicate_refusal(ONE, other(Source.SQS, EventSourceArn=queue)) == (
        f'An event source mapping with SQS arn (" {queue} ") and function (" echo ") already exists. '
        "Please update or delete the existing mapping with UUID u2"
    )
    assert duplicate_refusal(ONE, other(Source.SQS, EventSourceArn=queue + "2")) is None
    stream = other(Source.KINESIS, EventSourceArn=arn("kinesis", "stream/s"))
    assert duplicate_refusal(ONE, stream) is None
    assert duplicate_refusal(replace(stream, uuid="u3"), stream) == (
        f'The event source arn (" {arn("kinesis", "stream/s")} ") and function (" echo ") provided mapping already '
        "exists. Please update or delete the existing mapping with UUID u2"
    )


def test_of_a_cluster_each_topic_queue_or_collection_is_mapped_once() -> None:
    before = other(Source.SELF_MANAGED_KAFKA, **kafka(["a:1", "b:1"], "t"))
    again = replace(before, uuid="u3", settings=kafka(["b:1", "c:1"], "t"))
    assert duplicate_refusal(again, before) == (
        'An event source mapping with event source ("b:1,c:1"), function ("arn:aws:lambda:eu-west-1:123456789012:'
        'function:echo"), topics ("t") already exists. Please update or delete the existing mapping with UUID u2'
    )
    assert duplicate_refusal(replace(again, settings=kafka(["b:1"], "t2")), before) is None
    assert duplicate_refusal(replace(again, settings=kafka(["c:1"], "t")), before) is None
    broker = other(Source.MQ, EventSourceArn=arn("mq", "broker:b"), Queues=["q"])
    assert duplicate_refusal(replace(broker, uuid="u3"), broker) is not None
    for settings in (
        {**broker.settings, "Queues": ["q2"]},
        {**broker.settings, "SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/other"}]},
    ):
        assert duplicate_refusal(replace(broker, uuid="u3", settings=settings), broker) is None
    docs = {"DatabaseName": "d", "CollectionName": "c"}
    cluster = other(Source.DOCUMENTDB, EventSourceArn=arn("rds", "cluster:c"), DocumentDBEventSourceConfig=docs)
    assert duplicate_refusal(replace(cluster, uuid="u3"), cluster) is not None
    elsewhere = {**cluster.settings, "DocumentDBEventSourceConfig": {"DatabaseName": "d"}}
    assert duplicate_refusal(replace(cluster, uuid="u3", settings=elsewhere), cluster) is None

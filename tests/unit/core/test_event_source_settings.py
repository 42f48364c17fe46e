from datetime import UTC, datetime
from typing import Any

import pytest

from lambent.core.errors import InvalidParameterValueException
from lambent.core.event_source import Source
from lambent.core.event_source_settings import change, create

NOW_MS = 1_700_000_000_000
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s"
BASIC = [{"Type": "BASIC_AUTH", "URI": SECRET}]
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
PATTERN = '{"body": ["x"]}'
STREAM_DEFAULTS = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
    "DestinationConfig": {"OnFailure": {}},
}

NEEDED: dict[Source, dict[str, Any]] = {
    Source.KINESIS: {"EventSourceArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s", "StartingPosition": "LATEST"},
    Source.DYNAMODB: {
        "EventSourceArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2024-06-10T19:26:16.525",
        "StartingPosition": "TRIM_HORIZON",
    },
    Source.SQS: {"EventSourceArn": QUEUE},
    Source.MSK: {"EventSourceArn": "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", "Topics": ["t"]},
    Source.SELF_MANAGED_KAFKA: {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}},
        "Topics": ["t"],
        "SourceAccessConfigurations": BASIC,
    },
    Source.MQ: {
        "EventSourceArn": "arn:aws:mq:eu-west-1:123456789012:broker:b:1",
        "Queues": ["q"],
        "SourceAccessConfigurations": BASIC,
    },
    Source.DOCUMENTDB: {
        "EventSourceArn": "arn:aws:rds:eu-west-1:123456789012:cluster:c",
        "DocumentDBEventSourceConfig": {"DatabaseName": "d"},
        "SourceAccessConfigurations": BASIC,
    },
}
DEFAULTS: dict[Source, dict[str, Any]] = {
    Source.KINESIS: STREAM_DEFAULTS,
    Source.DYNAMODB: STREAM_DEFAULTS,
    Source.SQS: {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    Source.MSK: {
        "BatchSize": 100,
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": [],
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "u"},
    },
    Source.SELF_MANAGED_KAFKA: {
        "BatchSize": 100,
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": [],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "u"},
    },
    Source.MQ: {"BatchSize": 100},
    Source.DOCUMENTDB: {"BatchSize": 100},
}
UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."


def made(source: Source, **members: Any) -> dict[str, Any]:
    return create(source, {"FunctionName": "echo", **NEEDED[source], **members}, "u", NOW_MS)


def refused(source: Source, **members: Any) -> str:
    with pytest.raises(InvalidParameterValueException) as raised:
        made(source, **members)
    assert raised.value.message is not None
    return raised.value.message


@pytest.mark.parametrize("source", list(Source))
def test_what_is_not_given_has_the_sources_default(source: Source) -> None:
    assert made(source) == {**DEFAULTS[source], **NEEDED[source]}


@pytest.mark.parametrize(
    ("source", "member", "message"),
    [
        (
            Source.KINESIS,
            "StartingPosition",
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null.",
        ),
        (Source.MSK, "Topics", "Required 'topics' parameter is missing."),
        (Source.SELF_MANAGED_KAFKA, "Topics", "Required 'topics' parameter is missing."),
        (
            Source.SELF_MANAGED_KAFKA,
            "SourceAccessConfigurations",
            "Required 'sourceAccessConfigurations' parameter is missing.",
        ),
        (Source.MQ, "Queues", "Required 'queues' parameter is missing."),
        (Source.MQ, "SourceAccessConfigurations", "Required 'sourceAccessConfigurations' parameter is missing."),
        (
            Source.DOCUMENTDB,
            "DocumentDBEventSourceConfig",
            "Required 'documentDBEventSourceConfig' parameter is missing.",
        ),
    ],
)
def test_what_a_source_needs_must_be_given(source: Source, member: str, message: str) -> None:
    assert refused(source, **{member: None}) == message


def test_a_database_has_a_name() -> None:
    assert refused(Source.DOCUMENTDB, DocumentDBEventSourceConfig={"CollectionName": "c"}) == (
        "Required 'databaseName' parameter is missing."
    )


STREAM_ONLY = {"ParallelizationFactor": 2, "TumblingWindowInSeconds": 10}
FAILURES = {"MaximumRetryAttempts": 1, "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": True}
DESTINATION = {"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}
KAFKA_ONLY = {"Topics": ["t"], "LoggingConfig": {"SystemLogLevel": "INFO"}}


@pytest.mark.parametrize(
    ("sources", "members"),
    [
        ((Source.KINESIS, Source.DYNAMODB), STREAM_ONLY),
        ((Source.KINESIS, Source.DYNAMODB, Source.MSK, Source.SELF_MANAGED_KAFKA), FAILURES | DESTINATION),
        ((Source.MSK, Source.SELF_MANAGED_KAFKA), KAFKA_ONLY),
        ((Source.SQS,), {"ScalingConfig": {"MaximumConcurrency": 5}}),
        ((Source.SQS, Source.MSK, Source.SELF_MANAGED_KAFKA), {"ProvisionedPollerConfig": {"MinimumPollers": 3}}),
        ((Source.MQ,), {"Queues": ["q"]}),
        ((Source.DOCUMENTDB,), {"DocumentDBEventSourceConfig": {"DatabaseName": "d"}}),
        ((Source.MSK,), {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}}),
        ((Source.SELF_MANAGED_KAFKA,), {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}}),
        (
            tuple(set(Source) - {Source.MQ, Source.DOCUMENTDB}),
            {"FunctionResponseTypes": ["ReportBatchItemFailures"], "MetricsConfig": {"Metrics": ["EventCount"]}},
        ),
        (
            (Source.MSK, Source.SELF_MANAGED_KAFKA, Source.MQ, Source.DOCUMENTDB),
            {"SourceAccessConfigurations": [{"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}]},
        ),
    ],
)
def test_a_member_of_other_sources_is_refused(sources: tuple[Source, ...], members: dict[str, Any]) -> None:
    for source in Source:
        for member, value in members.items():
            if source not in sources:
                assert refused(source, **{member: value}) == UNSUPPORTED.format(member)
            elif member not in ("ProvisionedPollerConfig", "SourceAccessConfigurations", "TumblingWindowInSeconds"):
                assert made(source, **{member: value})[member] == value


def test_an_empty_structure_asks_for_nothing_of_a_source_that_has_it_not() -> None:
    assert made(Source.SQS, DestinationConfig={}, Topics=[]) == {**DEFAULTS[Source.SQS], **NEEDED[Source.SQS]}


def test_the_start_is_one_that_the_source_has() -> None:
    past = datetime.fromtimestamp(NOW_MS / 1000 - 5, UTC)
    timed = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": past}
    for source in (Source.KINESIS, Source.MSK, Source.SELF_MANAGED_KAFKA, Source.DOCUMENTDB):
        assert made(source, **timed)["StartingPositionTimestamp"] == NOW_MS / 1000 - 5
    stream = NEEDED[Source.DYNAMODB]["EventSourceArn"]
    assert refused(Source.DYNAMODB, **timed) == f"Unsupported starting position for arn type: {stream}"
    assert refused(Source.SQS, StartingPosition="LATEST") == "StartingPosition is not valid for SQS event sources."
    assert refused(Source.MQ, StartingPosition="LATEST") == UNSUPPORTED.format("StartingPosition")
    future = datetime.fromtimestamp(NOW_MS / 1000 + 5, UTC)
    assert "future" in refused(Source.KINESIS, **{**timed, "StartingPositionTimestamp": future})
    assert "needs" in refused(Source.KINESIS, StartingPosition="AT_TIMESTAMP")
    assert "only" in refused(Source.KINESIS, StartingPositionTimestamp=past)


def test_large_batches_of_a_queue_need_a_window_and_ordered_queues_have_neither() -> None:
    needs_window = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    assert refused(Source.SQS, BatchSize=11) == needs_window
    assert made(Source.SQS, BatchSize=10_000, MaximumBatchingWindowInSeconds=1)["BatchSize"] == 10_000
    assert made(Source.KINESIS, BatchSize=10_000)["BatchSize"] == 10_000
    fifo = QUEUE + ".fifo"
    assert made(Source.SQS, EventSourceArn=fifo, MaximumBatchingWindowInSeconds=0)["BatchSize"] == 10
    no_window = refused(Source.SQS, EventSourceArn=fifo, MaximumBatchingWindowInSeconds=1)
    assert no_window == "Batching window is not supported for FIFO queues"
    assert "10" in refused(Source.SQS, EventSourceArn=fifo, BatchSize=11)


def test_windows_and_parallel_batches_exclude_each_other() -> None:
    assert made(Source.KINESIS, TumblingWindowInSeconds=900)["TumblingWindowInSeconds"] == 900
    assert "must be 1" in refused(Source.KINESIS, TumblingWindowInSeconds=1, ParallelizationFactor=2)


def test_a_record_may_be_of_any_age_or_of_a_minute_at_least() -> None:
    for age in (-1, 60, 604_800):
        assert made(Source.DYNAMODB, MaximumRecordAgeInSeconds=age)["MaximumRecordAgeInSeconds"] == age
    for age in (0, 59):
        assert "at least 60" in refused(Source.DYNAMODB, MaximumRecordAgeInSeconds=age)


def on_failure(destination: str) -> dict[str, Any]:
    return {"DestinationConfig": {"OnFailure": {"Destination": destination}}}


def test_failed_records_go_where_records_can_go() -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:t"
    for destination in (QUEUE, topic, "arn:aws:s3:::bucket"):
        members = on_failure(destination)
        assert made(Source.KINESIS, **members)["DestinationConfig"] == members["DestinationConfig"]
    assert made(Source.KINESIS, **on_failure("")) == made(Source.KINESIS)
    assert made(Source.MSK, **on_failure("kafka://t"))["DestinationConfig"]["OnFailure"]["Destination"] == "kafka://t"
    for destination in ("kafka://t", QUEUE + ".fifo", "arn:aws:lambda:eu-west-1:123456789012:function:f"):
        assert "destination" in refused(Source.KINESIS, **on_failure(destination))
    success = {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}
    assert refused(Source.KINESIS, **success) == UNSUPPORTED.format("DestinationConfig")


def test_there_are_five_filters_at_most_and_each_is_a_pattern() -> None:
    five = {"Filters": [{"Pattern": PATTERN}] * 5}
    assert made(Source.SQS, FilterCriteria=five)["FilterCriteria"] == five
    assert "5 are allowed" in refused(Source.SQS, FilterCriteria={"Filters": [{"Pattern": PATTERN}] * 6})
    for bad in ({}, {"Pattern": ""}, {"Pattern": "{"}, {"Pattern": '{"a": 1}'}):
        filters = {"Filters": [{"Pattern": PATTERN}, bad]}
        assert refused(Source.SQS, FilterCriteria=filters) == "Invalid filter pattern definition."
    for nothing in ({}, {"Filters": []}):
        assert "FilterCriteria" not in made(Source.SQS, FilterCriteria=nothing)


def test_pollers_are_within_what_the_source_allows() -> None:
    def pollers(source: Source, **given: int) -> Any:
        return made(source, ProvisionedPollerConfig=given)["ProvisionedPollerConfig"]

    assert pollers(Source.SQS, MinimumPollers=3) == {"MinimumPollers": 3, "MaximumPollers": 200}
    assert pollers(Source.SQS, MaximumPollers=10_000) == {"MinimumPollers": 2, "MaximumPollers": 10_000}
    assert pollers(Source.MSK, MaximumPollers=2_000) == {"MinimumPollers": 1, "MaximumPollers": 2_000}
    assert "ProvisionedPollerConfig" not in made(Source.SQS, ProvisionedPollerConfig={})
    assert "at least 2" in refused(Source.SQS, ProvisionedPollerConfig={"MinimumPollers": 1})
    assert "at most 2000" in refused(Source.MSK, ProvisionedPollerConfig={"MaximumPollers": 2_001})
    more = {"MinimumPollers": 20, "MaximumPollers": 19}
    assert "more than" in refused(Source.SELF_MANAGED_KAFKA, ProvisionedPollerConfig=more)
    grouped = {"MinimumPollers": 2, "PollerGroupName": "g"}
    assert made(Source.MSK, ProvisionedPollerConfig=grouped)["ProvisionedPollerConfig"]["PollerGroupName"] == "g"
    assert refused(Source.SQS, ProvisionedPollerConfig=grouped) == UNSUPPORTED.format("PollerGroupName")
    both = {"ScalingConfig": {"MaximumConcurrency": 2}, "ProvisionedPollerConfig": {"MinimumPollers": 2}}
    assert "exclude" in refused(Source.SQS, **both)


def test_metrics_of_kafka_are_for_kafka() -> None:
    kafka = {"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics"]}
    assert made(Source.MSK, MetricsConfig=kafka)["MetricsConfig"] == kafka
    assert refused(Source.SQS, MetricsConfig=kafka) == UNSUPPORTED.format("MetricsConfig")


def test_the_ways_in_are_those_of_the_source_and_complete() -> None:
    def access(*entries: tuple[str, str | None]) -> dict[str, Any]:
        listed = [{"Type": kind, **({} if uri is None else {"URI": uri})} for kind, uri in entries]
        return {"SourceAccessConfigurations": listed}

    for entries in (
        [("VPC_SUBNET", "subnet:subnet-1"), ("VPC_SECURITY_GROUP", "security_group:sg-1")],
        [("OAUTHBEARER_AUTH", SECRET), ("OAUTHBEARER_SCOPE", "s")],
        [("IAM_AUTH", None)],
        [("IAM_OAUTHBEARER_AUTH", None), ("OAUTHBEARER_AUDIENCE", "a")],
    ):
        assert made(Source.SELF_MANAGED_KAFKA, **access(*entries))["SourceAccessConfigurations"]
        assert "type" in refused(Source.MQ, **access(*entries))
    for entries in (
        [("OAUTHBEARER_SCOPE", "s")],
        [("IAM_OAUTHBEARER_AUTH", None)],
        [("IAM_AUTH", SECRET)],
        [("BASIC_AUTH", None)],
    ):
        refused(Source.SELF_MANAGED_KAFKA, **access(*entries))
    refused(Source.MQ, SourceAccessConfigurations=[*BASIC, {"URI": SECRET}])
    assert "BASIC_AUTH" in refused(Source.MQ, **access(("VIRTUAL_HOST", "/h")))


def test_a_queue_of_kafka_has_no_start_and_no_endless_retries() -> None:
    def queue(**members: Any) -> dict[str, Any]:
        return {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}, **members}

    settings = made(Source.SELF_MANAGED_KAFKA, **queue())
    assert "StartingPosition" not in settings
    assert settings["MaximumRetryAttempts"] == 0
    with pytest.raises(InvalidParameterValueException):
        change(Source.SELF_MANAGED_KAFKA, settings, {"MaximumBatchingWindowInSeconds": 1})
    for members in (
        {"StartingPosition": "LATEST"},
        {"MaximumBatchingWindowInSeconds": 1},
        {"MaximumRetryAttempts": -1},
    ):
        assert "Queue" in refused(Source.SELF_MANAGED_KAFKA, **queue(**members))


def test_an_update_keeps_what_it_does_not_name_and_takes_away_what_is_emptied() -> None:
    filters = {"Filters": [{"Pattern": PATTERN}]}
    scaled = made(Source.SQS, FilterCriteria=filters, ScalingConfig={"MaximumConcurrency": 2}, KMSKeyArn=SECRET)
    assert change(Source.SQS, scaled, {"UUID": "u", "Enabled": False, "FunctionName": "f"}) == scaled
    assert change(Source.SQS, scaled, {"BatchSize": 5}) == {**scaled, "BatchSize": 5}
    emptied = {"FilterCriteria": {"Filters": []}, "ScalingConfig": {}, "KMSKeyArn": ""}
    assert change(Source.SQS, scaled, emptied) == made(Source.SQS)
    stream = made(Source.KINESIS, **on_failure(QUEUE))
    assert change(Source.KINESIS, stream, {"DestinationConfig": {}}) == made(Source.KINESIS)
    assert change(Source.KINESIS, stream, on_failure(None)) == made(Source.KINESIS)


@pytest.mark.parametrize(
    ("source", "before", "members"),
    [
        (Source.SQS, {}, {"BatchSize": 11}),
        (Source.SQS, {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1}, {"MaximumBatchingWindowInSeconds": 0}),
        (Source.SQS, {}, {"ParallelizationFactor": 2}),
        (Source.SQS, {"ScalingConfig": {"MaximumConcurrency": 2}}, {"ProvisionedPollerConfig": {"MinimumPollers": 2}}),
        (Source.KINESIS, {"TumblingWindowInSeconds": 5}, {"ParallelizationFactor": 2}),
        (Source.MSK, {}, {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "other"}}),
        (Source.SELF_MANAGED_KAFKA, {}, {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}}),
        (Source.MQ, {}, {"SourceAccessConfigurations": [*BASIC, {"Type": "VIRTUAL_HOST", "URI": "/"}]}),
        (Source.MQ, {}, {"SourceAccessConfigurations": []}),
        (Source.DOCUMENTDB, {}, {"DocumentDBEventSourceConfig": {"CollectionName": "c"}}),
    ],
)
def test_an_update_is_held_to_the_rules_as_a_whole(
    source: Source, before: dict[str, Any], members: dict[str, Any]
) -> None:
    with pytest.raises(InvalidParameterValueException):
        change(source, made(source, **before), members)


def test_what_can_not_change_may_be_said_again() -> None:
    group = {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}}
    settings = made(Source.MSK, **group)
    assert change(Source.MSK, settings, group) == settings
    self_managed = made(Source.SELF_MANAGED_KAFKA)
    stream = {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Stream"}}
    after = change(Source.SELF_MANAGED_KAFKA, self_managed, stream)
    assert after["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "u", "ConsumptionMode": "Stream"}
    host = {"Type": "VIRTUAL_HOST", "URI": "/h"}
    broker = made(Source.MQ, SourceAccessConfigurations=[*BASIC, host])
    renewed = [{"Type": "BASIC_AUTH", "URI": SECRET + "2"}]
    after = change(Source.MQ, broker, {"SourceAccessConfigurations": renewed})
    assert after["SourceAccessConfigurations"] == [*renewed, host]

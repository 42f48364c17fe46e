"""Rules of event source mappings that the service model has not: those of one kind of source, and those between two
members. boto3 is refused by a running server, and nothing changes; the nearest that is right is accepted."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import ACCOUNT, REGION, clients, conflict, invalid, make_function, reconfigure, refusal, shape
from live_functions import eventually

OWNER = "222233334444"
"""An account that no other test has mappings in."""
FUNCTION = "mapped"
SLOW = "slow"
"""Its version 1 is as slow as a function of a broker may be, and `$LATEST` slower by a second."""
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{OWNER}:function:{FUNCTION}"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:broker"


def arn(service: str, rest: str, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{rest}"


def access(*kinds: str) -> dict[str, Any]:
    return {"SourceAccessConfigurations": [{"Type": kind, "URI": SECRET} for kind in kinds]}


def by_role(*more: str) -> dict[str, Any]:
    """By the token of the function's role, which is for somebody."""
    entries = access("OAUTHBEARER_AUDIENCE", *more)["SourceAccessConfigurations"]
    return {"SourceAccessConfigurations": [{"Type": "IAM_OAUTHBEARER_AUTH"}, *entries]}


def filters(count: int, pattern: str = '{"body": ["x"]}') -> dict[str, Any]:
    return {"FilterCriteria": {"Filters": [{"Pattern": pattern}] * count}}


def pollers(**members: int) -> dict[str, Any]:
    return {"ProvisionedPollerConfig": members}


def registry(**members: Any) -> dict[str, Any]:
    """Of Glue, for a cluster of MSK. What is None is left out."""
    config = {"SchemaRegistryURI": GLUE, "EventRecordFormat": "JSON", **members}
    given = {name: value for name, value in config.items() if value is not None}
    return {"AmazonManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": given}}


def failures_to(destination: str) -> dict[str, Any]:
    return {"DestinationConfig": {"OnFailure": {"Destination": destination}}}


QUEUE = {"EventSourceArn": arn("sqs", "jobs")}
FIFO = {"EventSourceArn": arn("sqs", "jobs.fifo")}
STREAM = {"EventSourceArn": arn("kinesis", "stream/clicks"), "StartingPosition": "LATEST"}
TABLE = {
    "EventSourceArn": arn("dynamodb", "table/t/stream/2024-06-10T19:26:16.525"),
    "StartingPosition": "TRIM_HORIZON",
}
MSK = {"EventSourceArn": arn("kafka", "cluster/c/1"), "Topics": ["orders"]}
BROKERS = {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a.example:9092"]}}}
KAFKA = {**BROKERS, "Topics": ["orders"], **access("BASIC_AUTH")}
MQ = {"EventSourceArn": arn("mq", "broker:b:1"), "Queues": ["jobs"], **access("BASIC_AUTH")}
DOCUMENTS = {
    "EventSourceArn": arn("rds", "cluster:docs"),
    "DocumentDBEventSourceConfig": {"DatabaseName": "d"},
    "StartingPosition": "LATEST",
    **access("BASIC_AUTH"),
}
NAMES = [
    (QUEUE, "queue"),
    (FIFO, "fifo"),
    (STREAM, "stream"),
    (TABLE, "table"),
    (MSK, "msk"),
    (KAFKA, "kafka"),
    (MQ, "mq"),
    (DOCUMENTS, "documents"),
]


def unsupported(member: str) -> str:
    return f"Unsupported {member} parameter for given event source mapping type."


def missing(member: str) -> str:
    return f"Required '{member}' parameter is missing."


WINDOW = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
BAD_PATTERN = "Invalid filter pattern definition."
YOUNG = "MaximumRecordAgeInSeconds must be -1, or at least 60."
EXCLUDING = "ScalingConfig and ProvisionedPollerConfig exclude each other."
NO_QUEUE_MODE = "{} is not supported when ConsumptionMode is Queue."
QUEUE_MODE = {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}}
NO_URI = "Each of SourceAccessConfigurations has a Type and a URI, IAM_AUTH and IAM_OAUTHBEARER_AUTH have no URI."
TOPIC = "kafka://failed"
NO_DESTINATION = "The Destination field is required for an OnFailure configuration."


def can_not_take(destination: str) -> str:
    return f"The destination {destination} can not take records of this event source."


def no_access(kinds: str) -> str:
    return f"The event source has no SourceAccessConfigurations of type {kinds}."


LEAST_POLLERS = "An event source of this kind has at least 2 pollers."
MOST_POLLERS = "An event source of this kind has at most 2000 pollers."
EVENTS = {"MetricsConfig": {"Metrics": ["EventCount"]}}
ERRORS = {"MetricsConfig": {"Metrics": ["ErrorCount"]}}
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
GROUPED = {"ProvisionedPollerConfig": {"PollerGroupName": "g"}}
GLUE = arn("glue", "registry/r")
CONFLUENT = "https://registry.example"
WITH_PASSWORD = {"Type": "BASIC_AUTH", "URI": SECRET}
ON_POLLERS = pollers(MinimumPollers=1)
LESS = '{"data": [{"numeric": ["<", 1]}]}'
THAN = '{"data": [{"numeric": ["<"]}]}'
IN_AN_HOUR = int(time.time()) + 3600

Case = tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]
AT_ANY_TIME: list[Case] = [
    (QUEUE, {"BatchSize": 11}, WINDOW, {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1}),
    (FIFO, {"BatchSize": 11}, "BatchSize must be less than or equal to 10 for FIFO queues.", {"BatchSize": 10}),
    (
        FIFO,
        {"MaximumBatchingWindowInSeconds": 1},
        "Batching window is not supported for FIFO queues",
        {"MaximumBatchingWindowInSeconds": 0},
    ),
    (
        QUEUE,
        {"ScalingConfig": {"MaximumConcurrency": 2}, **pollers(MinimumPollers=2)},
        EXCLUDING,
        {"ScalingConfig": {"MaximumConcurrency": 2}},
    ),
    (QUEUE, pollers(MinimumPollers=1), LEAST_POLLERS, pollers(MinimumPollers=2)),
    (MSK, pollers(MaximumPollers=2001), MOST_POLLERS, pollers(MaximumPollers=2000)),
    (
        KAFKA,
        pollers(MinimumPollers=5, MaximumPollers=4),
        "MinimumPollers is more than MaximumPollers.",
        pollers(MinimumPollers=4, MaximumPollers=4),
    ),
    (QUEUE, GROUPED, unsupported("PollerGroupName"), pollers(MinimumPollers=3)),
    (
        MSK,
        registry(),
        "SchemaRegistryConfig needs ProvisionedPollerConfig.",
        {**registry(AccessConfigs=[], SchemaValidationConfigs=[{"Attribute": "KEY"}]), **pollers(MinimumPollers=1)},
    ),
    (
        MSK,
        {**registry(SchemaRegistryURI=None), **ON_POLLERS},
        "SchemaRegistryConfig needs a SchemaRegistryURI.",
        {**registry(SchemaRegistryURI=CONFLUENT, AccessConfigs=[WITH_PASSWORD]), **ON_POLLERS},
    ),
    (
        MSK,
        {**registry(SchemaRegistryURI=arn("kafka", "registry/r")), **ON_POLLERS},
        f"{arn('kafka', 'registry/r')} is not the ARN of a Glue schema registry.",
        {**registry(), **ON_POLLERS},
    ),
    (
        MSK,
        {**registry(SchemaRegistryURI="registry"), **ON_POLLERS},
        "registry is neither the ARN nor the URL of a schema registry.",
        {**registry(SchemaRegistryURI=CONFLUENT), **ON_POLLERS},
    ),
    (
        MSK,
        {**registry(AccessConfigs=[WITH_PASSWORD]), **ON_POLLERS},
        "A Glue schema registry has no AccessConfigs: the role has access.",
        {**registry(), **ON_POLLERS},
    ),
    (
        MSK,
        {**registry(SchemaRegistryURI=CONFLUENT, AccessConfigs=[{"Type": "BASIC_AUTH"}]), **ON_POLLERS},
        "Each of AccessConfigs has a Type and a URI.",
        {**registry(SchemaRegistryURI=CONFLUENT, AccessConfigs=[WITH_PASSWORD]), **ON_POLLERS},
    ),
    *(
        (
            MSK,
            {**registry(SchemaValidationConfigs=wrong), **ON_POLLERS},
            "Each of SchemaValidationConfigs has an Attribute, KEY or VALUE, once.",
            {**registry(SchemaValidationConfigs=[{"Attribute": "KEY"}, {"Attribute": "VALUE"}]), **ON_POLLERS},
        )
        for wrong in ([{}], [{"Attribute": "KEY"}, {"Attribute": "KEY"}])
    ),
    (QUEUE, filters(6), "FilterCriteria has 6 filters; 5 are allowed.", filters(5)),
    (QUEUE, filters(1, '{"body": "x"}'), BAD_PATTERN, filters(1, '{"body": [{"prefix": "x"}]}')),
    (STREAM, filters(1, "{"), BAD_PATTERN, filters(1, '{"data": {"a": [null]}}')),
    (STREAM, filters(1, THAN), BAD_PATTERN, filters(1, LESS)),
    (QUEUE, ERRORS, unsupported("MetricsConfig"), EVENTS),
    (QUEUE, {"ParallelizationFactor": 2}, unsupported("ParallelizationFactor"), {}),
    (QUEUE, {"BisectBatchOnFunctionError": True}, unsupported("BisectBatchOnFunctionError"), {}),
    (QUEUE, {"MaximumRetryAttempts": 1}, unsupported("MaximumRetryAttempts"), {}),
    (QUEUE, {"MaximumRecordAgeInSeconds": 60}, unsupported("MaximumRecordAgeInSeconds"), {}),
    (QUEUE, {"TumblingWindowInSeconds": 1}, unsupported("TumblingWindowInSeconds"), {}),
    (QUEUE, failures_to(arn("sqs", "dead")), unsupported("DestinationConfig"), {"DestinationConfig": {}}),
    (QUEUE, access("BASIC_AUTH"), unsupported("SourceAccessConfigurations"), {"SourceAccessConfigurations": []}),
    (STREAM, {"ScalingConfig": {"MaximumConcurrency": 2}}, unsupported("ScalingConfig"), {"ScalingConfig": {}}),
    (TABLE, pollers(MinimumPollers=2), unsupported("ProvisionedPollerConfig"), {"ProvisionedPollerConfig": {}}),
    (MQ, REPORTS, unsupported("FunctionResponseTypes"), {"FunctionResponseTypes": []}),
    (DOCUMENTS, {"MaximumRetryAttempts": 1}, unsupported("MaximumRetryAttempts"), {}),
    (
        STREAM,
        {"TumblingWindowInSeconds": 1, "ParallelizationFactor": 2},
        "With a tumbling window, ParallelizationFactor must be 1.",
        {"TumblingWindowInSeconds": 1, "ParallelizationFactor": 1},
    ),
    (STREAM, {"MaximumRecordAgeInSeconds": 59}, YOUNG, {"MaximumRecordAgeInSeconds": 60}),
    (TABLE, {"MaximumRecordAgeInSeconds": 0}, YOUNG, {"MaximumRecordAgeInSeconds": -1}),
    (STREAM, failures_to(TOPIC), can_not_take(TOPIC), failures_to(arn("sns", "dead"))),
    (TABLE, failures_to(FUNCTION_ARN), can_not_take(FUNCTION_ARN), failures_to("arn:aws:s3:::dead")),
    *(
        (source, {"DestinationConfig": {"OnFailure": {}}}, NO_DESTINATION, failures_to(""))
        for source in (STREAM, TABLE, MSK, KAFKA)
    ),
    (QUEUE, {"DestinationConfig": {"OnFailure": {}}}, unsupported("DestinationConfig"), {"DestinationConfig": {}}),
    (
        STREAM,
        {"DestinationConfig": {"OnSuccess": {"Destination": arn("sqs", "done")}}},
        unsupported("DestinationConfig"),
        {"DestinationConfig": {"OnSuccess": {}}},
    ),
    (MSK, access("BASIC_AUTH"), no_access("BASIC_AUTH"), access("SASL_SCRAM_512_AUTH")),
    (MQ, access("BASIC_AUTH", "SASL_SCRAM_512_AUTH"), no_access("SASL_SCRAM_512_AUTH"), access("BASIC_AUTH")),
    (
        KAFKA,
        access("OAUTHBEARER_SCOPE"),
        "OAUTHBEARER_SCOPE needs OAUTHBEARER_AUTH.",
        access("OAUTHBEARER_SCOPE", "OAUTHBEARER_AUTH"),
    ),
    (
        KAFKA,
        by_role("OAUTHBEARER_AUTH", "OAUTHBEARER_SCOPE"),
        "IAM_OAUTHBEARER_AUTH does not go with OAUTHBEARER_AUTH, OAUTHBEARER_SCOPE.",
        by_role(),
    ),
    (KAFKA, access("IAM_AUTH"), NO_URI, {"SourceAccessConfigurations": [{"Type": "IAM_AUTH"}]}),
    (KAFKA, {"SourceAccessConfigurations": [{"Type": "BASIC_AUTH"}]}, NO_URI, access("BASIC_AUTH")),
]
"""A source, what it may not have, the refusal, and the nearest that it may have."""

AT_CREATION: list[Case] = [
    ({}, {}, "Unrecognized event source.", QUEUE),
    (
        QUEUE,
        BROKERS,
        "A mapping has one event source: give EventSourceArn or SelfManagedEventSource.",
        {"SelfManagedEventSource": {}},
    ),
    (
        {},
        {"EventSourceArn": arn("sqs", "q", "eu-west-1")},
        f"The event source {arn('sqs', 'q', 'eu-west-1')} is not in the region of the function.",
        QUEUE,
    ),
    (QUEUE, {"StartingPosition": "LATEST"}, "StartingPosition is not valid for SQS event sources.", {}),
    (QUEUE, {"Topics": ["tt"]}, unsupported("Topics"), {}),
    (QUEUE, {"Queues": ["q"]}, unsupported("Queues"), {}),
    (
        {"EventSourceArn": STREAM["EventSourceArn"]},
        {},
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
        "Member must not be null.",
        {"StartingPosition": "TRIM_HORIZON"},
    ),
    (
        STREAM,
        {"StartingPosition": "AT_TIMESTAMP"},
        "The StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp.",
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000},
    ),
    (
        STREAM,
        {"StartingPositionTimestamp": 1_700_000_000},
        "StartingPositionTimestamp is for the StartingPosition AT_TIMESTAMP only.",
        {},
    ),
    (
        STREAM,
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": IN_AN_HOUR},
        "StartingPositionTimestamp is in the future.",
        {},
    ),
    (
        TABLE,
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000},
        f"Unsupported starting position for arn type: {TABLE['EventSourceArn']}",
        {"StartingPosition": "LATEST"},
    ),
    ({"EventSourceArn": MSK["EventSourceArn"]}, {}, missing("topics"), {"Topics": ["tt"]}),
    ({**BROKERS, "Topics": ["tt"]}, {}, missing("sourceAccessConfigurations"), access("BASIC_AUTH")),
    ({"EventSourceArn": MQ["EventSourceArn"], **access("BASIC_AUTH")}, {}, missing("queues"), {"Queues": ["q"]}),
    (
        MQ,
        access("VIRTUAL_HOST"),
        "The event source needs SourceAccessConfigurations of type BASIC_AUTH.",
        access("VIRTUAL_HOST", "BASIC_AUTH"),
    ),
    (
        DOCUMENTS,
        {"DocumentDBEventSourceConfig": {"CollectionName": "c"}},
        missing("databaseName"),
        {"DocumentDBEventSourceConfig": {"CollectionName": "c", "DatabaseName": "d"}},
    ),
    (KAFKA, {**QUEUE_MODE, "StartingPosition": "LATEST"}, NO_QUEUE_MODE.format("StartingPosition"), QUEUE_MODE),
    (
        KAFKA,
        {**QUEUE_MODE, "MaximumRetryAttempts": -1},
        NO_QUEUE_MODE.format("MaximumRetryAttempts -1"),
        {**QUEUE_MODE, "MaximumRetryAttempts": 0},
    ),
]


@pytest.fixture(scope="module")
def api(server: Any) -> Any:
    api = clients(server, account=OWNER)
    make_function(api, FUNCTION)
    make_function(api, SLOW, Timeout=840)
    api.publish_version(FunctionName=SLOW)
    reconfigure(api, SLOW, Timeout=841)
    return api


@pytest.fixture(autouse=True)
def without_mappings(api: Any) -> Iterator[None]:
    yield
    for mapping in mappings(api):
        settled(api, mapping["UUID"])
        api.delete_event_source_mapping(UUID=mapping["UUID"])
    eventually(lambda: not mappings(api))


def mappings(api: Any) -> list[dict[str, Any]]:
    pages = api.get_paginator("list_event_source_mappings").paginate()
    return list(pages.build_full_result()["EventSourceMappings"])


def settled(api: Any, uuid: str) -> dict[str, Any]:
    """The mapping when its state is no longer on the way."""

    def found() -> dict[str, Any] | None:
        mapping = shape(api.get_event_source_mapping(UUID=uuid))
        return mapping if mapping["State"] in ("Enabled", "Disabled") else None

    mapping = eventually(found)
    assert isinstance(mapping, dict)
    return mapping


def created(api: Any, *members: dict[str, Any]) -> dict[str, Any]:
    return settled(api, api.create_event_source_mapping(**asked(*members))["UUID"])


def asked(*members: dict[str, Any]) -> dict[str, Any]:
    """The request with all of the members; the later of two counts."""
    params: dict[str, Any] = {"FunctionName": FUNCTION}
    for more in members:
        params |= more
    return params


def name_of(value: object) -> str | None:
    return next((name for source, name in NAMES if source is value), None)


@pytest.mark.parametrize(("source", "wrong", "message", "right"), [*AT_CREATION, *AT_ANY_TIME], ids=name_of)
def test_a_mapping_is_not_made_against_the_rules(
    api: Any, source: dict[str, Any], wrong: dict[str, Any], message: str, right: dict[str, Any]
) -> None:
    assert refusal(api.create_event_source_mapping, **asked(source, wrong)) == invalid(message)
    assert mappings(api) == []
    created(api, source, right)


@pytest.mark.parametrize(("source", "wrong", "message", "right"), AT_ANY_TIME, ids=name_of)
def test_a_mapping_does_not_come_to_break_the_rules(
    api: Any, source: dict[str, Any], wrong: dict[str, Any], message: str, right: dict[str, Any]
) -> None:
    before = created(api, source)
    uuid = before["UUID"]
    assert refusal(api.update_event_source_mapping, UUID=uuid, **wrong) == invalid(message)
    assert shape(api.get_event_source_mapping(UUID=uuid)) == before
    api.update_event_source_mapping(UUID=uuid, **right)
    settled(api, uuid)


KEPT: list[Case] = [
    (
        {**KAFKA, "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"}},
        {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "other"}},
        "ConsumerGroupId of SelfManagedKafkaEventSourceConfig can not be changed.",
        {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"}},
    ),
    (
        {**MSK, "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"}},
        {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "other"}},
        "ConsumerGroupId of AmazonManagedKafkaEventSourceConfig can not be changed.",
        {"AmazonManagedKafkaEventSourceConfig": {}},
    ),
    (
        KAFKA,
        QUEUE_MODE,
        "ConsumptionMode of SelfManagedKafkaEventSourceConfig can not be changed.",
        {"SelfManagedKafkaEventSourceConfig": {}},
    ),
    (
        {**MQ, **access("BASIC_AUTH", "VIRTUAL_HOST")},
        access("BASIC_AUTH", "VIRTUAL_HOST"),
        "The virtual host of an event source can not be changed.",
        access("BASIC_AUTH"),
    ),
    (MQ, {"SourceAccessConfigurations": []}, missing("sourceAccessConfigurations"), {}),
]


@pytest.mark.parametrize(("source", "wrong", "message", "right"), KEPT)
def test_what_a_mapping_was_made_with_stays(
    api: Any, source: dict[str, Any], wrong: dict[str, Any], message: str, right: dict[str, Any]
) -> None:
    before = created(api, source)
    uuid = before["UUID"]
    assert refusal(api.update_event_source_mapping, UUID=uuid, **wrong) == invalid(message)
    assert shape(api.get_event_source_mapping(UUID=uuid)) == before
    api.update_event_source_mapping(UUID=uuid, **right)
    after = settled(api, uuid)
    assert after.pop("LastModified") >= before.pop("LastModified")
    assert after == {**before, "State": "Enabled"}


@pytest.mark.parametrize(
    ("source", "already"),
    [
        (QUEUE, f'An event source mapping with SQS arn (" {QUEUE["EventSourceArn"]} ") and function (" {FUNCTION} ")'),
        *(
            (
                source,
                f'The event source arn (" {source["EventSourceArn"]} ") and function (" {FUNCTION} ") provided mapping',
            )
            for source in (STREAM, TABLE, MQ, DOCUMENTS)
        ),
        (
            MSK,
            f'An event source mapping with event source ("{MSK["EventSourceArn"]}"), function ("{FUNCTION_ARN}"), '
            'topics ("orders")',
        ),
        (
            KAFKA,
            f'An event source mapping with event source ("a.example:9092"), function ("{FUNCTION_ARN}"), '
            'topics ("orders")',
        ),
    ],
    ids=["queue", "stream", "table", "mq", "documents", "msk", "kafka"],
)
def test_a_source_of_any_kind_is_mapped_to_a_function_once(api: Any, source: dict[str, Any], already: str) -> None:
    first = created(api, source)
    assert refusal(api.create_event_source_mapping, **asked(source)) == conflict(
        f"{already} already exists. Please update or delete the existing mapping with UUID {first['UUID']}"
    )
    assert [mapping["UUID"] for mapping in mappings(api)] == [first["UUID"]]


@pytest.mark.parametrize("source", [MSK, KAFKA, MQ, DOCUMENTS], ids=name_of)
def test_a_broker_waits_for_a_function_for_fourteen_minutes(api: Any, source: dict[str, Any]) -> None:
    before = created(api, source)
    slow = {"FunctionName": SLOW}
    refused = invalid("The function's timeout of 841 seconds is more than the 840 that this event source waits for.")
    assert refusal(api.create_event_source_mapping, **asked(source, slow)) == refused
    assert refusal(api.update_event_source_mapping, UUID=before["UUID"], **slow) == refused
    assert mappings(api) == [before]
    # A version has the timeout with which it was published.
    created(api, source, {"FunctionName": f"{SLOW}:1"})


def test_a_mapping_gives_its_registry_up_before_its_pollers(api: Any) -> None:
    uuid = created(api, MSK, registry(), ON_POLLERS)["UUID"]
    on_demand: dict[str, Any] = {"ProvisionedPollerConfig": {}}
    assert refusal(api.update_event_source_mapping, UUID=uuid, **on_demand) == invalid(
        "SchemaRegistryConfig needs ProvisionedPollerConfig."
    )
    without = {"AmazonManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {}}}
    api.update_event_source_mapping(UUID=uuid, **without, **on_demand)
    after = settled(api, uuid)
    assert after["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": uuid}
    assert "ProvisionedPollerConfig" not in after


def grouped(maximum: int, group: str = "shared") -> dict[str, Any]:
    return {"ProvisionedPollerConfig": {"MaximumPollers": maximum, "PollerGroupName": group}}


def too_many_pollers(count: int) -> Any:
    return invalid(
        f"The MaximumPollers of all event source mappings in the poller group shared would be {count}, which is more "
        "than 2000."
    )


def test_a_poller_group_has_as_many_pollers_as_a_mapping_may_have(api: Any) -> None:
    created(api, MSK, grouped(1500))
    assert refusal(api.create_event_source_mapping, **asked(KAFKA, grouped(501))) == too_many_pollers(2001)
    created(api, KAFKA, {"Topics": ["elsewhere"]}, grouped(2000, "other"))
    uuid = created(api, KAFKA, grouped(500))["UUID"]
    assert refusal(api.update_event_source_mapping, UUID=uuid, **grouped(501)) == too_many_pollers(2001)
    api.update_event_source_mapping(UUID=uuid, **grouped(499))
    settled(api, uuid)


def test_a_poller_group_has_a_hundred_mappings_at_most(api: Any) -> None:
    for number in range(100):
        created(api, MSK, {"Topics": [f"topic{number}"]}, grouped(1))
    full = invalid("The poller group shared can not have more than 100 event source mappings.")
    assert refusal(api.create_event_source_mapping, **asked(KAFKA, grouped(1))) == full
    uuid = created(api, KAFKA, grouped(1, "other"))["UUID"]
    assert refusal(api.update_event_source_mapping, UUID=uuid, **grouped(1)) == full


@pytest.mark.parametrize("source", [QUEUE, STREAM, TABLE], ids=name_of)
def test_a_queue_or_a_stream_waits_for_any_function(api: Any, source: dict[str, Any]) -> None:
    created(api, source, {"FunctionName": SLOW})


def test_filters_under_a_key_of_the_callers_are_told_to_who_asks_for_the_mapping_alone(api: Any) -> None:
    key = arn("kms", "key/k")
    mapping = created(api, QUEUE, filters(1), {"KMSKeyArn": key})
    assert (mapping["KMSKeyArn"], mapping["FilterCriteria"]) == (key, filters(1)["FilterCriteria"])
    assert mappings(api) == [{name: value for name, value in mapping.items() if name != "FilterCriteria"}]


def test_a_mappings_own_tags_are_fifty_at_most_and_the_callers_own(api: Any) -> None:
    for tags, message in (
        ({f"key{number}": "" for number in range(51)}, "Number of tags exceeds resource tag limit."),
        ({"aws:mine": ""}, "Tag keys that begin with aws: are reserved."),
    ):
        assert refusal(api.create_event_source_mapping, **asked(QUEUE, {"Tags": tags})) == invalid(message)
    assert mappings(api) == []

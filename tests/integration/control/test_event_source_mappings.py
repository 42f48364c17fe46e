"""Event source mappings as boto3 uses them, against a running server."""

import uuid as uuids
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    REGION,
    Refusal,
    broken_constraint,
    clients,
    conflict,
    invalid,
    is_recent,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

MAPPINGS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:broker"
BASIC = [{"Type": "BASIC_AUTH", "URI": SECRET}]
GONE = not_found("The resource you requested does not exist.")
FILTERS = {"Filters": [{"Pattern": '{"body": {"city": ["Lyon"]}}'}]}


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def queue(name: str = "") -> str:
    return arn("sqs", name or unique("q"))


def stream() -> str:
    return arn("kinesis", f"stream/{unique('s')}")


@pytest.fixture(scope="module")
def function(api: Any) -> Iterator[str]:
    """With version 1 and the alias `live` of it."""
    name = unique("mapped")
    make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture(autouse=True)
def without_mappings(api: Any) -> Iterator[None]:
    yield
    for mapping in api.list_event_source_mappings()["EventSourceMappings"]:
        settled(api, mapping["UUID"])
        remove(api, mapping["UUID"])


def settled(api: Any, uuid: str) -> dict[str, Any]:
    """The mapping when its state is no longer on the way. Each look waits for an answer of the server."""
    for _ in range(2000):
        found = shape(api.get_event_source_mapping(UUID=uuid))
        if found["State"] in ("Enabled", "Disabled"):
            return found
    raise AssertionError(f"the mapping stays {found['State']}")


def remove(api: Any, uuid: str) -> dict[str, Any]:
    """Delete the mapping and see it gone. Returns what the deletion answered."""
    deleted = api.delete_event_source_mapping(UUID=uuid)
    for _ in range(2000):
        try:
            api.get_event_source_mapping(UUID=uuid)
        except api.exceptions.ResourceNotFoundException:
            return dict(deleted)
    raise AssertionError("the mapping stays")


def make(api: Any, function: str, source: str, **members: Any) -> dict[str, Any]:
    """A mapping in a settled state."""
    created = api.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **members)
    return settled(api, created["UUID"])


def test_a_mapping_of_a_queue_is_created_read_updated_and_deleted(api: Any, function: str) -> None:
    source = queue()
    created = api.create_event_source_mapping(FunctionName=function, EventSourceArn=source)
    uuid = created["UUID"]
    assert status(created) == 202
    assert uuids.UUID(uuid).version == 4
    expected = {
        "UUID": uuid,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": source,
        "FunctionArn": ARNS + function,
        "LastModified": created["LastModified"],
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": [],
        "EventSourceMappingArn": MAPPINGS + uuid,
    }
    assert shape(created) == expected
    assert is_recent(created["LastModified"].timestamp())
    enabled = settled(api, uuid)
    assert enabled == {**expected, "State": "Enabled", "LastModified": enabled["LastModified"]}
    assert status(api.get_event_source_mapping(UUID=uuid)) == 200

    updated = api.update_event_source_mapping(
        UUID=uuid,
        BatchSize=100,
        MaximumBatchingWindowInSeconds=20,
        Enabled=False,
        FilterCriteria=FILTERS,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 7},
        MetricsConfig={"Metrics": ["EventCount"]},
        KMSKeyArn=arn("kms", "key/k"),
    )
    assert status(updated) == 202
    changed = {
        **expected,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 20,
        "FilterCriteria": FILTERS,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 7},
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "KMSKeyArn": arn("kms", "key/k"),
    }
    assert shape(updated) == {**changed, "State": "Disabling", "LastModified": updated["LastModified"]}
    disabled = settled(api, uuid)
    assert disabled == {**changed, "State": "Disabled", "LastModified": disabled["LastModified"]}
    deleted = remove(api, uuid)
    assert status(deleted) == 202
    assert shape(deleted) == {**changed, "State": "Deleting", "LastModified": deleted["LastModified"]}
    for operation in (
        api.get_event_source_mapping,
        api.update_event_source_mapping,
        api.delete_event_source_mapping,
    ):
        assert refusal(operation, UUID=uuid) == GONE


@pytest.mark.parametrize("rest", ["kinesis", "dynamodb"])
def test_a_mapping_of_a_stream_shows_every_default(api: Any, function: str, rest: str) -> None:
    name = unique("s")
    source = arn(rest, f"stream/{name}" if rest == "kinesis" else f"table/{name}/stream/2024-06-10T19:26:16.525")
    created = api.create_event_source_mapping(
        FunctionName=function, EventSourceArn=source, StartingPosition="TRIM_HORIZON"
    )
    expected = {
        "UUID": created["UUID"],
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": source,
        "FunctionArn": ARNS + function,
        "LastModified": created["LastModified"],
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "EventSourceMappingArn": MAPPINGS + created["UUID"],
    }
    assert shape(created) == expected
    found = settled(api, created["UUID"])
    assert found == {**expected, "State": "Enabled", "LastModified": found["LastModified"]}


def test_every_member_of_a_stream_is_kept(api: Any, function: str) -> None:
    given = {
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "BatchSize": 10_000,
        "MaximumBatchingWindowInSeconds": 300,
        "ParallelizationFactor": 10,
        "DestinationConfig": {"OnFailure": {"Destination": queue()}},
        "MaximumRecordAgeInSeconds": 604_800,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 10_000,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": FILTERS,
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    found = make(api, function, stream(), Enabled=False, **given)
    assert found["State"] == "Disabled"
    assert {member: found[member] for member in given} == given


OTHERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"EventSourceArn": arn("kafka", "cluster/c/1"), "Topics": ["orders"]},
        {
            "BatchSize": 100,
            "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": [],
            "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "{uuid}"},
        },
    ),
    (
        {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a.example:9092", "b.example:9092"]}},
            "Topics": ["orders"],
            "SourceAccessConfigurations": BASIC,
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"},
            "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 4},
            "LoggingConfig": {"SystemLogLevel": "WARN"},
            "StartingPosition": "LATEST",
            "DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}},
            "MaximumRetryAttempts": 3,
        },
        {"BatchSize": 100, "FunctionResponseTypes": []},
    ),
    (
        {"EventSourceArn": arn("mq", "broker:b:1"), "Queues": ["jobs"], "SourceAccessConfigurations": BASIC},
        {"BatchSize": 100},
    ),
    (
        {
            "EventSourceArn": arn("rds", "cluster:docs"),
            "DocumentDBEventSourceConfig": {"DatabaseName": "d", "CollectionName": "c", "FullDocument": "Default"},
            "SourceAccessConfigurations": BASIC,
            "StartingPosition": "LATEST",
        },
        {"BatchSize": 100},
    ),
]


@pytest.mark.parametrize(("given", "defaults"), OTHERS)
def test_mappings_of_brokers_and_clusters_are_complete(
    api: Any, function: str, given: dict[str, Any], defaults: dict[str, Any]
) -> None:
    created = api.create_event_source_mapping(FunctionName=function, **given)
    uuid = created["UUID"]
    group = {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": uuid}}
    expected = {
        **given,
        **{member: group.get(member, value) for member, value in defaults.items()},
        "UUID": uuid,
        "FunctionArn": ARNS + function,
        "EventSourceMappingArn": MAPPINGS + uuid,
        "StateTransitionReason": "USER_INITIATED",
    }
    assert shape(created) == {**expected, "State": "Creating", "LastModified": created["LastModified"]}
    found = settled(api, uuid)
    assert found == {**expected, "State": "Enabled", "LastModified": found["LastModified"]}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("{name}", "{name}"),
        ("{name}:$LATEST", "{name}:$LATEST"),
        ("{name}:1", "{name}:1"),
        ("{name}:live", "{name}:live"),
        (f"{ACCOUNT}:function:{{name}}", "{name}"),
        (f"{ACCOUNT}:function:{{name}}:live", "{name}:live"),
        (ARNS + "{name}", "{name}"),
        (ARNS + "{name}:$LATEST", "{name}"),
        (ARNS + "{name}:live", "{name}:live"),
    ],
)
def test_a_function_is_named_in_every_form_to_create_and_to_list(
    api: Any, function: str, given: str, shown: str
) -> None:
    name, arn_shown = given.format(name=function), ARNS + shown.format(name=function)
    mapping = make(api, name, queue())
    assert mapping["FunctionArn"] == arn_shown
    assert api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == [mapping]
    others = {function, f"{function}:1", f"{function}:live"} - {arn_shown.removeprefix(ARNS).removesuffix(":$LATEST")}
    for other in others:
        assert api.list_event_source_mappings(FunctionName=other)["EventSourceMappings"] == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "Unrecognized event source."),
        ({"EventSourceArn": arn("sns", "topic")}, "Unrecognized event source."),
        ({"EventSourceArn": arn("dynamodb", "table/t")}, "Unrecognized event source."),
        ({"EventSourceArn": queue("q"), "FunctionName": "not-there"}, "Function does not exist"),
        ({"EventSourceArn": queue("q"), "FunctionName": "{name}:2"}, "Function does not exist"),
        ({"EventSourceArn": queue("q"), "FunctionName": "{name}:other"}, "Function does not exist"),
        (
            {"EventSourceArn": arn("kinesis", "stream/s")},
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null.",
        ),
        (
            {
                "EventSourceArn": arn("dynamodb", "table/t/stream/2024-06-10T19:26:16.525"),
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": 1,
            },
            "Unsupported starting position for arn type: " + arn("dynamodb", "table/t/stream/2024-06-10T19:26:16.525"),
        ),
        (
            {"EventSourceArn": queue("q"), "StartingPosition": "LATEST"},
            "StartingPosition is not valid for SQS event sources.",
        ),
        (
            {"EventSourceArn": queue("q"), "BatchSize": 11},
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        (
            {"EventSourceArn": queue("q.fifo"), "MaximumBatchingWindowInSeconds": 1},
            "Batching window is not supported for FIFO queues",
        ),
        (
            {"EventSourceArn": queue("q"), "DestinationConfig": {"OnFailure": {"Destination": queue("d")}}},
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        (
            {"EventSourceArn": queue("q"), "ParallelizationFactor": 2},
            "Unsupported ParallelizationFactor parameter for given event source mapping type.",
        ),
        (
            {"EventSourceArn": queue("q"), "FilterCriteria": {"Filters": [{"Pattern": '{"a": 1}'}]}},
            "Invalid filter pattern definition.",
        ),
        (
            {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}}, "Topics": ["tt"]},
            "Required 'sourceAccessConfigurations' parameter is missing.",
        ),
        (
            {"EventSourceArn": queue("q"), "Tags": {f"k{n}": "" for n in range(51)}},
            "Number of tags exceeds resource tag limit.",
        ),
    ],
)
def test_what_no_mapping_may_say_is_refused(api: Any, function: str, members: dict[str, Any], message: str) -> None:
    given = {"FunctionName": function, **members}
    given["FunctionName"] = given["FunctionName"].format(name=function)
    assert refusal(api.create_event_source_mapping, **given) == invalid(message)
    assert api.list_event_source_mappings()["EventSourceMappings"] == []


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"FunctionName": None}, "Value null at 'functionName' failed to satisfy constraint: Member must not be null"),
        ({"FunctionName": "a!"}, "at 'functionName'"),
        ({"EventSourceArn": "q"}, "Value 'q' at 'eventSourceArn'"),
        ({"BatchSize": 0}, "Value '0' at 'batchSize'"),
        ({"BatchSize": 10_001}, "Member must have value less than or equal to 10000"),
        ({"MaximumBatchingWindowInSeconds": 301}, "at 'maximumBatchingWindowInSeconds'"),
        ({"ParallelizationFactor": 11}, "at 'parallelizationFactor'"),
        ({"StartingPosition": "EARLIEST"}, "at 'startingPosition'"),
        ({"MaximumRecordAgeInSeconds": -2}, "at 'maximumRecordAgeInSeconds'"),
        ({"MaximumRetryAttempts": 10_001}, "at 'maximumRetryAttempts'"),
        ({"TumblingWindowInSeconds": 901}, "at 'tumblingWindowInSeconds'"),
        ({"Topics": ["a", "b"]}, "at 'topics'"),
        ({"Queues": []}, "at 'queues'"),
        ({"FunctionResponseTypes": ["All"]}, "at 'functionResponseTypes'"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, "at 'scalingConfig.maximumConcurrency'"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "x" * 4097}]}}, "length less than or equal to 4096"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "q"}}}, "at 'destinationConfig.onFailure.destination'"),
        ({"KMSKeyArn": "k"}, "at 'kMSKeyArn'"),
        ({"MetricsConfig": {"Metrics": ["All"]}}, "at 'metricsConfig.metrics'"),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 201}}, "at 'provisionedPollerConfig.minimumPollers'"),
        ({"SourceAccessConfigurations": [{"Type": "KEY", "URI": "u"}]}, "sourceAccessConfigurations.1.member.type"),
    ],
)
def test_constraints_of_the_model_are_held(api: Any, function: str, members: dict[str, Any], text: str) -> None:
    given = {"FunctionName": function, "EventSourceArn": queue("q"), **members}
    given = {member: value for member, value in given.items() if value is not None}
    broken_constraint(refusal(api.create_event_source_mapping, **given), text)
    if not set(members) & {"FunctionName", "EventSourceArn", "StartingPosition", "Topics", "Queues"}:
        mapping = make(api, function, queue())
        broken_constraint(refusal(api.update_event_source_mapping, UUID=mapping["UUID"], **members), text)
        assert settled(api, mapping["UUID"]) == mapping
    for operation in (api.get_event_source_mapping, api.delete_event_source_mapping, api.update_event_source_mapping):
        broken_constraint(refusal(operation, UUID="u"), "at 'uUID'")


def test_the_same_source_is_mapped_to_the_same_function_once(api: Any, function: str) -> None:
    source = queue()
    first = make(api, function, source)
    again = conflict(
        f'An event source mapping with SQS arn (" {source} ") and function (" {function} ") already exists. '
        f"Please update or delete the existing mapping with UUID {first['UUID']}"
    )
    for name in (function, f"{function}:$LATEST", ARNS + function):
        assert refusal(api.create_event_source_mapping, FunctionName=name, EventSourceArn=source) == again
    # An alias is another target, until an update makes it the same.
    other = make(api, f"{function}:live", source)
    assert refusal(api.update_event_source_mapping, UUID=other["UUID"], FunctionName=function) == again
    assert settled(api, other["UUID"]) == other
    records = stream()
    first = make(api, function, records, StartingPosition="LATEST")
    assert refusal(
        api.create_event_source_mapping, FunctionName=function, EventSourceArn=records, StartingPosition="LATEST"
    ) == conflict(
        f'The event source arn (" {records} ") and function (" {function} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {first['UUID']}"
    )
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k.example:9092"]}}
    kafka = {
        "FunctionName": function,
        "SelfManagedEventSource": servers,
        "Topics": ["tt"],
        "SourceAccessConfigurations": BASIC,
    }
    first = api.create_event_source_mapping(**kafka)
    assert refusal(api.create_event_source_mapping, **kafka) == conflict(
        f'An event source mapping with event source ("k.example:9092"), function ("{ARNS}{function}"), '
        f'topics ("tt") already exists. Please update or delete the existing mapping with UUID {first["UUID"]}'
    )
    settled(api, first["UUID"])


def test_an_update_changes_what_it_names_and_nothing_that_is_refused(api: Any, function: str) -> None:
    source = queue()
    mapping = make(api, function, source, FilterCriteria=FILTERS, ScalingConfig={"MaximumConcurrency": 2})
    uuid = mapping["UUID"]
    moved = api.update_event_source_mapping(UUID=uuid, FunctionName=f"{function}:live")
    assert shape(moved) == {
        **mapping,
        "FunctionArn": f"{ARNS}{function}:live",
        "State": "Updating",
        "LastModified": moved["LastModified"],
    }
    settled(api, uuid)
    api.update_event_source_mapping(UUID=uuid, FilterCriteria={"Filters": []}, ScalingConfig={})
    found = settled(api, uuid)
    assert "FilterCriteria" not in found
    assert "ScalingConfig" not in found
    for members, message in (
        ({"FunctionName": "not-there"}, "Function does not exist"),
        (
            {"BatchSize": 11},
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        (
            {"BisectBatchOnFunctionError": True},
            "Unsupported BisectBatchOnFunctionError parameter for given event source mapping type.",
        ),
    ):
        assert refusal(api.update_event_source_mapping, UUID=uuid, **members) == invalid(message)
    assert settled(api, uuid) == found


def test_mappings_are_listed_in_pages_and_by_source_and_function(api: Any, function: str) -> None:
    source = queue()
    made = [
        make(api, function, source),
        make(api, function, stream(), StartingPosition="LATEST"),
        make(api, f"{function}:live", source),
    ]
    made.sort(key=lambda mapping: mapping["UUID"])

    def listed(**members: Any) -> list[dict[str, Any]]:
        return list(api.list_event_source_mappings(**members)["EventSourceMappings"])

    assert listed() == made
    assert listed(EventSourceArn=source) == [one for one in made if one["EventSourceArn"] == source]
    assert listed(FunctionName=function) == [one for one in made if one["FunctionArn"] == ARNS + function]
    both = listed(EventSourceArn=source, FunctionName=function)
    assert [one["FunctionArn"] for one in both] == [ARNS + function]
    assert both[0]["EventSourceArn"] == source
    assert listed(EventSourceArn=queue()) == []
    assert listed(FunctionName="not-there") == []

    first = api.list_event_source_mappings(MaxItems=2)
    assert first["EventSourceMappings"] == made[:2]
    second = api.list_event_source_mappings(MaxItems=2, Marker=first["NextMarker"])
    assert shape(second) == {"EventSourceMappings": made[2:]}
    for items in (0, 10_001):
        broken_constraint(refusal(api.list_event_source_mappings, MaxItems=items), "at 'maxItems'")


def test_a_page_has_a_hundred_mappings_at_most(api: Any, function: str) -> None:
    for _ in range(101):
        api.create_event_source_mapping(FunctionName=function, EventSourceArn=queue(), Enabled=False)
    first = api.list_event_source_mappings(FunctionName=function, MaxItems=10_000)
    assert len(first["EventSourceMappings"]) == 100
    second = api.list_event_source_mappings(FunctionName=function, Marker=first["NextMarker"])
    assert len(second["EventSourceMappings"]) == 1
    assert "NextMarker" not in second
    for mapping in second["EventSourceMappings"]:
        remove(api, mapping["UUID"])


def test_a_mapping_has_tags(api: Any, function: str) -> None:
    mapping = make(api, function, queue(), Tags={"team": "blue"})
    named = {"Resource": mapping["EventSourceMappingArn"]}
    assert shape(api.list_tags(**named)) == {"Tags": {"team": "blue"}}
    assert status(api.tag_resource(**named, Tags={"more": "1"})) == 204
    api.untag_resource(**named, TagKeys=["team"])
    assert api.list_tags(**named)["Tags"] == {"more": "1"}
    assert shape(api.get_event_source_mapping(UUID=mapping["UUID"])) == mapping
    remove(api, mapping["UUID"])
    assert refusal(api.list_tags, **named) == not_found(f"Event source mapping not found: {named['Resource']}")


def test_a_mapping_outlives_its_function(api: Any) -> None:
    name = unique("leaving")
    make_function(api, name)
    mapping = make(api, name, queue())
    api.delete_function(FunctionName=name)
    assert shape(api.get_event_source_mapping(UUID=mapping["UUID"])) == mapping
    assert api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] == [mapping]
    api.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    assert settled(api, mapping["UUID"])["State"] == "Disabled"
    assert shape(remove(api, mapping["UUID"]))["State"] == "Deleting"


def test_functions_out_of_reach_are_refused(api: Any) -> None:
    elsewhere = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"
    unreachable = not_found("Functions from 'eu-west-1' are not reachable in this region ('us-east-1')")
    assert refusal(api.create_event_source_mapping, FunctionName=elsewhere, EventSourceArn=queue()) == unreachable
    assert refusal(api.list_event_source_mappings, FunctionName=elsewhere) == unreachable
    theirs = refusal(
        api.create_event_source_mapping,
        FunctionName=f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:f",
        EventSourceArn=queue(),
    )
    assert (theirs.status, theirs.code) == (403, "AccessDeniedException")


def test_mappings_are_those_of_one_account_and_region_and_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    try:
        api = clients(crashing)
        make_function(api, "f")
        kept = make(api, "f", queue(), Tags={"a": "b"}, FilterCriteria=FILTERS)
        for other in (clients(crashing, account=OTHER_ACCOUNT), clients(crashing, region="eu-west-1")):
            assert refusal(other.get_event_source_mapping, UUID=kept["UUID"]) == GONE
            assert refusal(other.delete_event_source_mapping, UUID=kept["UUID"]) == GONE
            assert other.list_event_source_mappings()["EventSourceMappings"] == []
        # On their way, some of them, when the server dies.
        created = [api.create_event_source_mapping(FunctionName="f", EventSourceArn=queue())["UUID"] for _ in range(20)]
        crashing.kill()
        crashing.start()
        api = clients(crashing)
        assert shape(api.get_event_source_mapping(UUID=kept["UUID"])) == kept
        assert api.list_tags(Resource=kept["EventSourceMappingArn"])["Tags"] == {"a": "b"}
        assert {settled(api, uuid)["State"] for uuid in created} == {"Enabled"}
    finally:
        assert crashing.stop() == 0


def test_of_changes_at_the_same_time_one_is_taken_and_the_others_find_it_in_use(api: Any, function: str) -> None:
    """How far a change has come when the next arrives is chance; what is answered is one of two things."""
    uuid = make(api, function, queue())["UUID"]
    in_use = Refusal(
        400, "ResourceInUseException", "Cannot update the event source mapping because it is in use.", "User"
    )

    def update(size: int) -> Refusal | None:
        try:
            api.update_event_source_mapping(UUID=uuid, BatchSize=size)
        except api.exceptions.ResourceInUseException as error:
            answer = error.response
            return Refusal(status(answer), answer["Error"]["Code"], answer["Error"]["Message"], answer.get("Type"))
        return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(update, [size % 10 + 1 for size in range(80)]))
    assert set(answers) <= {None, in_use}
    assert None in answers
    assert settled(api, uuid)["State"] == "Enabled"

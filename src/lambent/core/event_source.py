"""Event source mappings: which sources there are, what a mapping for each may say, and when two are the same. Pure.

What the members of a mapping may be is in `lambent.core.event_source_settings`; how its `State` moves in
`lambent.core.event_source_state`; what a filter pattern is in `lambent.core.event_filter`.

Source: API reference, CreateEventSourceMapping, whose members tell the sources that they are for, and the tables of
parameters in the developer guide's page on each source.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from lambent.core import limits
from lambent.core.arn import foreign_part, function_arn, partition_of
from lambent.core.errors import InvalidParameterValueException
from lambent.core.event_source_state import State
from lambent.core.function import LATEST, FunctionName
from lambent.core.record import Record

Settings = Mapping[str, Any]
"""Members of a mapping, by their names on the wire and in their form there; times are epoch seconds."""


class Source(StrEnum):
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    SQS = "sqs"
    MSK = "msk"
    SELF_MANAGED_KAFKA = "self-managed-kafka"
    MQ = "mq"
    DOCUMENTDB = "documentdb"


STREAMS = frozenset((Source.KINESIS, Source.DYNAMODB))
KAFKA = frozenset((Source.MSK, Source.SELF_MANAGED_KAFKA))


class Rules(Record, frozen=True):
    """What a mapping for a kind of source may say.

    `members` are those beside the ones that every mapping may have. `defaults` are shown where the caller says
    nothing. `required` are needed at creation, and `access` are the types of SourceAccessConfigurations.
    """

    members: frozenset[str]
    defaults: Settings
    required: tuple[str, ...] = ()
    positions: frozenset[str] = frozenset()
    access: frozenset[str] = frozenset()


EVERY_MAPPING = frozenset(("BatchSize", "MaximumBatchingWindowInSeconds", "FilterCriteria", "KMSKeyArn"))
_FAILURES = frozenset(
    ("DestinationConfig", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError", "MaximumRetryAttempts")
)
_STREAM_MEMBERS = _FAILURES | {
    "StartingPosition", "StartingPositionTimestamp", "ParallelizationFactor", "TumblingWindowInSeconds",
    "FunctionResponseTypes", "MetricsConfig",
}  # fmt: skip
_KAFKA_MEMBERS = _FAILURES | {
    "StartingPosition", "StartingPositionTimestamp", "Topics", "SourceAccessConfigurations", "FunctionResponseTypes",
    "ProvisionedPollerConfig", "MetricsConfig", "LoggingConfig",
}  # fmt: skip
_STREAM_DEFAULTS: Settings = {
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
_KAFKA_DEFAULTS: Settings = {"BatchSize": 100, "StartingPosition": "TRIM_HORIZON", "FunctionResponseTypes": []}
_NO_TIME = frozenset(("TRIM_HORIZON", "LATEST"))
_ANY_POSITION = _NO_TIME | {"AT_TIMESTAMP"}

RULES: dict[Source, Rules] = {
    Source.KINESIS: Rules(_STREAM_MEMBERS, _STREAM_DEFAULTS, ("StartingPosition",), _ANY_POSITION),
    Source.DYNAMODB: Rules(_STREAM_MEMBERS, _STREAM_DEFAULTS, ("StartingPosition",), _NO_TIME),
    Source.SQS: Rules(
        frozenset(("FunctionResponseTypes", "ScalingConfig", "ProvisionedPollerConfig", "MetricsConfig")),
        {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    ),
    Source.MSK: Rules(
        _KAFKA_MEMBERS | {"AmazonManagedKafkaEventSourceConfig"},
        _KAFKA_DEFAULTS,
        ("Topics",),
        _ANY_POSITION,
        frozenset(("SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH")),
    ),
    Source.SELF_MANAGED_KAFKA: Rules(
        _KAFKA_MEMBERS | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
        _KAFKA_DEFAULTS,
        ("SourceAccessConfigurations", "Topics"),
        _ANY_POSITION,
        frozenset(
            (
                "BASIC_AUTH", "VPC_SUBNET", "VPC_SECURITY_GROUP", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH",
                "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "OAUTHBEARER_AUTH", "OAUTHBEARER_SCOPE",
                "OAUTHBEARER_AUDIENCE", "OAUTHBEARER_LOGICAL_CLUSTER", "OAUTHBEARER_IDENTITY_POOL", "IAM_AUTH",
                "IAM_OAUTHBEARER_AUTH",
            )
        ),
    ),
    Source.MQ: Rules(
        frozenset(("Queues", "SourceAccessConfigurations")),
        {"BatchSize": 100},
        ("SourceAccessConfigurations", "Queues"),
        access=frozenset(("BASIC_AUTH", "VIRTUAL_HOST")),
    ),
    Source.DOCUMENTDB: Rules(
        frozenset(
            (
                "StartingPosition", "StartingPositionTimestamp", "SourceAccessConfigurations",
                "DocumentDBEventSourceConfig",
            )
        ),
        {"BatchSize": 100},
        ("SourceAccessConfigurations", "DocumentDBEventSourceConfig"),
        _ANY_POSITION,
        frozenset(("BASIC_AUTH",)),
    ),
}  # fmt: skip


class EventSourceMapping(Record, frozen=True):
    """`qualifier` is the one that the function's ARN shows. `enabled` is what the caller asks for; `state` how far that
    has come. `last_result` tells of the last records that were read, for streams."""

    uuid: str
    source: Source
    function: FunctionName
    qualifier: str | None
    enabled: bool
    state: State
    modified_ms: int
    settings: dict[str, Any]
    last_result: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)


_ARNS = tuple(
    (source, re.compile(rf"arn:(?P<partition>aws[a-zA-Z0-9-]*):{service}:(?P<region>[a-z0-9-]+):\d{{12}}:{resource}"))
    for source, service, resource in (
        (Source.KINESIS, "kinesis", r"stream/[a-zA-Z0-9_.-]+(?:/consumer/[a-zA-Z0-9_.-]+:\d+)?"),
        (Source.DYNAMODB, "dynamodb", r"table/[a-zA-Z0-9_.-]+/stream/[0-9T:.-]+"),
        (Source.SQS, "sqs", r"[a-zA-Z0-9_-]+(?:\.fifo)?"),
        (Source.MSK, "kafka", r"(?:cluster|vpc-connection)/.+"),
        (Source.MQ, "mq", r"broker:.+"),
        (Source.DOCUMENTDB, "rds", r"cluster:.+"),
    )
)


def source_of(params: Settings, region: str) -> Source:
    """The kind of source that a creation in a region names. Raises InvalidParameterValueException."""
    arn = params.get("EventSourceArn")
    if params.get("SelfManagedEventSource"):
        if arn is not None:
            raise InvalidParameterValueException(
                "A mapping has one event source: give EventSourceArn or SelfManagedEventSource."
            )
        return Source.SELF_MANAGED_KAFKA
    for source, pattern in _ARNS:
        match = pattern.fullmatch(arn or "")
        if match is None:
            continue
        if foreign_part(match["partition"], match["region"], region) is not None:
            raise InvalidParameterValueException(f"The event source {arn} is not in the region of the function.")
        return source
    raise InvalidParameterValueException("Unrecognized event source.")


def is_fifo(settings: Settings) -> bool:
    """The queue keeps an order: SQS lets such a name, and no other, end so."""
    return str(settings.get("EventSourceArn")).endswith(".fifo")


def mapping_arn(mapping: EventSourceMapping) -> str:
    function = mapping.function
    partition = partition_of(function.region)
    return f"arn:{partition}:lambda:{function.region}:{function.account}:event-source-mapping:{mapping.uuid}"


def function_of(mapping: EventSourceMapping) -> str:
    """The function's ARN as the mapping shows it."""
    return function_arn(mapping.function, mapping.qualifier)


def qualifier_shown(given: str, qualifier: str | None) -> str | None:
    """The qualifier that the ARN of a function shows which a caller gave so: a full ARN's `$LATEST` is left out."""
    return None if qualifier == LATEST and given.startswith("arn:") else qualifier


def reason_of(source: Source) -> str:
    """StateTransitionReason of a change that a caller made. Source: answers of AWS."""
    return "User action" if source in STREAMS else "USER_INITIATED"


def duplicate_refusal(wanted: EventSourceMapping, other: EventSourceMapping) -> str | None:
    """Why there can not be the wanted mapping beside another for the same function, in AWS's words; or None."""
    if other.uuid == wanted.uuid or other.source is not wanted.source:
        return None
    mine, theirs = wanted.settings, other.settings
    if not _brokers(mine) & _brokers(theirs):
        return None
    way_out = f"already exists. Please update or delete the existing mapping with UUID {other.uuid}"
    name = wanted.function.name
    if wanted.source is Source.SQS:
        arn = theirs["EventSourceArn"]
        return f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") {way_out}'
    if wanted.source in KAFKA:
        if not set(mine["Topics"]) & set(theirs["Topics"]):
            return None
        brokers, topics = ",".join(_named(mine)), ",".join(mine["Topics"])
        return (
            f'An event source mapping with event source ("{brokers}"), function ("{function_of(wanted)}"), '
            f'topics ("{topics}") {way_out}'
        )
    if _part(mine) != _part(theirs):
        return None
    arn = theirs["EventSourceArn"]
    return f'The event source arn (" {arn} ") and function (" {name} ") provided mapping {way_out}'


def poller_group_of(settings: Settings) -> str | None:
    return (settings.get("ProvisionedPollerConfig") or {}).get("PollerGroupName") or None


def check_poller_group(wanted: EventSourceMapping, group: Iterable[EventSourceMapping]) -> None:
    """Whether the wanted mapping may be in a group with the others that are in it now. Raises
    InvalidParameterValueException. Source: API reference, ProvisionedPollerConfig."""
    name = poller_group_of(wanted.settings)
    mappings = [wanted, *(other for other in group if other.uuid != wanted.uuid)]
    if len(mappings) > limits.POLLER_GROUP_MAPPINGS_MAX:
        raise InvalidParameterValueException(
            f"The poller group {name} can not have more than {limits.POLLER_GROUP_MAPPINGS_MAX} event source mappings."
        )
    pollers = sum(mapping.settings["ProvisionedPollerConfig"]["MaximumPollers"] for mapping in mappings)
    if pollers > limits.KAFKA_POLLERS_MAX:
        raise InvalidParameterValueException(
            f"The MaximumPollers of all event source mappings in the poller group {name} would be {pollers}, which is "
            f"more than {limits.KAFKA_POLLERS_MAX}."
        )


def _named(settings: Settings) -> list[str]:
    """The source as its mapping names it: by ARN, or by its servers."""
    arn = settings.get("EventSourceArn")
    if arn is not None:
        return [arn]
    return [server for servers in settings["SelfManagedEventSource"]["Endpoints"].values() for server in servers]


def _brokers(settings: Settings) -> set[str]:
    return set(_named(settings))


def _part(settings: Settings) -> tuple[object, ...]:
    """What of a broker or a cluster the mapping reads."""
    documents = settings.get("DocumentDBEventSourceConfig") or {}
    hosts = [
        access.get("URI")
        for access in settings.get("SourceAccessConfigurations") or ()
        if access.get("Type") == "VIRTUAL_HOST"
    ]
    return settings.get("Queues"), hosts, documents.get("DatabaseName"), documents.get("CollectionName")

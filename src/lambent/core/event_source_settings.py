"""The members of an event source mapping: which are taken, what they may be, and what an update makes of them. Pure.

The service model's own constraints are held before; here are the rules that depend on the kind of source, or on two
members. Where AWS publishes a rule and not its text, the text is ours (`docs/compatibility.md`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lambent.core import limits, schema_registry
from lambent.core.errors import InvalidParameterValueException
from lambent.core.event_filter import is_pattern
from lambent.core.event_invoke import is_destination
from lambent.core.event_source import EVERY_MAPPING, KAFKA, RULES, STREAMS, Rules, Settings, Source, is_fifo

_NOT_SETTINGS = frozenset(("UUID", "FunctionName", "Enabled", "Tags", "EventSourceArn"))
_KAFKA_CONFIGS = {
    Source.MSK: "AmazonManagedKafkaEventSourceConfig",
    Source.SELF_MANAGED_KAFKA: "SelfManagedKafkaEventSourceConfig",
}
_UNSET_WHEN_EMPTY = ("FilterCriteria", "ScalingConfig", "ProvisionedPollerConfig", "LoggingConfig", "KMSKeyArn")
"""Members that an empty value takes away. Of FilterCriteria, a list without filters is empty too."""
_BATCHES_NEED_WINDOW = (
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
    f"{limits.BATCH_SIZE_WITHOUT_WINDOW_MAX}"
)


def create(source: Source, params: Settings, uuid: str, now_ms: int) -> dict[str, Any]:
    """The settings of a new mapping, defaults filled in. Raises InvalidParameterValueException."""
    rules = RULES[source]
    _require(rules, params)
    given = _given(source, params)
    if "EventSourceArn" in params:
        given["EventSourceArn"] = params["EventSourceArn"]
    _check_start(rules, given, now_ms)
    settings = {**rules.defaults, **given}
    config = _KAFKA_CONFIGS.get(source)
    if config is not None:
        _fill_kafka(settings, config, given, uuid)
    return _checked(source, settings)


def change(source: Source, before: Settings, params: Settings) -> dict[str, Any]:
    """The settings after an update. A member that is absent stays as it was. Raises InvalidParameterValueException."""
    given = _given(source, params)
    config = _KAFKA_CONFIGS.get(source)
    if config is not None and config in given:
        given[config] = _changed_kafka(config, before[config], given[config])
    access = "SourceAccessConfigurations"
    if access in given:
        if _has_host(given):
            raise InvalidParameterValueException("The virtual host of an event source can not be changed.")
        _require_access(source, given)
        # The host is not the caller's to name again.
        kept = [entry for entry in before.get(access, ()) if entry.get("Type") == "VIRTUAL_HOST"]
        given[access] = [*given[access], *kept]
    return _checked(source, {**before, **given})


def _given(source: Source, params: Settings) -> dict[str, Any]:
    """What the caller says, in the form in which it is kept. Raises for a member that the source has not."""
    allowed = RULES[source].members | EVERY_MAPPING
    given = {name: value for name, value in params.items() if name not in _NOT_SETTINGS and value is not None}
    for name, value in given.items():
        if name == "StartingPosition" and source is Source.SQS:
            raise InvalidParameterValueException("StartingPosition is not valid for SQS event sources.")
        # An empty structure asks for nothing: tools send it for what they do not use.
        if name not in allowed and value not in ({}, []):
            raise _unsupported(name)
    given = {name: value for name, value in given.items() if name in allowed}
    destinations = given.get("DestinationConfig")
    if destinations is not None:
        if destinations.get("OnSuccess"):
            raise _unsupported("DestinationConfig")
        on_failure = destinations.get("OnFailure")
        if on_failure is not None and "Destination" not in on_failure:
            raise InvalidParameterValueException("The Destination field is required for an OnFailure configuration.")
        destination = (on_failure or {}).get("Destination")
        given["DestinationConfig"] = {"OnFailure": {"Destination": destination} if destination else {}}
    moment = given.get("StartingPositionTimestamp")
    if isinstance(moment, datetime):
        given["StartingPositionTimestamp"] = moment.timestamp()
    return given


def _unsupported(member: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"Unsupported {member} parameter for given event source mapping type.")


def _missing(member: str) -> InvalidParameterValueException:
    name = member[0].lower() + member[1:]
    return InvalidParameterValueException(f"Required '{name}' parameter is missing.")


def _require(rules: Rules, params: Settings) -> None:
    for member in rules.required:
        if params.get(member):
            continue
        if member == "StartingPosition":
            raise InvalidParameterValueException(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
                "Member must not be null."
            )
        raise _missing(member)


def _check_start(rules: Rules, given: Settings, now_ms: int) -> None:
    position, moment = given.get("StartingPosition"), given.get("StartingPositionTimestamp")
    if position is not None and position not in rules.positions:
        raise InvalidParameterValueException(f"Unsupported starting position for arn type: {given['EventSourceArn']}")
    if position != "AT_TIMESTAMP":
        if moment is not None:
            raise InvalidParameterValueException(
                "StartingPositionTimestamp is for the StartingPosition AT_TIMESTAMP only."
            )
        return
    if moment is None:
        raise InvalidParameterValueException("The StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp.")
    if moment * 1000 > now_ms:
        raise InvalidParameterValueException("StartingPositionTimestamp is in the future.")


def _fill_kafka(settings: dict[str, Any], config: str, given: Settings, uuid: str) -> None:
    """The consumer group, which is the mapping's id where the caller names none; and what the mode changes."""
    kafka = settings[config] = {"ConsumerGroupId": uuid, **given.get(config, {})}
    if kafka.get("ConsumptionMode") != "Queue":
        return
    if "StartingPosition" not in given:
        del settings["StartingPosition"]
    settings.setdefault("MaximumRetryAttempts", 0)


def _changed_kafka(config: str, before: Settings, given: Settings) -> dict[str, Any]:
    for member, default in (("ConsumerGroupId", None), ("ConsumptionMode", "Stream")):
        if member in given and given[member] != before.get(member, default):
            raise InvalidParameterValueException(f"{member} of {config} can not be changed.")
    return {**before, **given}


def _checked(source: Source, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a whole mapping, held to all rules that do not depend on the request."""
    _check_batch(source, settings)
    _check_filters(settings)
    _check_failures(source, settings)
    _check_access(source, settings)
    if settings.get("SelfManagedKafkaEventSourceConfig", {}).get("ConsumptionMode") == "Queue":
        _check_share_group(settings)
    if source is Source.DOCUMENTDB and not settings["DocumentDBEventSourceConfig"].get("DatabaseName"):
        raise _missing("DatabaseName")
    metrics = (settings.get("MetricsConfig") or {}).get("Metrics") or ()
    if source not in KAFKA and set(metrics) - {"EventCount"}:
        raise _unsupported("MetricsConfig")
    if settings.get("ProvisionedPollerConfig"):
        settings["ProvisionedPollerConfig"] = _pollers(source, settings["ProvisionedPollerConfig"])
        if settings.get("ScalingConfig"):
            raise InvalidParameterValueException("ScalingConfig and ProvisionedPollerConfig exclude each other.")
    if source in KAFKA:
        _check_registry(settings, _KAFKA_CONFIGS[source])
    return {name: value for name, value in settings.items() if name not in _UNSET_WHEN_EMPTY or value}


def _check_batch(source: Source, settings: Settings) -> None:
    if source in STREAMS and settings["TumblingWindowInSeconds"] and settings["ParallelizationFactor"] > 1:
        raise InvalidParameterValueException("With a tumbling window, ParallelizationFactor must be 1.")
    if source is not Source.SQS:
        return
    size, window = settings["BatchSize"], settings["MaximumBatchingWindowInSeconds"]
    if is_fifo(settings):
        if window:
            raise InvalidParameterValueException("Batching window is not supported for FIFO queues")
        if size > limits.FIFO_BATCH_SIZE_MAX:
            raise InvalidParameterValueException(
                f"BatchSize must be less than or equal to {limits.FIFO_BATCH_SIZE_MAX} for FIFO queues."
            )
    if size > limits.BATCH_SIZE_WITHOUT_WINDOW_MAX and not window:
        raise InvalidParameterValueException(_BATCHES_NEED_WINDOW)


def _check_registry(settings: dict[str, Any], config: str) -> None:
    """An empty configuration of a registry takes it away."""
    kafka = settings[config]
    registry = kafka.get(schema_registry.MEMBER)
    if registry:
        schema_registry.check(registry, provisioned=bool(settings.get("ProvisionedPollerConfig")))
    else:
        settings[config] = {name: value for name, value in kafka.items() if name != schema_registry.MEMBER}


def _check_share_group(settings: Settings) -> None:
    """Source: API reference, SelfManagedKafkaEventSourceConfig, ConsumptionMode."""
    for member in ("StartingPosition", "StartingPositionTimestamp", "MaximumBatchingWindowInSeconds"):
        if member in settings:
            raise InvalidParameterValueException(f"{member} is not supported when ConsumptionMode is Queue.")
    if settings["MaximumRetryAttempts"] == -1:
        raise InvalidParameterValueException("MaximumRetryAttempts -1 is not supported when ConsumptionMode is Queue.")


def _check_filters(settings: dict[str, Any]) -> None:
    filters = (settings.get("FilterCriteria") or {}).get("Filters")
    if not filters:
        settings.pop("FilterCriteria", None)
        return
    if len(filters) > limits.FILTERS_PER_MAPPING:
        raise InvalidParameterValueException(
            f"FilterCriteria has {len(filters)} filters; {limits.FILTERS_PER_MAPPING} are allowed."
        )
    if not all(is_pattern(entry.get("Pattern") or "") for entry in filters):
        raise InvalidParameterValueException("Invalid filter pattern definition.")


def _check_failures(source: Source, settings: Settings) -> None:
    age = settings.get("MaximumRecordAgeInSeconds", -1)
    if age != -1 and age < limits.RECORD_AGE_S_MIN:
        raise InvalidParameterValueException(
            f"MaximumRecordAgeInSeconds must be -1, or at least {limits.RECORD_AGE_S_MIN}."
        )
    destination = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    if destination is None:
        return
    is_topic = destination.startswith("kafka://")
    if (is_topic and source not in KAFKA) or (not is_topic and not is_destination(destination, ("sqs", "sns", "s3"))):
        raise InvalidParameterValueException(
            f"The destination {destination} can not take records of this event source."
        )


def _check_access(source: Source, settings: Settings) -> None:
    given = _access_types(settings)
    unknown = given - RULES[source].access
    if unknown:
        raise InvalidParameterValueException(
            f"The event source has no SourceAccessConfigurations of type {', '.join(sorted(unknown))}."
        )
    if RULES[source].access and RULES[source].access <= _WITH_PASSWORD and "BASIC_AUTH" not in given:
        raise InvalidParameterValueException("The event source needs SourceAccessConfigurations of type BASIC_AUTH.")
    for kind, needed in _ACCESS_NEEDS.items():
        if kind in given and not given & needed:
            raise InvalidParameterValueException(f"{kind} needs {' or '.join(sorted(needed))}.")
    beside = given & _NOT_WITH_A_TOKEN
    if "IAM_OAUTHBEARER_AUTH" in given and beside:
        raise InvalidParameterValueException(f"IAM_OAUTHBEARER_AUTH does not go with {', '.join(sorted(beside))}.")
    for entry in settings.get("SourceAccessConfigurations") or ():
        if not entry.get("Type") or (entry["Type"] in _WITHOUT_URI) == ("URI" in entry):
            raise InvalidParameterValueException(
                "Each of SourceAccessConfigurations has a Type and a URI, "
                f"{' and '.join(sorted(_WITHOUT_URI))} have no URI."
            )


_WITH_PASSWORD = frozenset(("BASIC_AUTH", "VIRTUAL_HOST"))
"""Where there is no other way in than by a user's password."""
_WITHOUT_URI = frozenset(("IAM_AUTH", "IAM_OAUTHBEARER_AUTH"))
_ACCESS_NEEDS = {
    "OAUTHBEARER_SCOPE": {"OAUTHBEARER_AUTH"},
    "OAUTHBEARER_AUDIENCE": {"OAUTHBEARER_AUTH", "IAM_OAUTHBEARER_AUTH"},
    "OAUTHBEARER_LOGICAL_CLUSTER": {"OAUTHBEARER_AUTH"},
    "OAUTHBEARER_IDENTITY_POOL": {"OAUTHBEARER_AUTH"},
    "IAM_OAUTHBEARER_AUTH": {"OAUTHBEARER_AUDIENCE"},
}
"""Of which other types a type needs one."""
_NOT_WITH_A_TOKEN = frozenset(
    ("OAUTHBEARER_AUTH", "OAUTHBEARER_SCOPE", "OAUTHBEARER_LOGICAL_CLUSTER", "OAUTHBEARER_IDENTITY_POOL")
)
"""What tells of another way to a token than by the function's role."""


def _require_access(source: Source, settings: Settings) -> None:
    if "SourceAccessConfigurations" in RULES[source].required and not settings["SourceAccessConfigurations"]:
        raise _missing("SourceAccessConfigurations")


def _access_types(settings: Settings) -> set[str]:
    entries: Iterable[Settings] = settings.get("SourceAccessConfigurations") or ()
    return {entry["Type"] for entry in entries if entry.get("Type")}


def _has_host(settings: Settings) -> bool:
    return "VIRTUAL_HOST" in _access_types(settings)


def _pollers(source: Source, given: Settings) -> dict[str, Any]:
    """With the defaults of what is not given. Source of the numbers: API reference, ProvisionedPollerConfig."""
    if source is Source.SQS:
        if given.get("PollerGroupName"):
            raise _unsupported("PollerGroupName")
        least, most = limits.SQS_POLLERS_MIN, None
    else:
        least, most = 1, limits.KAFKA_POLLERS_MAX
    pollers = {"MinimumPollers": least, "MaximumPollers": limits.POLLERS_MAX_DEFAULT, **given}
    if pollers["MinimumPollers"] < least or pollers["MaximumPollers"] < least:
        raise InvalidParameterValueException(f"An event source of this kind has at least {least} pollers.")
    if most is not None and pollers["MaximumPollers"] > most:
        raise InvalidParameterValueException(f"An event source of this kind has at most {most} pollers.")
    if pollers["MinimumPollers"] > pollers["MaximumPollers"]:
        raise InvalidParameterValueException("MinimumPollers is more than MaximumPollers.")
    return pollers

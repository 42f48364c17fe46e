"""DescribeLogGroups. A group appears with its first line; nothing else makes one yet."""

from collections.abc import Mapping
from typing import Any

from lambent.observe.errors import InvalidParameterException
from lambent.observe.log_store import GroupSummary, LogStore
from lambent.observe.naming import group_arn, name_in, seal, unseal
from lambent.wire.call import Call

_PAGE = 50


async def describe_log_groups(logs: LogStore, call: Call) -> Mapping[str, Any]:
    params = call.params
    prefix, pattern = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
    if prefix is not None and pattern is not None:
        raise InvalidParameterException(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    named: set[str] | None = None
    if "logGroupIdentifiers" in params:
        named = {name_in(call, identifier) for identifier in params["logGroupIdentifiers"]}
    behind = ""
    if "nextToken" in params:
        (behind,) = unseal(params["nextToken"], tuple[str])  # type: ignore[assignment]
    found = [
        group
        for group in await logs.groups(call.caller.account, call.region)
        if group.name > behind
        and (prefix is None or group.name.startswith(prefix))
        and (pattern is None or pattern in group.name)
        and (named is None or group.name in named)
        and params.get("logGroupClass", "STANDARD") == "STANDARD"
    ]
    limit = params.get("limit", _PAGE)
    return {
        "logGroups": [_shown(call, group) if pattern is None else _named(call, group) for group in found[:limit]],
        "nextToken": seal(found[limit - 1].name) if len(found) > limit else None,
    }


def _named(call: Call, group: GroupSummary) -> dict[str, Any]:
    """All that a search by pattern shows (API reference, `logGroupNamePattern`)."""
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "arn": f"{group_arn(call, group.name)}:*",
    }


def _shown(call: Call, group: GroupSummary) -> dict[str, Any]:
    return {
        **_named(call, group),
        "metricFilterCount": 0,
        "storedBytes": group.stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": group_arn(call, group.name),
        "deletionProtectionEnabled": False,
    }


OPERATIONS = {"DescribeLogGroups": describe_log_groups}

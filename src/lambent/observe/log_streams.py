"""DescribeLogStreams. One execution environment writes one stream."""

from collections.abc import Mapping
from typing import Any

from lambent.observe.errors import InvalidParameterException, ResourceNotFoundException
from lambent.observe.log_store import LogStore, UnknownLogGroup
from lambent.observe.naming import group_arn, group_named, seal, unseal
from lambent.observe.segments import StreamSpan
from lambent.wire.call import Call

_PAGE = 50
_UPLOAD_TOKEN = "0" * 56
"""Sequence tokens have no use any more, yet a stream still shows one; 56 digits like AWS's."""


async def describe_log_streams(logs: LogStore, call: Call) -> Mapping[str, Any]:
    params = call.params
    name = group_named(call)
    by_time = params.get("orderBy", "LogStreamName") == "LastEventTime"
    prefix = params.get("logStreamNamePrefix")
    if by_time and prefix is not None:
        raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
    try:
        streams = await logs.streams(call.caller.account, call.region, name)
    except UnknownLogGroup:
        raise ResourceNotFoundException("The specified log group does not exist.") from None

    descending = bool(params.get("descending"))
    keys = sorted(
        (
            (span.last_ms if by_time else 0, stream)
            for stream, span in streams.items()
            if prefix is None or stream.startswith(prefix)
        ),
        reverse=descending,
    )
    if "nextToken" in params:
        behind = unseal(params["nextToken"], tuple[int, str])
        keys = [key for key in keys if (key < behind if descending else key > behind)]
    limit = params.get("limit", _PAGE)
    arn = group_arn(call, name)
    return {
        "logStreams": [_shown(arn, stream, streams[stream]) for _, stream in keys[:limit]],
        "nextToken": seal(*keys[limit - 1]) if len(keys) > limit else None,
    }


def _shown(arn: str, stream: str, span: StreamSpan) -> dict[str, Any]:
    return {
        "logStreamName": stream,
        "creationTime": span.created_ms,
        "firstEventTimestamp": span.first_ms,
        "lastEventTimestamp": span.last_ms,
        "lastIngestionTime": span.ingested_ms,
        "uploadSequenceToken": _UPLOAD_TOKEN,
        "arn": f"{arn}:log-stream:{stream}",
        # AWS has answered 0 here since 2019; the group tells what is stored.
        "storedBytes": 0,
    }


OPERATIONS = {"DescribeLogStreams": describe_log_streams}

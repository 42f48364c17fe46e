"""GetLogEvents and FilterLogEvents.

Events are read in the order in which they arrived, and a page is sorted by time. Lines that several environments
wrote at one time arrive within a fraction of a second of each other, so only at the border of two pages can an event
stand behind one that is younger by less than that.
"""

from collections.abc import Mapping
from typing import Any

from lambent.observe.errors import InvalidParameterException, ResourceNotFoundException
from lambent.observe.filter_pattern import InvalidFilterPattern, compile_pattern
from lambent.observe.log_store import LogStore, UnknownLogGroup, UnknownLogStream
from lambent.observe.naming import boundary_digits, boundary_of, group_named, refuse_token, seal, unseal
from lambent.observe.segments import Boundary, StoredEvent
from lambent.wire.call import Call

_PAGE = 10_000
_NO_GROUP = "The specified log group does not exist."
_NO_STREAM = "The specified log stream does not exist."
_NEWEST_FIRST_SINCE_MS = 1_704_067_200_000
"""FilterLogEvents reads backward only from 2024 on (API reference, `startFromHead`)."""


async def get_log_events(logs: LogStore, call: Call) -> Mapping[str, Any]:
    params = call.params
    boundary: Boundary | None = None
    backward = not params.get("startFromHead", False)
    if "nextToken" in params:
        backward, boundary = _direction_and_boundary(params["nextToken"])
    try:
        page = await logs.search(
            call.caller.account,
            call.region,
            group_named(call),
            streams=[params["logStreamName"]],
            first_ms=params.get("startTime", 0),
            last_ms=params.get("endTime", 2**63) - 1,
            boundary=boundary,
            backward=backward,
            limit=params.get("limit", _PAGE),
        )
    except UnknownLogGroup:
        raise ResourceNotFoundException(_NO_GROUP) from None
    except UnknownLogStream:
        raise ResourceNotFoundException(_NO_STREAM) from None
    head, tail = (page.last, page.first) if backward else (page.first, page.last)
    events = sorted(page.events, key=_time_and_place)
    return {
        "events": [_shown(event) for event in events],
        "nextForwardToken": f"f/{boundary_digits(tail)}/s",
        "nextBackwardToken": f"b/{boundary_digits(head)}/s",
    }


async def filter_log_events(logs: LogStore, call: Call) -> Mapping[str, Any]:
    params = call.params
    if "logStreamNames" in params and "logStreamNamePrefix" in params:
        raise InvalidParameterException("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
    backward = not params.get("startFromHead", True)
    boundary: Boundary | None = None
    if "nextToken" in params:
        came_backward, digits = unseal(params["nextToken"], tuple[bool, str])
        backward, boundary = bool(came_backward), boundary_of(str(digits))
    elif backward and params.get("startTime", 0) < _NEWEST_FIRST_SINCE_MS:
        raise InvalidParameterException("startFromHead can be false only with a startTime on or after 2024-01-01.")
    first_ms, last_ms = params.get("startTime", 0), params.get("endTime", 2**63)
    if first_ms > last_ms:
        raise InvalidParameterException("startTime can not be after endTime.")
    try:
        page = await logs.search(
            call.caller.account,
            call.region,
            group_named(call),
            streams=params.get("logStreamNames"),
            stream_prefix=params.get("logStreamNamePrefix"),
            first_ms=first_ms,
            last_ms=last_ms,
            boundary=boundary,
            backward=backward,
            limit=params.get("limit", _PAGE),
            matches=compile_pattern(params.get("filterPattern", "")),
        )
    except InvalidFilterPattern as error:
        raise InvalidParameterException(str(error)) from None
    except UnknownLogGroup:
        raise ResourceNotFoundException(_NO_GROUP) from None
    except UnknownLogStream:
        raise ResourceNotFoundException(_NO_STREAM) from None
    events = sorted(page.events, key=_time_and_place, reverse=backward)
    return {
        "events": [
            {"logStreamName": event.stream, **_shown(event), "eventId": boundary_digits(event.at)} for event in events
        ],
        "searchedLogStreams": [],
        "nextToken": None if page.complete else seal(backward, boundary_digits(page.last)),
    }


def _direction_and_boundary(token: str) -> tuple[bool, Boundary]:
    if not token.startswith(("f/", "b/")) or not token.endswith("/s"):
        refuse_token()
    return token.startswith("b/"), boundary_of(token[2:-2])


def _time_and_place(event: StoredEvent) -> tuple[int, Boundary]:
    return event.timestamp_ms, event.at


def _shown(event: StoredEvent) -> dict[str, Any]:
    # The events of Lambda carry the newline that ended their line.
    return {"timestamp": event.timestamp_ms, "message": f"{event.text}\n", "ingestionTime": event.ingestion_ms}


OPERATIONS = {"GetLogEvents": get_log_events, "FilterLogEvents": filter_log_events}

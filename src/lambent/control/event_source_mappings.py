"""The resource event source mapping: Create, Get, List, Update and DeleteEventSourceMapping.

A change answers the state that leads to what was asked for; `lambent.control.mapping_settlement` moves it on.
"""

import sqlite3
from typing import Any

from msgspec.structs import replace

from lambent.control.configuration import check_tags
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find_in, named
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.taggable import taggable_records
from lambent.core import event_source_settings, limits
from lambent.core.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lambent.core.event_source import (
    KAFKA,
    STREAMS,
    EventSourceMapping,
    Source,
    check_poller_group,
    duplicate_refusal,
    function_of,
    mapping_arn,
    poller_group_of,
    qualifier_shown,
    reason_of,
    source_of,
)
from lambent.core.event_source_state import Event, asked, first_state, is_unfinished, step
from lambent.core.function import FunctionName
from lambent.store import event_source_mappings
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call

_BROKERS = KAFKA | {Source.MQ, Source.DOCUMENTDB}


async def create_event_source_mapping(deps: Control, call: Call) -> dict[str, Any]:
    """The function must be there; whether the source is, only its poller can find out."""
    params = call.params
    source = source_of(params, call.region)
    uuid, now_ms = deps.new_id(), deps.clock.wall_ms()
    settings = event_source_settings.create(source, params, uuid, now_ms)
    function, qualifier = _function_given(call)
    enabled = params.get("Enabled", True)
    mapping = EventSourceMapping(
        uuid=uuid,
        source=source,
        function=function,
        qualifier=qualifier,
        enabled=enabled,
        state=first_state(enabled, is_queue=source is Source.SQS),
        modified_ms=now_ms,
        settings=settings,
        last_result="No records processed" if source in STREAMS else None,
        tags=check_tags(params.get("Tags") or {}),
    )

    def transaction(connection: WritingConnection) -> None:
        _check_function(connection, mapping)
        _check_group(connection, mapping)
        event_source_mappings.insert(connection, mapping)

    await deps.store.run(transaction)
    return _shape(mapping)


async def get_event_source_mapping(deps: Control, call: Call) -> dict[str, Any]:
    return _shape(await deps.store.read(lambda connection: _named(connection, call)))


async def list_event_source_mappings(deps: Control, call: Call) -> dict[str, Any]:
    """In the order of their ids. A name without a qualifier stands for `$LATEST` alone."""
    params = call.params
    limit = page_size(params.get("MaxItems"), limits.EVENT_SOURCE_MAPPINGS_PER_PAGE)
    after = read_marker(params.get("Marker"))
    found = await deps.store.read(
        lambda connection: event_source_mappings.list_mappings(
            connection,
            call.caller.account,
            call.region,
            source_arn=params.get("EventSourceArn"),
            function=named(call) if params.get("FunctionName") is not None else None,
            after=after[0] if after else "",
            limit=limit + 1,
        )
    )
    page, more = split_page(found, limit)
    marker = make_marker(page[-1].uuid, 0) if more else None
    return with_next_marker({"EventSourceMappings": [_listed(mapping) for mapping in page]}, marker)


async def update_event_source_mapping(deps: Control, call: Call) -> dict[str, Any]:
    """A member that is absent stays as it was."""
    params = call.params

    def transaction(connection: WritingConnection) -> EventSourceMapping:
        before = _named(connection, call)
        settings = event_source_settings.change(before.source, before.settings, params)
        _check_can_change(before, "update")
        after = replace(
            before,
            settings=settings,
            enabled=params.get("Enabled", before.enabled),
            state=step(before.state, asked(params.get("Enabled"))),
            modified_ms=deps.clock.wall_ms(),
        )
        if params.get("FunctionName") is not None:
            function, qualifier = _function_given(call)
            after = replace(after, function=function, qualifier=qualifier)
            _check_function(connection, after)
        _check_group(connection, after)
        event_source_mappings.replace(connection, after)
        return after

    return _shape(await deps.store.run(transaction))


async def delete_event_source_mapping(deps: Control, call: Call) -> dict[str, Any]:
    def transaction(connection: WritingConnection) -> EventSourceMapping:
        before = _named(connection, call)
        _check_can_change(before, "delete")
        after = replace(before, state=step(before.state, Event.DELETE_ASKED), modified_ms=deps.clock.wall_ms())
        event_source_mappings.replace(connection, after)
        return after

    return _shape(await deps.store.run(transaction))


def _named(connection: sqlite3.Connection, call: Call) -> EventSourceMapping:
    mapping = event_source_mappings.get(connection, call.caller.account, call.region, call.params["UUID"])
    if mapping is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return mapping


def _function_given(call: Call) -> tuple[FunctionName, str | None]:
    function, qualifier = named(call)
    return function, qualifier_shown(call.params["FunctionName"], qualifier)


def _check_function(connection: sqlite3.Connection, mapping: EventSourceMapping) -> None:
    """Raises where the mapping's function is not there, may not be mapped, may run for too long, or has a mapping for
    the same already."""
    target = find_in(connection, mapping.function, mapping.qualifier)
    if target is None:
        raise InvalidParameterValueException("Function does not exist")
    if target.configuration.tenant_isolation_mode is not None:
        # Developer guide, "Tenant isolation": a poller has no tenant's id to give.
        raise InvalidParameterValueException(
            "Event source mappings are not supported for functions with tenant isolation."
        )
    timeout_s = target.configuration.timeout_s
    if mapping.source in _BROKERS and timeout_s > limits.BROKER_TIMEOUT_S_MAX:
        raise InvalidParameterValueException(
            f"The function's timeout of {timeout_s} seconds is more than the {limits.BROKER_TIMEOUT_S_MAX} that this "
            "event source waits for."
        )
    for other in event_source_mappings.of_function(connection, mapping.function, mapping.qualifier):
        refusal = duplicate_refusal(mapping, other)
        if refusal is not None:
            raise ResourceConflictException(refusal)


def _check_group(connection: sqlite3.Connection, mapping: EventSourceMapping) -> None:
    """Raises where the poller group that the mapping asks for is full."""
    function, group = mapping.function, poller_group_of(mapping.settings)
    if group is not None:
        members = event_source_mappings.of_poller_group(connection, function.account, function.region, group)
        check_poller_group(mapping, members)


def _check_can_change(mapping: EventSourceMapping, verb: str) -> None:
    if is_unfinished(mapping.state):
        raise ResourceInUseException(f"Cannot {verb} the event source mapping because it is in use.")


def _shape(mapping: EventSourceMapping) -> dict[str, Any]:
    shape: dict[str, Any] = {
        **mapping.settings,
        "UUID": mapping.uuid,
        "FunctionArn": function_of(mapping),
        "EventSourceMappingArn": mapping_arn(mapping),
        "LastModified": mapping.modified_ms / 1000,
        "State": mapping.state.value,
        "StateTransitionReason": reason_of(mapping.source),
    }
    if mapping.last_result is not None:
        shape["LastProcessingResult"] = mapping.last_result
    return shape


def _listed(mapping: EventSourceMapping) -> dict[str, Any]:
    """Lists do not show filters that have a key of the caller's. Source: API reference, FilterCriteria."""
    shape = _shape(mapping)
    if "KMSKeyArn" in shape:
        shape.pop("FilterCriteria", None)
    return shape


TAGGABLE = taggable_records(event_source_mappings.get, event_source_mappings.replace)

OPERATIONS: dict[str, ControlOperation] = {
    "CreateEventSourceMapping": create_event_source_mapping,
    "GetEventSourceMapping": get_event_source_mapping,
    "ListEventSourceMappings": list_event_source_mappings,
    "UpdateEventSourceMapping": update_event_source_mapping,
    "DeleteEventSourceMapping": delete_event_source_mapping,
}

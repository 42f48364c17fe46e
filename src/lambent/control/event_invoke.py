"""The resource event-invoke configuration: Put, Get, Update, Delete and List of FunctionEventInvokeConfig(s).

One for each qualifier of a function that has been given any; without a qualifier, `$LATEST` is meant.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find_in, named
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.core.arn import function_arn, read_function_arn
from lambent.core.errors import InvalidParameterValueException, ResourceNotFoundException
from lambent.core.event_invoke import (
    DESTINATIONS_ON_FAILURE,
    DESTINATIONS_ON_SUCCESS,
    EventInvokeConfig,
    is_destination,
)
from lambent.core.function import LATEST, FunctionName
from lambent.store import event_invoke
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call

_SETTINGS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


async def put_function_event_invoke_config(deps: Control, call: Call) -> dict[str, Any]:
    """Replaces all that was there."""
    function, qualifier = _named(call)
    _require_setting(call.params)
    config = _changed(EventInvokeConfig(function, qualifier, deps.clock.wall_ms()), call.params)

    def transaction(connection: WritingConnection) -> None:
        _require_qualified(connection, function, qualifier)
        _check_destinations(connection, config)
        event_invoke.put(connection, config)

    await deps.store.run(transaction)
    return _shape(config)


async def get_function_event_invoke_config(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _named(call)
    config = await deps.store.read(lambda connection: event_invoke.get(connection, function, qualifier))
    if config is None:
        raise _without_config(function, qualifier)
    return _shape(config)


async def update_function_event_invoke_config(deps: Control, call: Call) -> dict[str, Any]:
    """A member that is absent stays as it was, also inside of DestinationConfig."""
    function, qualifier = _named(call)
    _require_setting(call.params)

    def transaction(connection: WritingConnection) -> EventInvokeConfig:
        _require_qualified(connection, function, qualifier)
        before = event_invoke.get(connection, function, qualifier)
        if before is None:
            raise _without_config(function, qualifier)
        after = _changed(replace(before, last_modified_ms=deps.clock.wall_ms()), call.params)
        _check_destinations(connection, after)
        event_invoke.put(connection, after)
        return after

    return _shape(await deps.store.run(transaction))


async def delete_function_event_invoke_config(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _named(call)
    if not await deps.store.run(lambda connection: event_invoke.delete(connection, function, qualifier)):
        raise _without_config(function, qualifier)
    return {}


async def list_function_event_invoke_configs(deps: Control, call: Call) -> dict[str, Any]:
    function, _ = named(call)
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))

    def query(connection: sqlite3.Connection) -> list[EventInvokeConfig]:
        _require_qualified(connection, function, LATEST)
        return event_invoke.list_configs(connection, function, after=after[0] if after else "", limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    marker = make_marker(page[-1].qualifier, 0) if more else None
    return with_next_marker({"FunctionEventInvokeConfigs": [_shape(config) for config in page]}, marker)


def _named(call: Call) -> tuple[FunctionName, str]:
    function, qualifier = named(call)
    return function, qualifier or LATEST


def _require_setting(params: Mapping[str, Any]) -> None:
    if all(params.get(setting) is None for setting in _SETTINGS):
        raise InvalidParameterValueException("You must specify at least one of error handling or destination setting.")


def _require_qualified(connection: sqlite3.Connection, function: FunctionName, qualifier: str) -> None:
    if find_in(connection, function, qualifier) is None:
        raise ResourceNotFoundException("The function doesn't exist.")


def _without_config(function: FunctionName, qualifier: str) -> ResourceNotFoundException:
    arn = function_arn(function, qualifier)
    return ResourceNotFoundException(f"The function {arn} doesn't have an EventInvokeConfig")


def _changed(before: EventInvokeConfig, params: Mapping[str, Any]) -> EventInvokeConfig:
    destinations = params.get("DestinationConfig") or {}
    return replace(
        before,
        retry_attempts=params.get("MaximumRetryAttempts", before.retry_attempts),
        event_age_s=params.get("MaximumEventAgeInSeconds", before.event_age_s),
        on_success=_destination(destinations.get("OnSuccess"), before.on_success),
        on_failure=_destination(destinations.get("OnFailure"), before.on_failure),
    )


def _destination(given: Mapping[str, Any] | None, before: str | None) -> str | None:
    """An empty member, or an empty ARN in it, takes the destination away."""
    return before if given is None else given.get("Destination") or None


def _check_destinations(connection: sqlite3.Connection, config: EventInvokeConfig) -> None:
    """Raises InvalidParameterValueException for a destination that no record could go to."""
    for arn, services in (
        (config.on_failure, DESTINATIONS_ON_FAILURE),
        (config.on_success, DESTINATIONS_ON_SUCCESS),
    ):
        if arn is None:
            continue
        if not is_destination(arn, services):
            raise InvalidParameterValueException(
                "The provided destination config DestinationConfig("
                f"onSuccess={_printed('OnSuccess', config.on_success)}, "
                f"onFailure={_printed('OnFailure', config.on_failure)}) is invalid."
            )
        if arn.split(":")[2] == "lambda":
            _check_function_destination(connection, config.function, arn)


def _check_function_destination(connection: sqlite3.Connection, function: FunctionName, arn: str) -> None:
    named_by = read_function_arn(arn)
    if named_by is None:
        raise InvalidParameterValueException(f"The destination ARN {arn} is invalid.")
    destination, qualifier = named_by
    if destination == function:
        raise InvalidParameterValueException("You can't specify the function as a destination for itself.")
    # Into another account nobody may look.
    is_ours = (destination.account, destination.region) == (function.account, function.region)
    if is_ours and find_in(connection, destination, qualifier) is None:
        raise InvalidParameterValueException(f"The destination ARN {arn} is invalid.")


def _printed(shape: str, arn: str | None) -> str:
    return "null" if arn is None else f"{shape}(destination={arn})"


def _shape(config: EventInvokeConfig) -> dict[str, Any]:
    return {
        "LastModified": config.last_modified_ms / 1000,
        "FunctionArn": function_arn(config.function, config.qualifier),
        "MaximumRetryAttempts": config.retry_attempts,
        "MaximumEventAgeInSeconds": config.event_age_s,
        "DestinationConfig": {
            "OnSuccess": {"Destination": config.on_success},
            "OnFailure": {"Destination": config.on_failure},
        },
    }


OPERATIONS: dict[str, ControlOperation] = {
    "PutFunctionEventInvokeConfig": put_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": get_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": update_function_event_invoke_config,
    "DeleteFunctionEventInvokeConfig": delete_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
}

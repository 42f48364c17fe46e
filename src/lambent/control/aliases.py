"""The resource alias: CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases.

An alias has a revision of its own; what it names is not changed by it. Invocations see a change when it is answered,
for the data plane keeps the aliases in memory (`lambent.invoke.configuration`).
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import named_unqualified, not_found, version_meant
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.provisioned_concurrency import check_alias
from lambent.control.revision import STALE_REVISION
from lambent.core.alias import Alias, Routing
from lambent.core.arn import function_arn
from lambent.core.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.store import aliases, functions, provisioned_concurrency
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def create_alias(deps: Control, call: Call) -> dict[str, Any]:
    function = named_unqualified(call)
    params = call.params
    alias = Alias(
        function=function,
        name=params["Name"],
        version=params["FunctionVersion"],
        revision_id=deps.new_id(),
        description=params.get("Description", ""),
        routing=_routing(params.get("RoutingConfig") or {}),
    )
    _check_pair(alias)

    def transaction(connection: WritingConnection) -> None:
        _require_function(connection, function)
        _check_versions(connection, alias)
        try:
            aliases.insert(connection, alias)
        except aliases.AlreadyExists as error:
            raise ResourceConflictException(f"Alias already exists: {function_arn(function, alias.name)}") from error

    await deps.store.run(transaction)
    return _shape(alias)


async def get_alias(deps: Control, call: Call) -> dict[str, Any]:
    function, name = named_unqualified(call), call.params["Name"]

    def query(connection: sqlite3.Connection) -> Alias | None:
        _require_function(connection, function)
        return aliases.get(connection, function, name)

    alias = await deps.store.read(query)
    if alias is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {function_arn(function, name)}")
    return _shape(alias)


async def update_alias(deps: Control, call: Call) -> dict[str, Any]:
    """A member that is absent stays as it was; a RoutingConfig without weights ends the routing."""
    function, params = named_unqualified(call), call.params
    name = params["Name"]

    def transaction(connection: WritingConnection) -> Alias:
        _require_function(connection, function)
        before = aliases.get(connection, function, name)
        if before is None:
            raise ResourceNotFoundException(f"Alias not found: {function_arn(function, name)}")
        expected = params.get("RevisionId")
        if expected and expected != before.revision_id:
            raise PreconditionFailedException(STALE_REVISION)
        weights = params.get("RoutingConfig")
        after = replace(
            before,
            version=params.get("FunctionVersion", before.version),
            description=params.get("Description", before.description),
            routing=before.routing if weights is None else _routing(weights),
            revision_id=deps.new_id(),
        )
        _check_pair(after)
        _check_versions(connection, after)
        if provisioned_concurrency.get(connection, function, name) is not None:
            check_alias(connection, after)
        aliases.replace(connection, after)
        return after

    return _shape(await deps.store.run(transaction))


async def delete_alias(deps: Control, call: Call) -> dict[str, Any]:
    """An alias that is not there, of a function that is, is as good as deleted."""
    function, name = named_unqualified(call), call.params["Name"]

    def transaction(connection: WritingConnection) -> None:
        _require_function(connection, function)
        aliases.delete(connection, function, name)

    await deps.store.run(transaction)
    return {}


async def list_aliases(deps: Control, call: Call) -> dict[str, Any]:
    function = named_unqualified(call)
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))
    asked = call.params.get("FunctionVersion")
    version = None if asked is None else version_meant(asked)

    def query(connection: sqlite3.Connection) -> list[Alias]:
        _require_function(connection, function)
        if asked is not None and version is None:
            return []
        return aliases.list_aliases(connection, function, version, after=after[0] if after else "", limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    marker = make_marker(page[-1].name, 0) if more else None
    return with_next_marker({"Aliases": [_shape(alias) for alias in page]}, marker)


def _routing(config: Mapping[str, Any]) -> Routing | None:
    """None where no weights are given. Raises InvalidParameterValueException for more than one."""
    weights: Mapping[str, float] = config.get("AdditionalVersionWeights") or {}
    if len(weights) > 1:
        raise InvalidParameterValueException("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for version, weight in weights.items():
        return Routing(version, weight)
    return None


def _check_pair(alias: Alias) -> None:
    """Raises InvalidParameterValueException for two versions that an alias can not have together."""
    if alias.routing is None:
        return
    if alias.routing.version == alias.version:
        raise InvalidParameterValueException(
            f"Invalid function version {alias.version}. "
            f"Function version {alias.version} is already included in routing configuration."
        )
    if alias.version == LATEST:
        error = InvalidParameterValueException("$LATEST is not supported for an alias pointing to more than 1 version")
        # AWS sends this one without its type.
        error.members.pop("Type")
        raise error


def _check_versions(connection: sqlite3.Connection, alias: Alias) -> None:
    """The versions must be there. Two of them must be alike in role and dead-letter queue: what a caller may do and
    what becomes of a failure can not depend on the draw. Source: developer guide, on weighted aliases."""
    first = _require_version(connection, alias.function, alias.version).configuration
    if alias.routing is None:
        return
    second = _require_version(connection, alias.function, alias.routing.version).configuration
    if first.role != second.role:
        raise InvalidParameterValueException(
            f"Versions {alias.version} and {alias.routing.version} must have the same execution role to share an alias."
        )
    if first.stored.get("DeadLetterConfig") != second.stored.get("DeadLetterConfig"):
        raise InvalidParameterValueException(
            f"Versions {alias.version} and {alias.routing.version} must have the same DeadLetterConfig to share an "
            "alias."
        )


def _require_function(connection: sqlite3.Connection, function: FunctionName) -> None:
    if functions.get(connection, function) is None:
        raise not_found(function)


def _require_version(connection: sqlite3.Connection, function: FunctionName, asked: str) -> FunctionVersion:
    version = version_meant(asked)
    found = None if version is None else functions.get(connection, function, version)
    if found is None:
        raise not_found(function, asked)
    return found


def _shape(alias: Alias) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "AliasArn": function_arn(alias.function, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.routing is not None:
        shape["RoutingConfig"] = {"AdditionalVersionWeights": {alias.routing.version: alias.routing.weight}}
    return shape


OPERATIONS: dict[str, ControlOperation] = {
    "CreateAlias": create_alias,
    "GetAlias": get_alias,
    "UpdateAlias": update_alias,
    "DeleteAlias": delete_alias,
    "ListAliases": list_aliases,
}

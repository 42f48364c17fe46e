"""The resource provisioned concurrency: Put, Get, Delete and List of ProvisionedConcurrencyConfig(s).

One for a version or an alias. The dispatcher initialises the environments; what these operations tell of them is
asked of it (`lambent.invoke.provisioned`), and nothing of that is kept.
"""

import sqlite3
from datetime import UTC, datetime
from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find_in, named, not_found
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.core.alias import Alias, is_alias_name
from lambent.core.arn import function_arn
from lambent.core.concurrency import check_provisioned
from lambent.core.errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
)
from lambent.core.function import LATEST, NO_SNAP_START, FunctionName
from lambent.core.provisioned_concurrency import Progress, ProvisionedConcurrency, status
from lambent.store import aliases, concurrency, functions, provisioned_concurrency
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call

_UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
_FROM_SNAPSHOTS = "Provisioned Concurrency Configs cannot be applied to SnapStart enabled function versions."
_BY_TENANT = "Provisioned Concurrency Configs cannot be applied to functions with tenant isolation."
_ALREADY_PROVISIONED = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"


async def put_provisioned_concurrency_config(deps: Control, call: Call) -> dict[str, Any]:
    """Answers before any environment is there: the first ones are being started."""
    function, qualifier = _named(call, _UNPUBLISHED)
    setting = ProvisionedConcurrency(
        function, qualifier, call.params["ProvisionedConcurrentExecutions"], deps.clock.wall_ms()
    )

    def transaction(connection: WritingConnection) -> None:
        _require_qualified(connection, function, qualifier)
        _check_versions(connection, function, qualifier)
        before = provisioned_concurrency.get(connection, function, qualifier)
        check_provisioned(
            setting.count,
            0 if before is None else before.count,
            reserved=concurrency.get(connection, function),
            provisioned=provisioned_concurrency.total(connection, function),
            unreserved=deps.concurrency_limit - concurrency.claimed(connection, function.account, function.region),
        )
        provisioned_concurrency.put(connection, setting)

    await deps.store.run(transaction)
    return _shape(setting, Progress())


async def get_provisioned_concurrency_config(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _named(call)

    def query(connection: sqlite3.Connection) -> ProvisionedConcurrency | None:
        _require_qualified(connection, function, qualifier)
        return provisioned_concurrency.get(connection, function, qualifier)

    setting = await deps.store.read(query)
    if setting is None:
        raise ProvisionedConcurrencyConfigNotFoundException("No Provisioned Concurrency Config found for this function")
    return _shape(setting, deps.provisioned.progress(function, qualifier))


async def delete_provisioned_concurrency_config(deps: Control, call: Call) -> dict[str, Any]:
    """Where there is none, the answer is the same."""
    function, qualifier = _named(call)

    def transaction(connection: WritingConnection) -> None:
        _require_qualified(connection, function, qualifier)
        provisioned_concurrency.delete(connection, function, qualifier)

    await deps.store.run(transaction)
    return {}


async def list_provisioned_concurrency_configs(deps: Control, call: Call) -> dict[str, Any]:
    function, _ = named(call)
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))

    def query(connection: sqlite3.Connection) -> list[ProvisionedConcurrency]:
        if functions.get(connection, function) is None:
            raise not_found(function)
        return provisioned_concurrency.list_settings(
            connection, function, after=after[0] if after else "", limit=limit + 1
        )

    page, more = split_page(await deps.store.read(query), limit)
    shapes = [
        {
            "FunctionArn": function_arn(function, setting.qualifier),
            **_shape(setting, deps.provisioned.progress(function, setting.qualifier)),
        }
        for setting in page
    ]
    marker = make_marker(page[-1].qualifier, 0) if more else None
    return with_next_marker({"ProvisionedConcurrencyConfigs": shapes}, marker)


def check_alias(connection: sqlite3.Connection, alias: Alias) -> None:
    """Whether an alias with provisioned concurrency may mean these versions: published ones, that have none of their
    own or by another alias. Raises InvalidParameterValueException or ResourceConflictException."""
    for version in _versions(alias):
        if version == LATEST:
            raise InvalidParameterValueException(_UNPUBLISHED)
        _check_start(connection, alias.function, version)
        own = provisioned_concurrency.get(connection, alias.function, version)
        other = provisioned_concurrency.alias_of_version(connection, alias.function, version, other_than=alias.name)
        if own is not None or other is not None:
            raise ResourceConflictException(_ALREADY_PROVISIONED)


def _versions(alias: Alias) -> list[str]:
    return [alias.version] if alias.routing is None else [alias.version, alias.routing.version]


def _check_versions(connection: sqlite3.Connection, function: FunctionName, qualifier: str) -> None:
    if is_alias_name(qualifier):
        alias = aliases.get(connection, function, qualifier)
        assert alias is not None, "looked for in the same transaction"
        check_alias(connection, alias)
        return
    _check_start(connection, function, qualifier)
    if provisioned_concurrency.alias_of_version(connection, function, qualifier) is not None:
        raise ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")


def _check_start(connection: sqlite3.Connection, function: FunctionName, version: str) -> None:
    """What starts from a snapshot is not started ahead, nor what has to know its tenant first. Source: developer guide,
    "Lambda SnapStart", "Tenant isolation"."""
    record = functions.get(connection, function, version)
    assert record is not None, "looked for in the same transaction"
    if record.configuration.snap_start != NO_SNAP_START:
        raise InvalidParameterValueException(_FROM_SNAPSHOTS)
    if record.configuration.tenant_isolation_mode is not None:
        raise InvalidParameterValueException(_BY_TENANT)


def _named(
    call: Call, unpublished: str = "The function resource provided must be an alias or a published version."
) -> tuple[FunctionName, str]:
    function, qualifier = named(call)
    if qualifier is None or qualifier == LATEST:
        raise InvalidParameterValueException(unpublished)
    return function, qualifier


def _require_qualified(connection: sqlite3.Connection, function: FunctionName, qualifier: str) -> None:
    if find_in(connection, function, qualifier) is None:
        raise not_found(function, qualifier)


def _shape(setting: ProvisionedConcurrency, progress: Progress) -> dict[str, Any]:
    moment = datetime.fromtimestamp(setting.last_modified_ms // 1000, UTC)
    return {
        "RequestedProvisionedConcurrentExecutions": setting.count,
        "AvailableProvisionedConcurrentExecutions": progress.available,
        "AllocatedProvisionedConcurrentExecutions": progress.allocated,
        "Status": status(setting.count, progress),
        "StatusReason": progress.failure,
        # Unlike a function's, without milliseconds.
        "LastModified": f"{moment:%Y-%m-%dT%H:%M:%S}+0000",
    }


OPERATIONS: dict[str, ControlOperation] = {
    "PutProvisionedConcurrencyConfig": put_provisioned_concurrency_config,
    "GetProvisionedConcurrencyConfig": get_provisioned_concurrency_config,
    "DeleteProvisionedConcurrencyConfig": delete_provisioned_concurrency_config,
    "ListProvisionedConcurrencyConfigs": list_provisioned_concurrency_configs,
}

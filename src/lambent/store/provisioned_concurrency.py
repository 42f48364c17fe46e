"""Settings of provisioned concurrency in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema removes one together with the version or the alias that it is for, of which the listeners are told.
"""

import sqlite3
from collections.abc import Iterator

from lambent.core.alias import is_alias_name
from lambent.core.function import FunctionName
from lambent.core.provisioned_concurrency import ProvisionedConcurrency
from lambent.store import queries
from lambent.store.changes import ProvisioningChanged, ProvisioningRemoved
from lambent.store.functions import number_of
from lambent.store.metadata import WritingConnection

_SQL = queries.load("provisioned_concurrency")
_Row = tuple[str, str, str, str, int, int]


def load_all(connection: sqlite3.Connection) -> Iterator[ProvisioningChanged]:
    """Every setting of every function."""
    for row in connection.execute(_SQL["everything"]):
        yield ProvisioningChanged(_setting(row))


def get(connection: sqlite3.Connection, function: FunctionName, qualifier: str) -> ProvisionedConcurrency | None:
    row = connection.execute(_SQL["get"], _key(function, qualifier)).fetchone()
    return None if row is None else _setting(row)


def put(connection: WritingConnection, setting: ProvisionedConcurrency) -> None:
    """New, or in the place of the one for the same qualifier. The version or alias must be there."""
    is_alias = is_alias_name(setting.qualifier)
    connection.execute(
        _SQL["put"],
        {
            **_key(setting.function, setting.qualifier),
            "number": None if is_alias else number_of(setting.qualifier),
            "alias": setting.qualifier if is_alias else None,
            "count": setting.count,
            "last_modified_ms": setting.last_modified_ms,
        },
    )
    connection.changed(ProvisioningChanged(setting))


def delete(connection: WritingConnection, function: FunctionName, qualifier: str) -> None:
    if connection.execute(_SQL["delete"], _key(function, qualifier)).rowcount:
        connection.changed(ProvisioningRemoved(function, qualifier))


def list_settings(
    connection: sqlite3.Connection, function: FunctionName, *, after: str, limit: int
) -> list[ProvisionedConcurrency]:
    """Those of a function whose qualifier follows `after`, by qualifier."""
    scope = {**_key(function, ""), "after_qualifier": after, "limit": limit}
    return [_setting(row) for row in connection.execute(_SQL["list"], scope)]


def total(connection: sqlite3.Connection, function: FunctionName) -> int:
    """Of all the function's versions and aliases."""
    (count,) = connection.execute(_SQL["total"], _key(function, "")).fetchone()
    return int(count)


def alias_of_version(
    connection: sqlite3.Connection, function: FunctionName, version: str, *, other_than: str = ""
) -> str | None:
    """The alias, not that one, that has provisioned concurrency and may run the version."""
    scope = {**_key(function, other_than), "number": number_of(version)}
    row = connection.execute(_SQL["alias_of_version"], scope).fetchone()
    return None if row is None else str(row[0])


def _key(function: FunctionName, qualifier: str) -> dict[str, object]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "qualifier": qualifier,
    }


def _setting(row: _Row) -> ProvisionedConcurrency:
    account, region, name, qualifier, count, last_modified_ms = row
    return ProvisionedConcurrency(FunctionName(account, region, name), qualifier, count, last_modified_ms)

"""Aliases in the metadata store: plain functions over a connection, for `MetadataStore`.

Each write tells the listeners. The schema holds an alias to versions that are there; deleting a function takes its
aliases along, which `FunctionRemoved` says of all of them.
"""

import sqlite3
from collections.abc import Iterator

import msgspec

from lambent.core.alias import Alias
from lambent.core.function import FunctionName
from lambent.store import queries
from lambent.store.changes import AliasChanged, AliasRemoved
from lambent.store.functions import number_of
from lambent.store.metadata import WritingConnection

_SQL = queries.load("aliases")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Alias).decode


class AlreadyExists(Exception):
    """The function has an alias of this name."""


def load_all(connection: sqlite3.Connection) -> Iterator[AliasChanged]:
    """Every alias of every function."""
    for (record,) in connection.execute(_SQL["all_aliases"]):
        yield AliasChanged(_decode(record))


def get(connection: sqlite3.Connection, function: FunctionName, name: str) -> Alias | None:
    row = connection.execute(_SQL["get"], _key(function, name)).fetchone()
    return None if row is None else _decode(row[0])


def insert(connection: WritingConnection, alias: Alias) -> None:
    """A new alias, of versions that are there. Raises AlreadyExists."""
    if not connection.execute(_SQL["insert"], _columns(alias)).rowcount:
        raise AlreadyExists(alias.name)
    connection.changed(AliasChanged(alias))


def replace(connection: WritingConnection, alias: Alias) -> None:
    """Put the record in the place of the one of the same name, which was read in this transaction."""
    replaced = connection.execute(_SQL["replace"], _columns(alias)).rowcount
    assert replaced == 1, "only an alias that was read in the same transaction is replaced"
    connection.changed(AliasChanged(alias))


def delete(connection: WritingConnection, function: FunctionName, name: str) -> bool:
    """False if it is not there."""
    gone = connection.execute(_SQL["delete"], _key(function, name)).rowcount > 0
    if gone:
        connection.changed(AliasRemoved(function, name))
    return gone


def list_aliases(
    connection: sqlite3.Connection, function: FunctionName, version: str | None, *, after: str, limit: int
) -> list[Alias]:
    """The aliases whose name follows `after`, by name: all, or those that may run a version."""
    scope: dict[str, object] = {**_scope(function), "after_alias": after, "limit": limit}
    if version is None:
        rows = connection.execute(_SQL["list"], scope)
    else:
        rows = connection.execute(_SQL["list_running"], {**scope, "number": number_of(version)})
    return [_decode(record) for (record,) in rows]


def names_running(connection: sqlite3.Connection, function: FunctionName, version: str) -> list[str]:
    """The names of the aliases that may run the version."""
    rows = connection.execute(_SQL["names_running"], {**_scope(function), "number": number_of(version)})
    return [name for (name,) in rows]


def _scope(function: FunctionName) -> dict[str, str]:
    return {"account": function.account, "region": function.region, "name": function.name}


def _key(function: FunctionName, name: str) -> dict[str, str]:
    return {**_scope(function), "alias": name}


def _columns(alias: Alias) -> dict[str, object]:
    return {
        **_key(alias.function, alias.name),
        "number": number_of(alias.version),
        "additional_number": None if alias.routing is None else number_of(alias.routing.version),
        "record": _encode(alias),
    }

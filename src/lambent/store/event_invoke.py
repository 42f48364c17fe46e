"""Event-invoke configurations in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema removes one together with the version or the alias that it is for, which the change that tells of that says
of both.
"""

import sqlite3
from collections.abc import Iterator

import msgspec

from lambent.core.alias import is_alias_name
from lambent.core.event_invoke import EventInvokeConfig
from lambent.core.function import FunctionName
from lambent.store import queries
from lambent.store.changes import EventInvokeChanged, EventInvokeRemoved
from lambent.store.functions import number_of
from lambent.store.metadata import WritingConnection

_SQL = queries.load("event_invoke")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EventInvokeConfig).decode


def load_all(connection: sqlite3.Connection) -> Iterator[EventInvokeChanged]:
    """Those of every qualifier of every function."""
    for (record,) in connection.execute(_SQL["all_configs"]):
        yield EventInvokeChanged(_decode(record))


def get(connection: sqlite3.Connection, function: FunctionName, qualifier: str) -> EventInvokeConfig | None:
    row = connection.execute(_SQL["get"], _key(function, qualifier)).fetchone()
    return None if row is None else _decode(row[0])


def put(connection: WritingConnection, config: EventInvokeConfig) -> None:
    """New, or in the place of the one for the same qualifier. The version or alias must be there."""
    is_alias = is_alias_name(config.qualifier)
    connection.execute(
        _SQL["put"],
        {
            **_key(config.function, config.qualifier),
            "number": None if is_alias else number_of(config.qualifier),
            "alias": config.qualifier if is_alias else None,
            "record": _encode(config),
        },
    )
    connection.changed(EventInvokeChanged(config))


def delete(connection: WritingConnection, function: FunctionName, qualifier: str) -> bool:
    """False if there is none."""
    gone = connection.execute(_SQL["delete"], _key(function, qualifier)).rowcount > 0
    if gone:
        connection.changed(EventInvokeRemoved(function, qualifier))
    return gone


def list_configs(
    connection: sqlite3.Connection, function: FunctionName, *, after: str, limit: int
) -> list[EventInvokeConfig]:
    """Those of a function whose qualifier follows `after`, by qualifier."""
    scope = {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "after_qualifier": after,
        "limit": limit,
    }
    return [_decode(record) for (record,) in connection.execute(_SQL["list"], scope)]


def _key(function: FunctionName, qualifier: str) -> dict[str, str]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "qualifier": qualifier,
    }

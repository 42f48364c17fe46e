"""Event source mappings in the metadata store: plain functions over a connection, for `MetadataStore`.

Each write tells the listeners of the change itself. A mapping stays when its function goes, as on AWS.
"""

import sqlite3

import msgspec

from lambent.core.event_source import EventSourceMapping
from lambent.core.event_source_state import is_unfinished
from lambent.core.function import LATEST, FunctionName
from lambent.store import queries
from lambent.store.changes import MappingChanged, MappingRemoved
from lambent.store.metadata import WritingConnection

_SQL = queries.load("event_source_mappings")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EventSourceMapping).decode


def insert(connection: WritingConnection, mapping: EventSourceMapping) -> None:
    """A new mapping, under an id that no other has."""
    connection.execute(_SQL["insert"], _row(mapping))
    connection.changed(MappingChanged(mapping))


def get(connection: sqlite3.Connection, account: str, region: str, uuid: str) -> EventSourceMapping | None:
    row = connection.execute(_SQL["get"], {"account": account, "region": region, "uuid": uuid}).fetchone()
    return None if row is None else _decode(row[0])


def replace(connection: WritingConnection, mapping: EventSourceMapping) -> None:
    """Put the record in the place of the one with the same id, which was read in this transaction."""
    replaced = connection.execute(_SQL["replace"], _row(mapping)).rowcount
    assert replaced == 1, "only a mapping that was read in the same transaction is replaced"
    connection.changed(MappingChanged(mapping))


def delete(connection: WritingConnection, mapping: EventSourceMapping) -> None:
    """Remove one that was read in this transaction."""
    connection.execute(_SQL["delete"], _row(mapping))
    connection.changed(MappingRemoved(mapping))


def unfinished(connection: sqlite3.Connection) -> list[EventSourceMapping]:
    """Those whose state something must settle, of all accounts and regions."""
    return [_decode(record) for (record,) in connection.execute(_SQL["unfinished"])]


def of_function(
    connection: sqlite3.Connection, function: FunctionName, qualifier: str | None
) -> list[EventSourceMapping]:
    """All that invoke the same version or alias of the function."""
    rows = connection.execute(_SQL["of_function"], _function(function, qualifier))
    return [_decode(record) for (record,) in rows]


def of_poller_group(connection: sqlite3.Connection, account: str, region: str, group: str) -> list[EventSourceMapping]:
    rows = connection.execute(_SQL["of_poller_group"], {"account": account, "region": region, "group": group})
    return [_decode(record) for (record,) in rows]


def list_mappings(
    connection: sqlite3.Connection,
    account: str,
    region: str,
    *,
    source_arn: str | None,
    function: tuple[FunctionName, str | None] | None,
    after: str,
    limit: int,
) -> list[EventSourceMapping]:
    """Those whose id follows `after`, by id: of one source, and of one version or alias of a function, if given."""
    scope: dict[str, str | int] = {"account": account, "region": region, "after_uuid": after, "limit": limit}
    if source_arn is not None:
        scope["source_arn"] = source_arn
    if function is not None:
        scope.update(_function(*function))
    statement = {
        (False, False): "list",
        (True, False): "list_of_source",
        (False, True): "list_of_function",
        (True, True): "list_of_both",
    }[source_arn is not None, function is not None]
    return [_decode(record) for (record,) in connection.execute(_SQL[statement], scope)]


def _row(mapping: EventSourceMapping) -> dict[str, object]:
    return {
        **_function(mapping.function, mapping.qualifier),
        "uuid": mapping.uuid,
        "source_arn": mapping.settings.get("EventSourceArn"),
        "unfinished": is_unfinished(mapping.state),
        "record": _encode(mapping),
    }


def _function(function: FunctionName, qualifier: str | None) -> dict[str, str]:
    """`$LATEST` is the same whether it is named or not."""
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "qualifier": "" if qualifier is None or qualifier == LATEST else qualifier,
    }

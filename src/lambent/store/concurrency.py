"""Reserved concurrency in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema removes a reservation together with its function, which `FunctionRemoved` says of both.
"""

import sqlite3
from collections.abc import Iterator

from lambent.core.function import FunctionName
from lambent.store import queries
from lambent.store.changes import ReservationChanged
from lambent.store.metadata import WritingConnection

_SQL = queries.load("concurrency")


def load_all(connection: sqlite3.Connection) -> Iterator[ReservationChanged]:
    """Every reservation of every function."""
    for account, region, name, reserved in connection.execute(_SQL["all_reservations"]):
        yield ReservationChanged(FunctionName(account, region, name), reserved)


def get(connection: sqlite3.Connection, function: FunctionName) -> int | None:
    """What the function has reserved, or None."""
    row = connection.execute(_SQL["get"], _key(function)).fetchone()
    return None if row is None else int(row[0])


def put(connection: WritingConnection, function: FunctionName, reserved: int) -> None:
    """The function must be there."""
    connection.execute(_SQL["put"], {**_key(function), "reserved": reserved})
    connection.changed(ReservationChanged(function, reserved))


def delete(connection: WritingConnection, function: FunctionName) -> None:
    if connection.execute(_SQL["delete"], _key(function)).rowcount:
        connection.changed(ReservationChanged(function, None))


def claimed(connection: sqlite3.Connection, account: str, region: str) -> int:
    """How much of the account's limit functions have claimed for themselves: reserved, or provisioned where nothing is
    reserved."""
    (total,) = connection.execute(_SQL["claimed"], {"account": account, "region": region}).fetchone()
    return int(total)


def _key(function: FunctionName) -> dict[str, str]:
    return {"account": function.account, "region": function.region, "name": function.name}

"""Function URLs in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema removes one together with the function or the alias that it is for.
"""

import sqlite3

import msgspec

from lambent.core.function import FunctionName
from lambent.core.function_url import FunctionUrl
from lambent.store import queries

_SQL = queries.load("function_urls")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FunctionUrl).decode


class AlreadyExists(Exception):
    """The function, or the alias, has a URL."""


def get(connection: sqlite3.Connection, function: FunctionName, alias: str | None) -> FunctionUrl | None:
    row = connection.execute(_SQL["get"], _key(function, alias)).fetchone()
    return None if row is None else _decode(row[0])


def insert(connection: sqlite3.Connection, url: FunctionUrl) -> None:
    """A new URL of a function, or of an alias, that is there. Raises AlreadyExists."""
    added = connection.execute(
        _SQL["insert"],
        {**_key(url.function, url.alias), "alias": url.alias, "url_id": url.url_id, "record": _encode(url)},
    ).rowcount
    if not added:
        raise AlreadyExists(url.function.name)


def replace(connection: sqlite3.Connection, url: FunctionUrl) -> None:
    """Put the record in the place of the one of the same URL, which was read in this transaction."""
    replaced = connection.execute(_SQL["replace"], {**_key(url.function, url.alias), "record": _encode(url)}).rowcount
    assert replaced == 1, "only a URL that was read in the same transaction is replaced"


def delete(connection: sqlite3.Connection, function: FunctionName, alias: str | None) -> bool:
    """False if there is none."""
    return connection.execute(_SQL["delete"], _key(function, alias)).rowcount > 0


def list_urls(
    connection: sqlite3.Connection, function: FunctionName, *, after: str | None, limit: int
) -> list[FunctionUrl]:
    """The URLs of a function: that of `$LATEST`, then by alias. `after` is an alias, or empty for `$LATEST`."""
    scope = {"account": function.account, "region": function.region, "name": function.name, "limit": limit}
    if after is None:
        rows = connection.execute(_SQL["list_first"], scope)
    else:
        rows = connection.execute(_SQL["list"], {**scope, "after_qualifier": after})
    return [_decode(record) for (record,) in rows]


def _key(function: FunctionName, alias: str | None) -> dict[str, str]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "qualifier": alias or "",
    }

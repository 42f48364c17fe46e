"""Code signing configurations in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema takes a function's attachment away with the function.
"""

import sqlite3

import msgspec

from lambent.core.code_signing import CodeSigningConfig
from lambent.core.function import FunctionName
from lambent.store import queries

_SQL = queries.load("code_signing")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CodeSigningConfig).decode


def insert(connection: sqlite3.Connection, config: CodeSigningConfig) -> None:
    """A new configuration, under an id that no other has."""
    connection.execute(_SQL["insert"], {**_key(config), "record": _encode(config)})


def get(connection: sqlite3.Connection, account: str, region: str, config_id: str) -> CodeSigningConfig | None:
    row = connection.execute(_SQL["get"], {"account": account, "region": region, "config_id": config_id}).fetchone()
    return None if row is None else _decode(row[0])


def replace(connection: sqlite3.Connection, config: CodeSigningConfig) -> None:
    """Put the record in the place of the one with the same id, which was read in this transaction."""
    replaced = connection.execute(_SQL["replace"], {**_key(config), "record": _encode(config)}).rowcount
    assert replaced == 1, "only a configuration that was read in the same transaction is replaced"


def delete(connection: sqlite3.Connection, config: CodeSigningConfig) -> None:
    """Remove one that no function has."""
    connection.execute(_SQL["delete"], _key(config))


def list_configs(
    connection: sqlite3.Connection, account: str, region: str, *, after: str, limit: int
) -> list[CodeSigningConfig]:
    """Those whose id follows `after`, by id."""
    scope = {"account": account, "region": region, "after_id": after, "limit": limit}
    return [_decode(record) for (record,) in connection.execute(_SQL["list"], scope)]


def attach(connection: sqlite3.Connection, function: FunctionName, config: CodeSigningConfig) -> None:
    """Both must be there. A function has one configuration: this one from now on."""
    connection.execute(_SQL["attach"], {**_function(function), "config_id": config.config_id})


def detach(connection: sqlite3.Connection, function: FunctionName) -> None:
    connection.execute(_SQL["detach"], _function(function))


def attached(connection: sqlite3.Connection, function: FunctionName) -> CodeSigningConfig | None:
    """The configuration that the function has."""
    row = connection.execute(_SQL["attached"], _function(function)).fetchone()
    return None if row is None else _decode(row[0])


def list_functions(connection: sqlite3.Connection, config: CodeSigningConfig, *, after: str, limit: int) -> list[str]:
    """The names of the functions that have it, from the one that follows `after` on."""
    rows = connection.execute(_SQL["list_functions"], {**_key(config), "after_name": after, "limit": limit})
    return [name for (name,) in rows]


def _key(config: CodeSigningConfig) -> dict[str, str]:
    return {"account": config.account, "region": config.region, "config_id": config.config_id}


def _function(function: FunctionName) -> dict[str, str]:
    return {"account": function.account, "region": function.region, "name": function.name}

"""Layers and their versions in the metadata store: plain functions over a connection, for `MetadataStore`."""

import sqlite3

import msgspec

from lambent.core.layer import LARGEST_NUMBER, LayerName, LayerVersion
from lambent.core.policy import Policy
from lambent.store import queries

_SQL = queries.load("layers")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LayerVersion).decode
_decode_policy = msgspec.json.Decoder(Policy).decode


def allocate_version(connection: sqlite3.Connection, layer: LayerName) -> int:
    """The next version's number, never given before, also not to a version that is deleted."""
    (number,) = connection.execute(_SQL["allocate_version"], _key(layer)).fetchone()
    return int(number)


def insert(connection: sqlite3.Connection, version: LayerVersion) -> None:
    """A new version, under a number that `allocate_version` gave in this transaction."""
    connection.execute(
        _SQL["insert_version"],
        {
            **_key(version.layer, version.number),
            "digest": version.package.digest,
            "runtimes": _encode(version.runtimes or ()).decode(),
            "architectures": _encode(version.architectures or ()).decode(),
            "record": _encode(version),
        },
    )


def get(connection: sqlite3.Connection, layer: LayerName, number: int) -> LayerVersion | None:
    entry = get_with_policy(connection, layer, number)
    return None if entry is None else entry[0]


def get_with_policy(
    connection: sqlite3.Connection, layer: LayerName, number: int
) -> tuple[LayerVersion, Policy | None] | None:
    if number > LARGEST_NUMBER:
        return None
    row = connection.execute(_SQL["get_version"], _key(layer, number)).fetchone()
    if row is None:
        return None
    return _decode(row[0]), None if row[1] is None else _decode_policy(row[1])


def set_policy(connection: sqlite3.Connection, layer: LayerName, number: int, policy: Policy | None) -> None:
    """Put the policy in the place of the one that a version has, or take it away. The version must be there."""
    given = {**_key(layer, number), "policy": None if policy is None else _encode(policy)}
    changed = connection.execute(_SQL["set_policy"], given).rowcount
    assert changed == 1, "only a version that was read in the same transaction is changed"


def delete(connection: sqlite3.Connection, layer: LayerName, number: int) -> None:
    """Remove a version with its policy, if it is there. Functions that use it keep it."""
    if number <= LARGEST_NUMBER:
        connection.execute(_SQL["delete_version"], _key(layer, number))


def list_versions(
    connection: sqlite3.Connection,
    layer: LayerName,
    *,
    runtime: str | None,
    architecture: str | None,
    before: int,
    limit: int,
) -> list[LayerVersion]:
    """The versions with a number below `before` that are said to be compatible, the newest first."""
    given = {**_key(layer), "runtime": runtime, "architecture": architecture, "before_number": before, "limit": limit}
    return [_decode(record) for (record,) in connection.execute(_SQL["list_versions"], given)]


def list_newest(
    connection: sqlite3.Connection,
    account: str,
    region: str,
    *,
    runtime: str | None,
    architecture: str | None,
    after: str,
    limit: int,
) -> list[LayerVersion]:
    """Of each layer whose name follows `after`, by name, the newest version that is said to be compatible."""
    given = {
        "account": account,
        "region": region,
        "runtime": runtime,
        "architecture": architecture,
        "after_name": after,
        "limit": limit,
    }
    return [_decode(record) for record, _ in connection.execute(_SQL["list_newest"], given)]


def _key(layer: LayerName, number: int = 0) -> dict[str, str | int]:
    return {"account": layer.account, "region": layer.region, "name": layer.name, "number": number}

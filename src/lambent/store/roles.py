"""IAM roles in the metadata store: plain functions over a connection, for `MetadataStore`."""

import sqlite3

import msgspec

from lambent.core.record import Record
from lambent.store import queries

_SQL = queries.load("roles")


class Role(Record, frozen=True):
    """A role with its policies, whole. Documents are JSON text as the caller gave it.

    `attached` are ARNs of managed policies, `inline` documents by policy name, `tags` pairs in the caller's order.
    """

    account: str
    name: str
    path: str
    arn: str
    role_id: str
    created_ms: int
    trust: str
    description: str | None = None
    max_session_s: int = 3600
    permissions_boundary: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    attached: tuple[str, ...] = ()
    inline: dict[str, str] = msgspec.field(default_factory=dict)


class AlreadyExists(Exception):
    """The account has a role of this name, be it in other case."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Role).decode


def insert(connection: sqlite3.Connection, role: Role) -> None:
    """Raises AlreadyExists."""
    added = connection.execute(
        _SQL["insert"], {"account": role.account, "name": role.name, "path": role.path, "record": _encode(role)}
    ).rowcount
    if not added:
        raise AlreadyExists(role.name)


def get(connection: sqlite3.Connection, account: str, name: str) -> Role | None:
    row = connection.execute(_SQL["get"], {"account": account, "name": name}).fetchone()
    return None if row is None else _decode(row[0])


def replace(connection: sqlite3.Connection, role: Role) -> None:
    """Put the record in the place of the one of the same name, which must be there."""
    replaced = connection.execute(
        _SQL["replace"], {"account": role.account, "name": role.name, "record": _encode(role)}
    ).rowcount
    assert replaced == 1, "only a role that was read in the same transaction is replaced"


def delete(connection: sqlite3.Connection, account: str, name: str) -> None:
    connection.execute(_SQL["delete"], {"account": account, "name": name})


def count(connection: sqlite3.Connection, account: str) -> int:
    (number,) = connection.execute(_SQL["count"], {"account": account}).fetchone()
    return int(number)


def list_roles(
    connection: sqlite3.Connection, account: str, *, path_prefix: str, after_name: str, limit: int
) -> list[Role]:
    """Roles by name, from the one that follows `after_name` on."""
    rows = connection.execute(
        _SQL["list"],
        {"account": account, "path_prefix": path_prefix, "after_name": after_name, "limit": limit},
    )
    return [_decode(record) for (record,) in rows]

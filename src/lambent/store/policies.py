"""Resource policies of functions in the metadata store: plain functions over a connection, for `MetadataStore`.

The schema removes one together with the function, the version or the alias that it is for.
"""

import sqlite3

import msgspec

from lambent.core.alias import is_alias_name
from lambent.core.function import FunctionName
from lambent.core.policy import Policy
from lambent.store import queries
from lambent.store.functions import number_of

_SQL = queries.load("policies")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Policy).decode


def get(connection: sqlite3.Connection, function: FunctionName, qualifier: str | None) -> Policy | None:
    row = connection.execute(_SQL["get"], _key(function, qualifier)).fetchone()
    return None if row is None else _decode(row[0])


def put(connection: sqlite3.Connection, function: FunctionName, qualifier: str | None, policy: Policy | None) -> None:
    """Put the policy in the place of what there is, or take it away. What it is for must be there."""
    key = _key(function, qualifier)
    if policy is None:
        connection.execute(_SQL["delete"], key)
        return
    number = None if qualifier is None or is_alias_name(qualifier) else number_of(qualifier)
    alias = qualifier if number is None else None
    connection.execute(_SQL["put"], {**key, "number": number, "alias": alias, "record": _encode(policy)})


def _key(function: FunctionName, qualifier: str | None) -> dict[str, str]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "qualifier": qualifier or "",
    }

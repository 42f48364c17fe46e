"""What an account uses in a region, counted from the metadata store's records."""

import sqlite3

from lambent.core.record import Record
from lambent.store import queries

_SQL = queries.load("usage")


class Usage(Record, frozen=True):
    """`code_bytes` are those of the packages of functions and layers, of every version anew, as AWS counts them."""

    functions: int
    code_bytes: int


def usage(connection: sqlite3.Connection, account: str, region: str) -> Usage:
    scope = {"account": account, "region": region}
    count, of_functions = connection.execute(_SQL["of_functions"], scope).fetchone()
    (of_layers,) = connection.execute(_SQL["of_layers"], scope).fetchone()
    return Usage(count, of_functions + of_layers)

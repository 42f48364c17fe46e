"""Records of versions as they are on disk: JSON without the environment variables, and these beside it, sealed.

Owns also what happens to them when a store is opened: variables that an earlier Lambent wrote in the clear are
sealed, those under a key that is not the first any more are sealed anew, and no trace of how they were stays in the
database's files.
"""

import sqlite3

import msgspec
from msgspec.structs import replace

from lambent.core.function import FunctionName, FunctionVersion, UnreadableVariables
from lambent.store import queries
from lambent.store.keyring import Keyring, Unopenable

_SQL = queries.load("sealed_records")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FunctionVersion).decode
_decode_variables = msgspec.json.Decoder(dict[str, str]).decode


def write(keyring: Keyring, version: FunctionVersion) -> tuple[bytes, bytes | None]:
    """The record and its sealed variables. Those that could not be read go back as they came."""
    configuration = version.configuration
    sealed = None
    if configuration.unreadable is not None:
        sealed = configuration.unreadable.sealed
    elif configuration.variables is not None:
        sealed = keyring.seal(_encode(configuration.variables), _owner(version.function, version.version))
    return _encode(replace(version, configuration=replace(configuration, variables=None, unreadable=None))), sealed


def read(keyring: Keyring, record: bytes, sealed: bytes | None) -> FunctionVersion:
    """What `write` was given, or the same with `unreadable` in the place of variables that no key opens."""
    version = _decode(record)
    if sealed is None:
        return version
    try:
        variables = _decode_variables(keyring.open(sealed, _owner(version.function, version.version)))
    except Unopenable as error:
        unreadable = UnreadableVariables(sealed, str(error))
        return replace(version, configuration=replace(version.configuration, unreadable=unreadable))
    return replace(version, configuration=replace(version.configuration, variables=variables))


def _owner(function: FunctionName, version: str) -> bytes:
    return _encode((function.account, function.region, function.name, version))


def protect(connection: sqlite3.Connection, keyring: Keyring) -> int:
    """Bring all variables under the first key, and return how many records had others, or none. To be called before
    anybody else has the database open."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = sum(_seal_anew(connection, keyring, row) for row in _not_under(connection, keyring))
        if changed:
            connection.execute(_SQL["owe_wiping"])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    # What is owed is on disk: a server that dies in between leaves it to the next.
    if connection.execute(_SQL["wiping_owed"]).fetchone() is not None:
        # A new file without the old pages, and the log of how it came to be emptied.
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            connection.execute(_SQL["wiped"])
    return changed


def _not_under(connection: sqlite3.Connection, keyring: Keyring) -> list[int]:
    found = connection.execute(_SQL["under_another_key"], {"prefix": keyring.prefix}).fetchall()
    if connection.execute(_SQL["plaintext_left"]).fetchone() is not None:
        found += connection.execute(_SQL["in_the_clear"]).fetchall()
    return sorted({row for (row,) in found})


def _seal_anew(connection: sqlite3.Connection, keyring: Keyring, row: int) -> bool:
    """False where nothing changes: the variables are under a key that is not here."""
    record, variables, serving, serving_variables = connection.execute(_SQL["one_record"], (row,)).fetchone()
    after = _anew(keyring, record, variables)
    after_serving = (None, None) if serving is None else _anew(keyring, serving, serving_variables)
    if (after[1], after_serving[1]) == (variables, serving_variables):
        return False
    columns = {
        "row": row,
        "record": after[0],
        "variables": after[1],
        "serving": after_serving[0],
        "serving_variables": after_serving[1],
    }
    connection.execute(_SQL["replace_record"], columns)
    return True


def _anew(keyring: Keyring, record: bytes, sealed: bytes | None) -> tuple[bytes, bytes | None]:
    if sealed is not None and sealed.startswith(keyring.prefix):
        return record, sealed
    return write(keyring, read(keyring, record, sealed))

"""Functions and their versions in the metadata store: plain functions over a connection, for `MetadataStore`.

Each write tells the listeners of the change itself. Records are whole: what is read is what was written.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.core.function_state import is_good, is_unfinished
from lambent.core.layer import merged_digest
from lambent.store import queries, sealed_records
from lambent.store.changes import FunctionRemoved, VersionChanged, VersionRemoved
from lambent.store.metadata import WritingConnection, keyring_of

_SQL = queries.load("functions")


class AlreadyExists(Exception):
    """A function of this name is there."""


class RevisionMismatch(Exception):
    """The version is not there, or in another revision than the caller saw."""


def number_of(version: str) -> int:
    """The number by which a version is stored: `$LATEST` is 0."""
    return 0 if version == LATEST else int(version)


def version_of(number: int) -> str:
    return str(number) if number else LATEST


def load_all(connection: sqlite3.Connection) -> Iterator[VersionChanged]:
    """Every version of every function."""
    for row in connection.execute(_SQL["all_versions"]):
        yield _entry(connection, row)


def get(connection: sqlite3.Connection, function: FunctionName, version: str = LATEST) -> FunctionVersion | None:
    """What the API shows of a version, or None where there is none."""
    entry = get_entry(connection, function, version)
    return None if entry is None else entry.current


def get_entry(connection: sqlite3.Connection, function: FunctionName, version: str = LATEST) -> VersionChanged | None:
    row = connection.execute(_SQL["get_version"], _key(function, version)).fetchone()
    return None if row is None else _entry(connection, row)


def insert(connection: WritingConnection, latest: FunctionVersion) -> None:
    """A new function, by its `$LATEST`. Raises AlreadyExists."""
    assert latest.version == LATEST
    added = connection.execute(_SQL["insert_function"], _key(latest.function, LATEST)).rowcount
    if not added:
        raise AlreadyExists(latest.function.name)
    _insert_version(connection, latest)


def replace(connection: WritingConnection, version: FunctionVersion, *, expected_revision: str) -> None:
    """Put the record in the place of the one whose `revision_id` is expected. Raises RevisionMismatch.

    While the record is not good, the last good one stays as what serves.
    """
    key = _key(version.function, version.version)
    row = connection.execute(_SQL["get_version"], key).fetchone()
    if row is None or row[-1] != expected_revision:
        raise RevisionMismatch(version.revision_id)
    before = _entry(connection, row)
    serving = None if is_good(version) else before.serving
    kept = (None, None) if serving is None else sealed_records.write(keyring_of(connection), serving)
    connection.execute(
        _SQL["replace_version"],
        {
            **_columns(connection, version),
            "serving": kept[0],
            "serving_variables": kept[1],
            "serving_digest": None if serving is None else serving.package.digest,
            "layer_digests": _layer_digests(version, serving),
        },
    )
    connection.changed(VersionChanged(version, version if is_good(version) else serving))


def allocate_version(connection: WritingConnection, function: FunctionName) -> str:
    """The next version's number, never given before in the life of this function, which must be there."""
    (number,) = connection.execute(_SQL["allocate_version"], _key(function, LATEST)).fetchone()
    return str(number)


def publish(connection: WritingConnection, version: FunctionVersion) -> None:
    """A new version, under a number that `allocate_version` gave in this transaction."""
    assert version.version != LATEST
    _insert_version(connection, version)


def last_published(connection: sqlite3.Connection, function: FunctionName) -> FunctionVersion | None:
    row = connection.execute(_SQL["last_published"], _key(function, LATEST)).fetchone()
    return None if row is None else _record(connection, row)


def delete(connection: WritingConnection, function: FunctionName) -> bool:
    """Remove a function with all its versions and aliases. False if it is not there."""
    gone = connection.execute(_SQL["delete_function"], _key(function, LATEST)).rowcount > 0
    if gone:
        connection.changed(FunctionRemoved(function))
    return gone


def delete_version(connection: WritingConnection, function: FunctionName, version: str) -> bool:
    """Remove one published version, which no alias names. False if it is not there."""
    assert version != LATEST
    gone = connection.execute(_SQL["delete_version"], _key(function, version)).rowcount > 0
    if gone:
        connection.changed(VersionRemoved(function, version))
    return gone


def list_latest(
    connection: sqlite3.Connection, account: str, region: str, *, after: str, limit: int
) -> list[FunctionVersion]:
    """`$LATEST` of each function whose name follows `after`, by name."""
    scope = {"account": account, "region": region, "after_name": after, "limit": limit}
    return [_record(connection, row) for row in connection.execute(_SQL["list_latest"], scope)]


def list_everything(
    connection: sqlite3.Connection, account: str, region: str, *, after: tuple[str, int], limit: int
) -> list[FunctionVersion]:
    """Every version of every function that follows `after` (a name and a number), by name and number."""
    scope = {
        "account": account,
        "region": region,
        "after_name": after[0],
        "after_number": after[1],
        "limit": limit,
    }
    return [_record(connection, row) for row in connection.execute(_SQL["list_everything"], scope)]


def list_versions(
    connection: sqlite3.Connection, function: FunctionName, *, after: int, limit: int
) -> list[FunctionVersion]:
    """The versions of a function whose number follows `after`: `$LATEST` (number 0), then in order of number."""
    scope = {**_key(function, LATEST), "after_number": after, "limit": limit}
    return [_record(connection, row) for row in connection.execute(_SQL["list_versions"], scope)]


def unfinished(connection: sqlite3.Connection) -> list[tuple[FunctionName, str]]:
    """The versions that are Pending or have an update InProgress: somebody must finish their work."""
    rows = connection.execute(_SQL["unfinished"])
    return [(FunctionName(account, region, name), version_of(number)) for account, region, name, number in rows]


def digests_in_use(connection: sqlite3.Connection) -> set[str]:
    """The deployment packages, and trees of layers, that some version shows or runs, and those of layers."""
    listed = (digests for (digests,) in connection.execute(_SQL["layer_digests_in_use"]))
    of_layers = {digest for digests in listed for digest in digests.split(" ")}
    return of_layers | {digest for (digest,) in connection.execute(_SQL["digests_in_use"])}


def _insert_version(connection: WritingConnection, version: FunctionVersion) -> None:
    connection.execute(_SQL["insert_version"], _columns(connection, version))
    connection.changed(VersionChanged(version, version if is_good(version) else None))


def _key(function: FunctionName, version: str) -> dict[str, str | int]:
    return {
        "account": function.account,
        "region": function.region,
        "name": function.name,
        "number": number_of(version),
    }


def _columns(connection: sqlite3.Connection, version: FunctionVersion) -> dict[str, object]:
    record, variables = sealed_records.write(keyring_of(connection), version)
    return {
        **_key(version.function, version.version),
        "revision_id": version.revision_id,
        "unfinished": int(is_unfinished(version)),
        "digest": version.package.digest,
        "layer_digests": _layer_digests(version),
        "record": record,
        "variables": variables,
    }


def _layer_digests(*versions: FunctionVersion | None) -> str:
    """What the layers of the records need on disk: each one's package, and the tree that they make together."""
    digests: set[str] = set()
    for version in versions:
        if version is not None and version.configuration.layers:
            own = [layer.package.digest for layer in version.configuration.layers]
            digests |= {*own, merged_digest(own)}
    return " ".join(sorted(digests))


def _record(connection: sqlite3.Connection, row: Sequence[Any]) -> FunctionVersion:
    """Of a row that begins with a record and its sealed variables."""
    return sealed_records.read(keyring_of(connection), row[0], row[1])


def _entry(connection: sqlite3.Connection, row: Sequence[Any]) -> VersionChanged:
    """Of a row that goes on with those of the record that serves."""
    current = _record(connection, row)
    if is_good(current):
        return VersionChanged(current, current)
    return VersionChanged(current, None if row[2] is None else _record(connection, row[2:]))

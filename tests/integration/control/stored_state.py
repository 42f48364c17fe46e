"""What a server has stored, to be compared before and after a request."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from live_functions import eventually

Rows = Mapping[str, frozenset[tuple[object, ...]]]


class StoredState:
    """Reads the metadata of a running server, past its API."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        self._tables = sorted(name for (name,) in names)

    def rows(self) -> Rows:
        """Of every table, as of one moment. What was answered is in it: the server commits first."""
        self._connection.execute("BEGIN")
        try:
            return {name: frozenset(self._connection.execute(f'SELECT * FROM "{name}"')) for name in self._tables}
        finally:
            self._connection.execute("ROLLBACK")

    def at_rest(self) -> Rows:
        """The rows when the server has nothing unfinished: no function that is on its way to a state, no mapping."""
        unfinished = (
            "SELECT EXISTS (SELECT 1 FROM function_version WHERE unfinished)"
            " + EXISTS (SELECT 1 FROM event_source_mapping WHERE unfinished)"
        )
        eventually(lambda: self._connection.execute(unfinished).fetchone() == (0,))
        return self.rows()


@contextmanager
def stored_state(data_dir: Path) -> Iterator[StoredState]:
    uri = f"file:{data_dir}/metadata.sqlite?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield StoredState(connection)


def changes(before: Rows, after: Rows) -> dict[str, tuple[set[object], set[object]]]:
    """Rows that went and rows that came, by table."""
    return {
        name: (set(before[name] - after[name]), set(after[name] - before[name]))
        for name in before
        if before[name] != after[name]
    }

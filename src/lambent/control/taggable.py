"""What a type of resource offers so that it can be tagged: `lambent.control.tags` keeps the list of them."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control
from lambent.core.arn import ResourceArn
from lambent.store.metadata import WritingConnection


@dataclass(frozen=True, slots=True)
class Taggable:
    """How the tags of a type's resources are read and written, each in a transaction of the caller.

    `check` raises the modelled error for a resource of the type that can not have tags. `read` gives None where the
    resource is not there. `write` replaces all tags of a resource that was read in the same transaction.
    """

    check: Callable[[ResourceArn], None]
    read: Callable[[sqlite3.Connection, ResourceArn], Mapping[str, str] | None]
    write: Callable[[Control, WritingConnection, ResourceArn, dict[str, str]], None]


def taggable_records(
    get: Callable[[sqlite3.Connection, str, str, str], Any], put: Callable[[WritingConnection, Any], None]
) -> Taggable:
    """Of records that a store keeps by account, region and name, with their `tags` and without a revision that tags
    would change. `get` gives None for one that is not there."""

    def read(connection: sqlite3.Connection, arn: ResourceArn) -> Mapping[str, str] | None:
        record = get(connection, arn.account, arn.region, arn.name)
        return None if record is None else record.tags

    def write(_deps: Control, connection: WritingConnection, arn: ResourceArn, tags: dict[str, str]) -> None:
        record = get(connection, arn.account, arn.region, arn.name)
        assert record is not None, "read in the same transaction"
        put(connection, replace(record, tags=tags))

    return Taggable(lambda _arn: None, read, write)

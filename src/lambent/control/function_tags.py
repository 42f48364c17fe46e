"""The tags of functions: one set for each function, with `$LATEST`, whose revision they are part of."""

import sqlite3
from collections.abc import Mapping

from msgspec.structs import replace

from lambent.control.dependencies import Control
from lambent.control.taggable import Taggable
from lambent.core.arn import ResourceArn
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import FunctionName
from lambent.store import functions
from lambent.store.metadata import WritingConnection


def _check(arn: ResourceArn) -> None:
    if ":" in arn.name:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )


def _read(connection: sqlite3.Connection, arn: ResourceArn) -> Mapping[str, str] | None:
    latest = functions.get(connection, _function(arn))
    return None if latest is None else latest.tags


def _write(deps: Control, connection: WritingConnection, arn: ResourceArn, tags: dict[str, str]) -> None:
    latest = functions.get(connection, _function(arn))
    assert latest is not None
    changed = replace(latest, tags=tags, revision_id=deps.new_id())
    functions.replace(connection, changed, expected_revision=latest.revision_id)


def _function(arn: ResourceArn) -> FunctionName:
    return FunctionName(arn.account, arn.region, arn.name)


TAGGABLE = Taggable(_check, _read, _write)

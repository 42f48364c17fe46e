"""Tags of any resource of the Lambda API that can have them: TagResource, UntagResource, ListTags.

The type that the resource's ARN names tells where its tags are kept.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from lambent.control import code_signing, event_source_mappings, function_tags
from lambent.control.configuration import check_tags
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.taggable import Taggable
from lambent.core.arn import ResourceArn, foreign_part, not_reachable, read_resource_arn
from lambent.core.errors import AccessDeniedException, InvalidParameterValueException, ResourceNotFoundException
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call

TAGGABLE: dict[str, Taggable] = {
    "function": function_tags.TAGGABLE,
    "code-signing-config": code_signing.TAGGABLE,
    "event-source-mapping": event_source_mappings.TAGGABLE,
}
"""By the type in the ARN. Of a type that is not here, there are no resources."""


async def tag_resource(deps: Control, call: Call) -> dict[str, Any]:
    given: Mapping[str, str] = call.params["Tags"]
    if not given:
        raise InvalidParameterValueException("An error occurred and the request cannot be processed.")
    arn, taggable = _named(call)

    def transaction(connection: WritingConnection) -> None:
        before = _read(connection, arn, taggable)
        after = check_tags({**before, **given})
        if after != before:
            taggable.write(deps, connection, arn, after)

    await deps.store.run(transaction)
    return {}


async def untag_resource(deps: Control, call: Call) -> dict[str, Any]:
    """A key that the resource has not is as good as removed."""
    gone = frozenset(call.params["TagKeys"])
    arn, taggable = _named(call)

    def transaction(connection: WritingConnection) -> None:
        before = _read(connection, arn, taggable)
        after = {key: value for key, value in before.items() if key not in gone}
        if after != before:
            taggable.write(deps, connection, arn, after)

    await deps.store.run(transaction)
    return {}


async def list_tags(deps: Control, call: Call) -> dict[str, Any]:
    arn, taggable = _named(call)
    return {"Tags": dict(await deps.store.read(lambda connection: _read(connection, arn, taggable)))}


def _named(call: Call) -> tuple[ResourceArn, Taggable]:
    """The resource of the request. Raises the modelled errors for one that can not be reached or tagged."""
    arn = read_resource_arn(call.params["Resource"])
    assert arn is not None, "the model's pattern lets ARNs of this form through, and nothing else"
    elsewhere = foreign_part(arn.partition, arn.region, call.region)
    if elsewhere is not None:
        raise not_reachable(elsewhere, call.region) if arn.kind == "function" else _not_found(arn)
    if arn.account != call.caller.account:
        # As for functions by name: the message is null for a caller from another account.
        raise AccessDeniedException
    taggable = TAGGABLE.get(arn.kind)
    if taggable is None:
        raise _not_found(arn)
    taggable.check(arn)
    return arn, taggable


def _read(connection: sqlite3.Connection, arn: ResourceArn, taggable: Taggable) -> Mapping[str, str]:
    tags = taggable.read(connection, arn)
    if tags is None:
        raise _not_found(arn)
    return tags


def _not_found(arn: ResourceArn) -> ResourceNotFoundException:
    noun = arn.kind.replace("-", " ").capitalize()
    return ResourceNotFoundException(f"{noun} not found: {arn.text}")


OPERATIONS: dict[str, ControlOperation] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTags": list_tags,
}

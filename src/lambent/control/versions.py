"""The resource version: PublishVersion, ListVersionsByFunction, and publishing as part of another operation."""

import sqlite3
from typing import Any

from msgspec.structs import replace

from lambent.control.configuration import not_yet
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import named, named_unqualified, not_found
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.revision import check_can_change, check_revision, is_same
from lambent.control.shapes import function_configuration, listed_configuration, shown_sha256
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import NO_SNAP_START, FunctionVersion
from lambent.core.function_state import CREATED, PUBLISHED, Lifecycle, is_good
from lambent.store import functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def publish_version(deps: Control, call: Call) -> dict[str, Any]:
    """A version of what `$LATEST` is now; the last one again when nothing has changed since."""
    function = named_unqualified(call)
    params = call.params
    if params.get("PublishTo"):
        raise not_yet("PublishTo")

    def transaction(connection: WritingConnection) -> FunctionVersion:
        latest = functions.get(connection, function)
        if latest is None:
            raise not_found(function)
        check_can_change(latest)
        check_revision(latest, params.get("RevisionId"))
        expected, present = params.get("CodeSha256"), shown_sha256(latest)
        if expected and expected != present:
            raise InvalidParameterValueException(
                f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({present}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        unchanged = _unchanged(connection, latest)
        if unchanged is not None:
            return unchanged
        # What can run as $LATEST can as a version; what can not, or is to be initialised for a snapshot, must show it
        # by a preparation of its own.
        initialised = latest.configuration.snap_start != NO_SNAP_START
        lifecycle = PUBLISHED if is_good(latest) and not initialised else CREATED
        version = _publish(deps, connection, latest, lifecycle, params.get("Description"))
        functions.replace(connection, replace(latest, revision_id=deps.new_id()), expected_revision=latest.revision_id)
        return version

    version = await deps.store.run(transaction)
    return function_configuration(version, version.version)


def publish_unprepared(deps: Control, connection: WritingConnection, latest: FunctionVersion) -> FunctionVersion:
    """A version of a `$LATEST` that was created or updated in the same transaction: Pending, like it."""
    return _unchanged(connection, latest) or _publish(deps, connection, latest, CREATED, None)


def _unchanged(connection: WritingConnection, latest: FunctionVersion) -> FunctionVersion | None:
    last = functions.last_published(connection, latest.function)
    return last if last is not None and (_is_of(last, latest) or is_same(last, latest)) else None


def _is_of(version: FunctionVersion, latest: FunctionVersion) -> bool:
    """Whether it was made of what `$LATEST` is; it may have got a description of its own then."""
    return version.published_from == latest.config_revision


def _publish(
    deps: Control,
    connection: WritingConnection,
    latest: FunctionVersion,
    lifecycle: Lifecycle,
    description: str | None,
) -> FunctionVersion:
    configuration = latest.configuration
    if configuration.unreadable is not None:
        # They are sealed for $LATEST, and can not be sealed for another version.
        raise InvalidParameterValueException(configuration.unreadable.message)
    if description is not None:
        configuration = replace(configuration, description=description)
    version = replace(
        latest,
        version=functions.allocate_version(connection, latest.function),
        configuration=configuration,
        revision_id=deps.new_id(),
        last_modified_ms=deps.clock.wall_ms(),
        state=lifecycle.state,
        last_update=lifecycle.last_update,
        tags={},
        published_from=latest.config_revision,
    )
    functions.publish(connection, version)
    return version


async def list_versions_by_function(deps: Control, call: Call) -> dict[str, Any]:
    function, _ = named(call)
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))

    def query(connection: sqlite3.Connection) -> list[FunctionVersion]:
        if functions.get(connection, function) is None:
            raise not_found(function)
        return functions.list_versions(connection, function, after=after[1] if after else -1, limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    marker = make_marker(function.name, functions.number_of(page[-1].version)) if more else None
    shapes = [listed_configuration(version, version.version) for version in page]
    return with_next_marker({"Versions": shapes}, marker)


OPERATIONS: dict[str, ControlOperation] = {
    "PublishVersion": publish_version,
    "ListVersionsByFunction": list_versions_by_function,
}

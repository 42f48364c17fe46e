"""The code of a function: UpdateFunctionCode."""

import sqlite3
from typing import Any

from msgspec.structs import replace

from lambent.control.attached_layers import check_size
from lambent.control.configuration import not_yet
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find, named_unqualified, not_found
from lambent.control.revision import check_can_change, check_revision, updated
from lambent.control.shapes import function_configuration
from lambent.control.source import code_given, image_of, receive
from lambent.control.versions import publish_unprepared
from lambent.core.arn import function_arn
from lambent.core.code_signing import check_deployment
from lambent.core.function import LATEST, FunctionVersion, Package
from lambent.store import code_signing, functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def update_function_code(deps: Control, call: Call) -> dict[str, Any]:
    """Answers InProgress: what served goes on serving until the new package, which can be unpacked, is prepared."""
    function = named_unqualified(call)
    params = call.params
    present = await find(deps, function, None)
    if params.get("PublishTo"):
        raise not_yet("PublishTo")
    code = code_given(params, "updating", image=present.image is not None)
    architectures = tuple(params.get("Architectures") or ())

    def conditions(latest: FunctionVersion | None) -> FunctionVersion:
        if latest is None:
            raise not_found(function)
        check_can_change(latest)
        check_revision(latest, params.get("RevisionId"))
        return latest

    def with_code(before: FunctionVersion, package: Package) -> FunctionVersion:
        kept = architectures or before.architectures
        return replace(before, package=package, image=image_of(code), architectures=kept)

    def check_signature(connection: sqlite3.Connection) -> None:
        check_deployment(code_signing.attached(connection, function), function_arn(function))

    if params.get("DryRun"):
        package = await receive(deps, call, code, keep=False)
        shown = with_code(conditions(present), package)
        check_size(package, shown.configuration)
        await deps.store.read(check_signature)
        return function_configuration(shown)

    with deps.packages.arriving():
        package = await receive(deps, call, code)

        def transaction(connection: WritingConnection) -> FunctionVersion:
            before = conditions(functions.get(connection, function))
            # While the package came, another function may have taken the name, for which the code is of a wrong kind.
            code_given(params, "updating", image=before.image is not None)
            check_size(package, before.configuration)
            check_signature(connection)
            latest = updated(deps, before, with_code(before, package))
            functions.replace(connection, latest, expected_revision=before.revision_id)
            return publish_unprepared(deps, connection, latest) if params.get("Publish") else latest

        shown = await deps.store.run(transaction)
    return function_configuration(shown, None if shown.version == LATEST else shown.version)


OPERATIONS: dict[str, ControlOperation] = {"UpdateFunctionCode": update_function_code}

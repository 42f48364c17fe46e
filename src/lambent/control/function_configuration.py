"""The configuration of a function: GetFunctionConfiguration, UpdateFunctionConfiguration."""

from typing import Any

from msgspec.structs import replace

from lambent.control import configuration
from lambent.control.attached_layers import check_size, with_layers
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find, named, named_unqualified, not_found
from lambent.control.revision import check_can_change, check_revision, updated
from lambent.control.shapes import function_configuration
from lambent.core.code_signing import check_deployment
from lambent.core.function import FunctionVersion
from lambent.store import code_signing, functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def get_function_configuration(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = named(call)
    return function_configuration(await find(deps, function, qualifier), qualifier)


async def update_function_configuration(deps: Control, call: Call) -> dict[str, Any]:
    """Answers InProgress: what served goes on serving until the new configuration is prepared."""
    function = named_unqualified(call)
    configuration.check_role(call)
    params = call.params

    def transaction(connection: WritingConnection) -> FunctionVersion:
        before = functions.get(connection, function)
        if before is None:
            raise not_found(function)
        changed = configuration.change(
            before.configuration,
            params,
            image=before.image is not None,
            snap_start_runtimes=deps.snap_start_runtimes,
        )
        changed = with_layers(connection, call.caller, function, changed, params.get("Layers"))
        check_size(before.package, changed)
        if params.get("Layers"):
            check_deployment(code_signing.attached(connection, function), changed.layers[0].arn)
        check_can_change(before)
        check_revision(before, params.get("RevisionId"))
        latest = updated(deps, before, replace(before, configuration=changed))
        functions.replace(connection, latest, expected_revision=before.revision_id)
        return latest

    return function_configuration(await deps.store.run(transaction))


OPERATIONS: dict[str, ControlOperation] = {
    "GetFunctionConfiguration": get_function_configuration,
    "UpdateFunctionConfiguration": update_function_configuration,
}

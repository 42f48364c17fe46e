"""When a version's runtime is renewed: GetRuntimeManagementConfig, PutRuntimeManagementConfig.

Each version has a setting of its own, which begins as that of the `$LATEST` that it was published from.
"""

from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find, find_in, named, not_found
from lambent.core.alias import is_alias_name
from lambent.core.arn import function_arn, runtime_version_arn
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import FunctionName, FunctionVersion, RuntimeManagement
from lambent.store import functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def get_runtime_management_config(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _named(call)
    return _shape(await find(deps, function, qualifier), qualifier)


async def put_runtime_management_config(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _named(call)
    wanted = RuntimeManagement(call.params["UpdateRuntimeOn"], call.params.get("RuntimeVersionArn"))
    if (wanted.update_on == "Manual") != (wanted.runtime_version_arn is not None):
        raise InvalidParameterValueException(
            "RuntimeVersionArn is required when UpdateRuntimeOn is Manual, and only allowed then."
        )

    def transaction(connection: WritingConnection) -> FunctionVersion:
        before = find_in(connection, function, qualifier)
        if before is None:
            raise not_found(function, qualifier)
        _check_runtime_version(before, wanted.runtime_version_arn)
        after = replace(before, runtime_management=wanted, revision_id=deps.new_id())
        functions.replace(connection, after, expected_revision=before.revision_id)
        return after

    return _shape(await deps.store.run(transaction), qualifier)


def _named(call: Call) -> tuple[FunctionName, str | None]:
    """An alias has no runtime of its own. Source: API reference, PutRuntimeManagementConfig, Qualifier."""
    function, qualifier = named(call)
    if qualifier is not None and is_alias_name(qualifier):
        raise InvalidParameterValueException("The Qualifier must be $LATEST or the number of a published version.")
    return function, qualifier


def _check_runtime_version(version: FunctionVersion, arn: str | None) -> None:
    """There is one version of each runtime, the one that a function's RuntimeVersionConfig tells. An image has none."""
    runtime = version.configuration.runtime
    if arn is not None and (not runtime or arn != runtime_version_arn(version.function.region, runtime)):
        raise InvalidParameterValueException(f"The runtime version {arn} is none that the function can use.")


def _shape(version: FunctionVersion, qualifier: str | None) -> dict[str, Any]:
    return {
        "UpdateRuntimeOn": version.runtime_management.update_on,
        "RuntimeVersionArn": version.runtime_management.runtime_version_arn,
        "FunctionArn": function_arn(version.function, qualifier),
    }


OPERATIONS: dict[str, ControlOperation] = {
    "GetRuntimeManagementConfig": get_runtime_management_config,
    "PutRuntimeManagementConfig": put_runtime_management_config,
}

"""All operations of the control plane, by name."""

from functools import partial

from lambent.control import (
    account,
    aliases,
    code_signing,
    concurrency,
    event_invoke,
    event_source_mappings,
    function_code,
    function_configuration,
    function_urls,
    functions,
    layer_permissions,
    layers,
    permissions,
    provisioned_concurrency,
    recursion,
    runtime_management,
    tags,
    versions,
)
from lambent.control.dependencies import Control, ControlOperation
from lambent.wire.call import Operation

OPERATIONS: dict[str, ControlOperation] = {
    **functions.OPERATIONS,
    **function_code.OPERATIONS,
    **function_configuration.OPERATIONS,
    **versions.OPERATIONS,
    **aliases.OPERATIONS,
    **concurrency.OPERATIONS,
    **provisioned_concurrency.OPERATIONS,
    **event_invoke.OPERATIONS,
    **event_source_mappings.OPERATIONS,
    **function_urls.OPERATIONS,
    **layers.OPERATIONS,
    **layer_permissions.OPERATIONS,
    **permissions.OPERATIONS,
    **code_signing.OPERATIONS,
    **tags.OPERATIONS,
    **recursion.OPERATIONS,
    **runtime_management.OPERATIONS,
    **account.OPERATIONS,
}


def operations(deps: Control) -> dict[str, Operation]:
    """Operations by operation name, bound to their dependencies."""
    return {name: partial(operation, deps) for name, operation in OPERATIONS.items()}

"""Who else may use a layer version: AddLayerVersionPermission, GetLayerVersionPolicy, RemoveLayerVersionPermission."""

import sqlite3
from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.layers import number_given, own_layer
from lambent.control.policy_changes import (
    NO_POLICY,
    add_statement,
    check_policy_revision,
    remove_statement,
)
from lambent.core.errors import ResourceNotFoundException
from lambent.core.layer import LayerName, layer_arn
from lambent.core.policy import Policy, Statement, document, principal_of, render
from lambent.store import layers
from lambent.wire.call import Call, Reply

_GETTER = "GetLayerPolicy"


async def add_layer_version_permission(deps: Control, call: Call) -> dict[str, Any]:
    params = call.params
    layer, number = own_layer(call), number_given(call)
    statement: Statement = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal_of(params["Principal"], layer.region),
        "Action": params["Action"],
        "Resource": layer_arn(layer, number),
    }
    if params.get("OrganizationId"):
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": params["OrganizationId"]}}

    def transaction(connection: sqlite3.Connection) -> Policy:
        before = _policy(connection, layer, number)
        check_policy_revision(before, params.get("RevisionId"), _GETTER)
        after = add_statement(before, statement, deps.new_id())
        layers.set_policy(connection, layer, number, after)
        return after

    after = await deps.store.run(transaction)
    return {"Statement": render(statement), "RevisionId": after.revision_id}


async def get_layer_version_policy(deps: Control, call: Call) -> dict[str, Any]:
    layer, number = own_layer(call), number_given(call)
    policy = await deps.store.read(lambda connection: _policy(connection, layer, number))
    if policy is None:
        raise ResourceNotFoundException(NO_POLICY)
    return {"Policy": document(policy), "RevisionId": policy.revision_id}


async def remove_layer_version_permission(deps: Control, call: Call) -> Reply:
    params = call.params
    layer, number = own_layer(call), number_given(call)

    def transaction(connection: sqlite3.Connection) -> None:
        before = _policy(connection, layer, number)
        after = remove_statement(before, params["StatementId"], params.get("RevisionId"), _GETTER, new_id=deps.new_id)
        layers.set_policy(connection, layer, number, after)

    await deps.store.run(transaction)
    return Reply({})


def _policy(connection: sqlite3.Connection, layer: LayerName, number: int) -> Policy | None:
    entry = layers.get_with_policy(connection, layer, number)
    if entry is None:
        raise ResourceNotFoundException(f"Layer version {layer_arn(layer, number)} does not exist.")
    return entry[1]


OPERATIONS: dict[str, ControlOperation] = {
    "AddLayerVersionPermission": add_layer_version_permission,
    "GetLayerVersionPolicy": get_layer_version_policy,
    "RemoveLayerVersionPermission": remove_layer_version_permission,
}

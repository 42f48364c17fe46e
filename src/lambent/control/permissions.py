"""Who may use a function, a version or an alias: AddPermission, GetPolicy, RemovePermission, and the whole document at
once: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy.

Both ways are to the same document, one for each of these, with a revision of its own.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find_in, named, not_found
from lambent.control.policy_changes import (
    add_statement,
    check_length,
    check_policy_revision,
    remove_statement,
)
from lambent.core.alias import is_alias_name
from lambent.core.arn import function_arn, resolve_name
from lambent.core.errors import (
    InvalidParameterValueException,
    PublicPolicyException,
    ResourceNotFoundException,
)
from lambent.core.function import LATEST, FunctionName
from lambent.core.policy import (
    Malformed,
    Policy,
    Statement,
    document,
    is_public,
    principal_of,
    read_document,
    render,
)
from lambent.store import functions, policies
from lambent.wire.call import Call, Reply

_NOT_THERE = "The resource you requested does not exist."
_URL_ACTION = "lambda:InvokeFunctionUrl"


async def add_permission(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = named(call)
    _refuse_latest(qualifier)
    params = call.params
    statement = _statement(params, function, qualifier)

    def transaction(connection: sqlite3.Connection) -> None:
        _require(connection, function, qualifier)
        before = policies.get(connection, function, qualifier)
        check_policy_revision(before, params.get("RevisionId"), "GetPolicy")
        policies.put(connection, function, qualifier, add_statement(before, statement, deps.new_id()))

    await deps.store.run(transaction)
    return {"Statement": render(statement)}


def _statement(params: Mapping[str, Any], function: FunctionName, qualifier: str | None) -> Statement:
    principal = principal_of(params["Principal"], function.region)
    if principal is None:
        raise InvalidParameterValueException(
            "The provided principal was invalid. Please check the principal and try again."
        )
    if params.get("FunctionUrlAuthType") and params["Action"] != _URL_ACTION:
        raise InvalidParameterValueException(f"FunctionUrlAuthType is only supported for {_URL_ACTION} action")
    statement: Statement = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal,
        "Action": params["Action"],
        "Resource": function_arn(function, qualifier),
    }
    condition = _condition(params)
    if condition:
        statement["Condition"] = condition
    return statement


def _condition(params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    via_url = params.get("InvokedViaFunctionUrl")
    given = {
        "StringEquals": {
            "lambda:FunctionUrlAuthType": params.get("FunctionUrlAuthType"),
            "AWS:SourceAccount": params.get("SourceAccount"),
            "lambda:EventSourceToken": params.get("EventSourceToken"),
            "aws:PrincipalOrgID": params.get("PrincipalOrgID"),
        },
        "ArnLike": {"AWS:SourceArn": params.get("SourceArn")},
        "Bool": {"lambda:InvokedViaFunctionUrl": None if via_url is None else str(via_url).lower()},
    }
    held = {
        operator: {key: value for key, value in keys.items() if value is not None} for operator, keys in given.items()
    }
    return {operator: keys for operator, keys in held.items() if keys}


async def get_policy(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = named(call)

    def query(connection: sqlite3.Connection) -> Policy | None:
        _require(connection, function, qualifier)
        return policies.get(connection, function, qualifier)

    return _shown(await deps.store.read(query))


async def remove_permission(deps: Control, call: Call) -> Reply:
    function, qualifier = named(call)
    params = call.params

    def transaction(connection: sqlite3.Connection) -> None:
        if functions.get(connection, function) is None:
            raise ResourceNotFoundException(f"No policy found for: {function_arn(function)}")
        _require(connection, function, qualifier)
        before = policies.get(connection, function, qualifier)
        after = remove_statement(
            before, params["StatementId"], params.get("RevisionId"), "GetPolicy", new_id=deps.new_id
        )
        policies.put(connection, function, qualifier, after)

    await deps.store.run(transaction)
    return Reply({})


async def put_resource_policy(deps: Control, call: Call) -> dict[str, Any]:
    """Replaces the whole document. One that lets everybody in is refused, though single permissions may."""
    function, qualifier = _resource(call)
    _refuse_latest(qualifier)
    params = call.params
    try:
        policy = read_document(params["Policy"], function_arn(function, qualifier), deps.new_id())
    except Malformed as error:
        raise InvalidParameterValueException(f"The policy is not valid for this resource: {error}.") from error
    if any(is_public(statement) for statement in policy.statements):
        raise PublicPolicyException("The policy is not accepted, because it would give public access to the resource.")
    check_length(policy)

    def transaction(connection: sqlite3.Connection) -> None:
        _require(connection, function, qualifier)
        before = policies.get(connection, function, qualifier)
        check_policy_revision(before, params.get("RevisionId"), "GetResourcePolicy")
        policies.put(connection, function, qualifier, policy)

    await deps.store.run(transaction)
    return _shown(policy)


async def get_resource_policy(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = _resource(call)

    def query(connection: sqlite3.Connection) -> Policy | None:
        _require(connection, function, qualifier)
        return policies.get(connection, function, qualifier)

    return _shown(await deps.store.read(query))


async def delete_resource_policy(deps: Control, call: Call) -> Reply:
    function, qualifier = _resource(call)

    def transaction(connection: sqlite3.Connection) -> None:
        _require(connection, function, qualifier)
        before = policies.get(connection, function, qualifier)
        if before is None:
            raise ResourceNotFoundException(_NOT_THERE)
        check_policy_revision(before, call.params.get("RevisionId"), "GetResourcePolicy")
        policies.put(connection, function, qualifier, None)

    await deps.store.run(transaction)
    return Reply({})


def _resource(call: Call) -> tuple[FunctionName, str | None]:
    """The function and the qualifier that an ARN names. There are no runtimes of customers."""
    arn: str = call.params["ResourceArn"]
    if ":runtime/" in arn:
        raise ResourceNotFoundException(_NOT_THERE)
    return resolve_name(arn, None, account=call.caller.account, region=call.region)


def _refuse_latest(qualifier: str | None) -> None:
    if qualifier == LATEST:
        raise InvalidParameterValueException("We currently do not support adding policies for $LATEST.")


def _require(connection: sqlite3.Connection, function: FunctionName, qualifier: str | None) -> None:
    """Raises ResourceNotFoundException where there is nothing that could have a policy."""
    if functions.get(connection, function) is None:
        raise not_found(function)
    if qualifier is None or find_in(connection, function, qualifier) is not None:
        return
    if is_alias_name(qualifier):
        raise ResourceNotFoundException(f"Cannot find alias arn: {function_arn(function, qualifier)}")
    raise not_found(function, qualifier)


def _shown(policy: Policy | None) -> dict[str, Any]:
    if policy is None:
        raise ResourceNotFoundException(_NOT_THERE)
    return {"Policy": document(policy), "RevisionId": policy.revision_id}


OPERATIONS: dict[str, ControlOperation] = {
    "AddPermission": add_permission,
    "GetPolicy": get_policy,
    "RemovePermission": remove_permission,
    "PutResourcePolicy": put_resource_policy,
    "GetResourcePolicy": get_resource_policy,
    "DeleteResourcePolicy": delete_resource_policy,
}

"""From the identifiers in a request to the versions they mean, and the errors when there is none."""

import sqlite3

from lambent.control.dependencies import Control
from lambent.core.arn import function_arn, resolve_name
from lambent.core.errors import InvalidParameterValueException, ResourceNotFoundException
from lambent.core.function import LATEST, FunctionName, FunctionVersion
from lambent.store import aliases, functions
from lambent.wire.call import Call

UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


def named(call: Call) -> tuple[FunctionName, str | None]:
    """The function and the qualifier that the request names, by whichever parameter."""
    return resolve_name(
        call.params["FunctionName"],
        call.params.get("Qualifier"),
        account=call.caller.account,
        region=call.region,
    )


def named_unqualified(call: Call) -> FunctionName:
    """The function of an operation on `$LATEST` alone. Raises InvalidParameterValueException for another version."""
    function, qualifier = named(call)
    if qualifier not in (None, LATEST):
        raise InvalidParameterValueException(UNQUALIFIED_ONLY)
    return function


def not_found(function: FunctionName, qualifier: str | None = None) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"Function not found: {function_arn(function, qualifier)}")


def is_version_number(qualifier: str) -> bool:
    return qualifier.isascii() and qualifier.isdigit() and not qualifier.startswith("0")


def version_meant(qualifier: str | None) -> str | None:
    """The version that a qualifier means, or None for one that no version can have (an alias)."""
    if qualifier is None or qualifier == LATEST:
        return LATEST
    return qualifier if is_version_number(qualifier) and len(qualifier) < 19 else None


def find_in(connection: sqlite3.Connection, function: FunctionName, qualifier: str | None) -> FunctionVersion | None:
    """The record of the version that the qualifier names, be it by an alias; of a weighted one the first version."""
    version = version_meant(qualifier)
    if version is None and qualifier is not None:
        alias = aliases.get(connection, function, qualifier)
        version = None if alias is None else alias.version
    return None if version is None else functions.get(connection, function, version)


async def find(deps: Control, function: FunctionName, qualifier: str | None) -> FunctionVersion:
    """The record that the API shows. Raises ResourceNotFoundException."""
    found = await deps.store.read(lambda connection: find_in(connection, function, qualifier))
    if found is None:
        raise not_found(function, qualifier)
    return found

"""The resource code signing configuration: Create, Get, Update, Delete and List, and which functions have which:
Put, Get and DeleteFunctionCodeSigningConfig, ListFunctionsByCodeSigningConfig.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from lambent.control.configuration import check_tags
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import named_unqualified, not_found
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.shapes import last_modified
from lambent.control.taggable import taggable_records
from lambent.core.arn import foreign_part, function_arn, read_resource_arn
from lambent.core.code_signing import NOT_FOR_IMAGES, WARN, CodeSigningConfig, code_signing_config_arn
from lambent.core.errors import (
    CodeSigningConfigNotFoundException,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambent.core.function import FunctionName
from lambent.core.limits import CODE_SIGNING_CONFIGS_PER_PAGE
from lambent.store import code_signing, functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call, Reply

_ID_CHARACTERS = 17


async def create_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    params = call.params
    config = CodeSigningConfig(
        account=call.caller.account,
        region=call.region,
        config_id="csc-" + hashlib.sha256(deps.new_id().encode()).hexdigest()[:_ID_CHARACTERS],
        publishers=_publishers(params["AllowedPublishers"]),
        modified_ms=deps.clock.wall_ms(),
        untrusted=_untrusted(params) or WARN,
        description=params.get("Description", ""),
        tags=check_tags(params.get("Tags") or {}),
    )
    await deps.store.run(lambda connection: code_signing.insert(connection, config))
    return {"CodeSigningConfig": _shape(config)}


async def get_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    return {"CodeSigningConfig": _shape(await deps.store.read(lambda connection: _named(connection, call)))}


async def update_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    """A member that is absent stays as it was."""
    params = call.params

    def transaction(connection: WritingConnection) -> CodeSigningConfig:
        before = _named(connection, call)
        publishers = params.get("AllowedPublishers")
        after = replace(
            before,
            publishers=before.publishers if publishers is None else _publishers(publishers),
            untrusted=_untrusted(params) or before.untrusted,
            description=params.get("Description", before.description),
            modified_ms=deps.clock.wall_ms(),
        )
        code_signing.replace(connection, after)
        return after

    return {"CodeSigningConfig": _shape(await deps.store.run(transaction))}


async def delete_code_signing_config(deps: Control, call: Call) -> Reply:
    def transaction(connection: WritingConnection) -> None:
        config = _named(connection, call)
        if code_signing.list_functions(connection, config, after="", limit=1):
            raise ResourceConflictException(
                f"The code signing configuration {code_signing_config_arn(config)} is in use by a function. "
                "Remove it from its functions, then delete it."
            )
        code_signing.delete(connection, config)

    await deps.store.run(transaction)
    return Reply({})


async def list_code_signing_configs(deps: Control, call: Call) -> dict[str, Any]:
    limit = page_size(call.params.get("MaxItems"), CODE_SIGNING_CONFIGS_PER_PAGE)
    after = read_marker(call.params.get("Marker"))
    found = await deps.store.read(
        lambda connection: code_signing.list_configs(
            connection, call.caller.account, call.region, after=after[0] if after else "", limit=limit + 1
        )
    )
    page, more = split_page(found, limit)
    marker = make_marker(page[-1].config_id, 0) if more else None
    return with_next_marker({"CodeSigningConfigs": [_shape(config) for config in page]}, marker)


async def list_functions_by_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    limit = page_size(call.params.get("MaxItems"), CODE_SIGNING_CONFIGS_PER_PAGE)
    after = read_marker(call.params.get("Marker"))

    def query(connection: sqlite3.Connection) -> list[str]:
        config = _named(connection, call)
        return code_signing.list_functions(connection, config, after=after[0] if after else "", limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    account, region = call.caller.account, call.region
    arns = [function_arn(FunctionName(account, region, name)) for name in page]
    return with_next_marker({"FunctionArns": arns}, make_marker(page[-1], 0) if more else None)


async def put_function_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    """What the function has already is not looked at again: AWS checks deployments."""
    function = named_unqualified(call)
    arn: str = call.params["CodeSigningConfigArn"]

    def transaction(connection: WritingConnection) -> None:
        config = config_for_function(connection, function, arn)
        _require(connection, function, signed=True)
        code_signing.attach(connection, function, config)

    await deps.store.run(transaction)
    return {"CodeSigningConfigArn": arn, "FunctionName": function.name}


async def get_function_code_signing_config(deps: Control, call: Call) -> dict[str, Any]:
    """Of a function that has none, the answer is empty."""
    function = named_unqualified(call)

    def query(connection: sqlite3.Connection) -> CodeSigningConfig | None:
        _require(connection, function)
        return code_signing.attached(connection, function)

    config = await deps.store.read(query)
    if config is None:
        return {}
    return {"CodeSigningConfigArn": code_signing_config_arn(config), "FunctionName": function.name}


async def delete_function_code_signing_config(deps: Control, call: Call) -> Reply:
    function = named_unqualified(call)

    def transaction(connection: WritingConnection) -> None:
        _require(connection, function)
        code_signing.detach(connection, function)

    await deps.store.run(transaction)
    return Reply({})


def config_for_function(connection: sqlite3.Connection, function: FunctionName, arn: str) -> CodeSigningConfig:
    """The configuration that a function is to have. Raises CodeSigningConfigNotFoundException."""
    config = _find(connection, function.account, function.region, arn)
    if config is None:
        raise CodeSigningConfigNotFoundException(
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}."
        )
    return config


def _named(connection: sqlite3.Connection, call: Call) -> CodeSigningConfig:
    arn: str = call.params["CodeSigningConfigArn"]
    config = _find(connection, call.caller.account, call.region, arn)
    if config is None:
        raise ResourceNotFoundException(f"The Lambda code signing configuration {arn} can not be found.")
    return config


def _find(connection: sqlite3.Connection, account: str, region: str, arn: str) -> CodeSigningConfig | None:
    """That of another account, region or partition is as good as not there."""
    named = read_resource_arn(arn)
    if named is None or (named.account, named.kind) != (account, "code-signing-config"):
        return None
    if foreign_part(named.partition, named.region, region) is not None:
        return None
    return code_signing.get(connection, account, region, named.name)


def _require(connection: sqlite3.Connection, function: FunctionName, *, signed: bool = False) -> None:
    """Raises ResourceNotFoundException, and InvalidParameterValueException where an image's code is to be signed."""
    found = functions.get(connection, function)
    if found is None:
        raise not_found(function)
    if signed and found.image is not None:
        raise InvalidParameterValueException(NOT_FOR_IMAGES)


def _publishers(given: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(given["SigningProfileVersionArns"])


def _untrusted(params: Mapping[str, Any]) -> str | None:
    policies: Mapping[str, str] = params.get("CodeSigningPolicies") or {}
    return policies.get("UntrustedArtifactOnDeployment")


def _shape(config: CodeSigningConfig) -> dict[str, Any]:
    return {
        "CodeSigningConfigId": config.config_id,
        "CodeSigningConfigArn": code_signing_config_arn(config),
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.untrusted},
        "LastModified": last_modified(config.modified_ms),
    }


TAGGABLE = taggable_records(code_signing.get, code_signing.replace)

OPERATIONS: dict[str, ControlOperation] = {
    "CreateCodeSigningConfig": create_code_signing_config,
    "GetCodeSigningConfig": get_code_signing_config,
    "UpdateCodeSigningConfig": update_code_signing_config,
    "DeleteCodeSigningConfig": delete_code_signing_config,
    "ListCodeSigningConfigs": list_code_signing_configs,
    "ListFunctionsByCodeSigningConfig": list_functions_by_code_signing_config,
    "PutFunctionCodeSigningConfig": put_function_code_signing_config,
    "GetFunctionCodeSigningConfig": get_function_code_signing_config,
    "DeleteFunctionCodeSigningConfig": delete_function_code_signing_config,
}

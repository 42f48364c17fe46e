"""The resource function URL: Create, Get, Update, Delete and List of FunctionUrlConfig(s)."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find_in, named
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.core.arn import function_arn
from lambent.core.errors import InvalidParameterValueException, ResourceConflictException, ResourceNotFoundException
from lambent.core.function import FunctionName, FunctionVersion
from lambent.core.function_url import Cors, FunctionUrl, address
from lambent.store import function_urls
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call


async def create_function_url_config(deps: Control, call: Call) -> dict[str, Any]:
    function, alias = named(call)
    params = call.params
    now = deps.clock.wall_ms()
    url = FunctionUrl(
        function=function,
        alias=alias,
        url_id=deps.new_id().replace("-", ""),
        auth_type=params["AuthType"],
        created_ms=now,
        modified_ms=now,
        cors=_cors(params.get("Cors")),
        invoke_mode=params.get("InvokeMode", "BUFFERED"),
    )

    def transaction(connection: WritingConnection) -> None:
        target = _require_qualified(connection, function, alias)
        if target.configuration.tenant_isolation_mode is not None:
            # Developer guide, "Tenant isolation": a request to a URL has no place for the tenant's id.
            raise InvalidParameterValueException("Function URLs are not supported for functions with tenant isolation.")
        try:
            function_urls.insert(connection, url)
        except function_urls.AlreadyExists as error:
            raise ResourceConflictException(
                f"Failed to create function url config for [functionArn = {function_arn(function, alias)}]. "
                "Error message:  FunctionUrlConfig exists for this Lambda function"
            ) from error

    await deps.store.run(transaction)
    shape = _shape(url)
    del shape["LastModifiedTime"]
    # Only here AWS leaves the default untold.
    shape["InvokeMode"] = params.get("InvokeMode")
    return shape


async def get_function_url_config(deps: Control, call: Call) -> dict[str, Any]:
    function, alias = named(call)
    url = await deps.store.read(lambda connection: function_urls.get(connection, function, alias))
    if url is None:
        raise _without_url()
    return _shape(url)


async def update_function_url_config(deps: Control, call: Call) -> dict[str, Any]:
    """A member that is absent stays as it was; Cors is replaced whole."""
    function, alias = named(call)
    params = call.params

    def transaction(connection: WritingConnection) -> FunctionUrl:
        _require_qualified(connection, function, alias)
        before = function_urls.get(connection, function, alias)
        if before is None:
            raise _without_url()
        after = replace(
            before,
            auth_type=params.get("AuthType", before.auth_type),
            cors=_cors(params["Cors"]) if "Cors" in params else before.cors,
            invoke_mode=params.get("InvokeMode", before.invoke_mode),
            modified_ms=deps.clock.wall_ms(),
        )
        function_urls.replace(connection, after)
        return after

    return _shape(await deps.store.run(transaction))


async def delete_function_url_config(deps: Control, call: Call) -> dict[str, Any]:
    function, alias = named(call)
    if not await deps.store.run(lambda connection: function_urls.delete(connection, function, alias)):
        raise _without_url()
    return {}


async def list_function_url_configs(deps: Control, call: Call) -> dict[str, Any]:
    function, _ = named(call)
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))

    def query(connection: sqlite3.Connection) -> list[FunctionUrl]:
        _require_qualified(connection, function, None)
        return function_urls.list_urls(connection, function, after=after[0] if after else None, limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    marker = make_marker(page[-1].alias or "", 0) if more else None
    return with_next_marker({"FunctionUrlConfigs": [_shape(url) for url in page]}, marker)


def _require_qualified(connection: sqlite3.Connection, function: FunctionName, alias: str | None) -> FunctionVersion:
    target = find_in(connection, function, alias)
    if target is None:
        raise ResourceNotFoundException("Function does not exist")
    return target


def _without_url() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")


def _cors(given: Mapping[str, Any] | None) -> Cors | None:
    """None where nothing is given, which is also how it is taken away."""
    if not given:
        return None

    def words(member: str) -> tuple[str, ...] | None:
        found = given.get(member)
        return None if found is None else tuple(found)

    return Cors(
        allow_credentials=given.get("AllowCredentials"),
        allow_headers=words("AllowHeaders"),
        allow_methods=words("AllowMethods"),
        allow_origins=words("AllowOrigins"),
        expose_headers=words("ExposeHeaders"),
        max_age_s=given.get("MaxAge"),
    )


def _shape(url: FunctionUrl) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "FunctionUrl": address(url),
        "FunctionArn": function_arn(url.function, url.alias),
        "AuthType": url.auth_type,
        "CreationTime": _printed(url.created_ms),
        "LastModifiedTime": _printed(url.modified_ms),
        "InvokeMode": url.invoke_mode,
    }
    cors = url.cors
    if cors is not None:
        shape["Cors"] = {
            "AllowCredentials": cors.allow_credentials,
            "AllowHeaders": cors.allow_headers,
            "AllowMethods": cors.allow_methods,
            "AllowOrigins": cors.allow_origins,
            "ExposeHeaders": cors.expose_headers,
            "MaxAge": cors.max_age_s,
        }
    return shape


def _printed(wall_ms: int) -> str:
    """`2026-01-31T12:00:00.123Z`"""
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03}Z"


OPERATIONS: dict[str, ControlOperation] = {
    "CreateFunctionUrlConfig": create_function_url_config,
    "GetFunctionUrlConfig": get_function_url_config,
    "UpdateFunctionUrlConfig": update_function_url_config,
    "DeleteFunctionUrlConfig": delete_function_url_config,
    "ListFunctionUrlConfigs": list_function_url_configs,
}

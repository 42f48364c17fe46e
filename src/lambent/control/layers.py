"""The resource layer version: PublishLayerVersion, GetLayerVersion and ByArn, ListLayers, ListLayerVersions,
DeleteLayerVersion. Permissions are in `layer_permissions`, what functions do with layers in `attached_layers`.
"""

import sqlite3
from typing import Any

from lambent.control import code_links
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.shapes import code_sha256, last_modified
from lambent.control.source import archive_given, receive, told_of_origin
from lambent.core.caller import Caller
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lambent.core.layer import (
    LARGEST_NUMBER,
    LayerName,
    LayerVersion,
    layer_arn,
    read_layer_arn,
    read_layer_version_arn,
)
from lambent.core.policy import Policy, allows_account
from lambent.store import layers
from lambent.wire.call import Call, Reply

NOT_THERE = "The resource you requested does not exist."


async def publish_layer_version(deps: Control, call: Call) -> dict[str, Any]:
    params = call.params
    layer = own_layer(call)
    runtimes, architectures = params.get("CompatibleRuntimes"), params.get("CompatibleArchitectures")
    archive = archive_given(params["Content"], "creating")
    with deps.packages.arriving():
        package = await receive(deps, call, archive)

        def transaction(connection: sqlite3.Connection) -> LayerVersion:
            version = LayerVersion(
                layer=layer,
                number=layers.allocate_version(connection, layer),
                package=package,
                created_ms=deps.clock.wall_ms(),
                description=params.get("Description", ""),
                license=params.get("LicenseInfo"),
                runtimes=None if runtimes is None else tuple(runtimes),
                architectures=None if architectures is None else tuple(architectures),
            )
            layers.insert(connection, version)
            return version

        version = await deps.store.run(transaction)
    return _with_content(deps, call, version)


async def get_layer_version(deps: Control, call: Call) -> dict[str, Any]:
    layer, number = _named(call), number_given(call)
    return await _get(deps, call, layer, number)


async def get_layer_version_by_arn(deps: Control, call: Call) -> dict[str, Any]:
    named = read_layer_version_arn(call.params["Arn"])
    if named is None:
        raise ResourceNotFoundException(NOT_THERE)
    layer, number = named
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")
    return await _get(deps, call, layer, number)


async def _get(deps: Control, call: Call, layer: LayerName, number: int) -> dict[str, Any]:
    if layer.region != call.region:
        raise ResourceNotFoundException(NOT_THERE)
    entry = await deps.store.read(lambda connection: layers.get_with_policy(connection, layer, number))
    check_may_get(call.caller, layer, number, None if entry is None else entry[1])
    if entry is None:
        raise ResourceNotFoundException(NOT_THERE)
    return _with_content(deps, call, entry[0])


def check_may_get(caller: Caller, layer: LayerName, number: int, policy: Policy | None) -> None:
    """Raises AccessDeniedException where another account's layer is not given to the caller's. What is not there is
    not told apart from what is not given."""
    if layer.account != caller.account and not allows_account(policy, caller.account):
        raise AccessDeniedException(
            f"User: {caller.arn} is not authorized to perform: lambda:GetLayerVersion on resource: "
            f"{layer_arn(layer, number)} because no resource-based policy allows the lambda:GetLayerVersion action"
        )


async def list_layers(deps: Control, call: Call) -> dict[str, Any]:
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))
    found = await deps.store.read(
        lambda connection: layers.list_newest(
            connection,
            call.caller.account,
            call.region,
            runtime=call.params.get("CompatibleRuntime"),
            architecture=call.params.get("CompatibleArchitecture"),
            after=after[0] if after else "",
            limit=limit + 1,
        )
    )
    page, more = split_page(found, limit)
    shapes = [
        {
            "LayerName": version.layer.name,
            "LayerArn": layer_arn(version.layer),
            "LatestMatchingVersion": _listed(version),
        }
        for version in page
    ]
    marker = make_marker(page[-1].layer.name, page[-1].number) if more else None
    return with_next_marker({"Layers": shapes}, marker)


async def list_layer_versions(deps: Control, call: Call) -> dict[str, Any]:
    """A layer that is not there has no versions."""
    layer = own_layer(call)
    limit = page_size(call.params.get("MaxItems"))
    before = read_marker(call.params.get("Marker"))
    found = await deps.store.read(
        lambda connection: layers.list_versions(
            connection,
            layer,
            runtime=call.params.get("CompatibleRuntime"),
            architecture=call.params.get("CompatibleArchitecture"),
            before=before[1] if before else LARGEST_NUMBER,
            limit=limit + 1,
        )
    )
    page, more = split_page(found, limit)
    marker = make_marker(layer.name, page[-1].number) if more else None
    return with_next_marker({"LayerVersions": [_listed(version) for version in page]}, marker)


async def delete_layer_version(deps: Control, call: Call) -> Reply:
    """A version that is not there: the answer is the same."""
    layer, number = own_layer(call), number_given(call)
    await deps.store.run(lambda connection: layers.delete(connection, layer, number))
    return Reply({})


def own_layer(call: Call) -> LayerName:
    """The layer of an operation that nobody but its owner may perform."""
    layer = _named(call)
    if layer.account != call.caller.account:
        arn = layer_arn(layer)
        raise AccessDeniedException(
            f"User: {call.caller.arn} is not authorized to perform: lambda:{call.operation} on resource: {arn}"
        )
    if layer.region != call.region:
        raise ResourceNotFoundException(NOT_THERE)
    return layer


def _named(call: Call) -> LayerName:
    text: str = call.params["LayerName"]
    if ":" not in text:
        return LayerName(call.caller.account, call.region, text)
    named = read_layer_arn(text)
    if named is None:
        # The model lets the ARN of a layer through, and it is of a partition that its region is not in.
        raise ResourceNotFoundException(NOT_THERE)
    return named


def number_given(call: Call) -> int:
    number: int = call.params["VersionNumber"]
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")
    return number


def _with_content(deps: Control, call: Call, version: LayerVersion) -> dict[str, Any]:
    package = version.package
    link = code_links.sign(deps.code_link_secret, call.endpoint, package.digest, deps.clock.wall_ms())
    return {
        "Content": {
            "Location": link,
            "CodeSha256": code_sha256(package),
            "CodeSize": package.size,
            **told_of_origin(package),
        },
        "LayerArn": layer_arn(version.layer),
        **_listed(version),
    }


def _listed(version: LayerVersion) -> dict[str, Any]:
    """Members that the publisher left out are None, and not sent."""
    return {
        "LayerVersionArn": layer_arn(version.layer, version.number),
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": last_modified(version.created_ms),
        "CompatibleArchitectures": None if version.architectures is None else list(version.architectures),
        "CompatibleRuntimes": None if version.runtimes is None else list(version.runtimes),
        "LicenseInfo": version.license,
    }


OPERATIONS: dict[str, ControlOperation] = {
    "PublishLayerVersion": publish_layer_version,
    "GetLayerVersion": get_layer_version,
    "GetLayerVersionByArn": get_layer_version_by_arn,
    "ListLayers": list_layers,
    "ListLayerVersions": list_layer_versions,
    "DeleteLayerVersion": delete_layer_version,
}

"""The resource function: CreateFunction, GetFunction, ListFunctions, DeleteFunction."""

import sqlite3
from typing import Any

from msgspec.structs import replace

from lambent.control import code_links, configuration
from lambent.control.attached_layers import check_size, with_layers
from lambent.control.code_signing import config_for_function
from lambent.control.dependencies import Control, ControlOperation
from lambent.control.lookup import find, is_version_number, named, named_unqualified, not_found, version_meant
from lambent.control.paging import make_marker, page_size, read_marker, split_page, with_next_marker
from lambent.control.shapes import function_configuration, listed_configuration
from lambent.control.source import code_given, image_of, receive, told_of_origin
from lambent.control.versions import publish_unprepared
from lambent.core.arn import function_arn
from lambent.core.code_signing import check_deployment
from lambent.core.errors import InvalidParameterValueException, ResourceConflictException
from lambent.core.function import LATEST, Configuration, FunctionName, FunctionVersion, Package
from lambent.core.function_state import CREATED
from lambent.core.limits import FUNCTION_NAME_CHARACTERS
from lambent.store import aliases, code_signing, concurrency, functions
from lambent.store.metadata import WritingConnection
from lambent.wire.call import Call, Reply


async def create_function(deps: Control, call: Call) -> dict[str, Any]:
    """Answers Pending: the package is unpacked and kept; whether the function can run shows in its State."""
    function = named_unqualified(call)
    _check_name(function)
    configuration.check_role(call)
    params = {**call.params, "FunctionName": function.name}
    wanted = configuration.create(params, deps.snap_start_runtimes)
    tags = configuration.check_tags(params.get("Tags") or {})
    code = code_given(params["Code"], "creating", image=configuration.is_image(params))
    with deps.packages.arriving():
        package = await receive(deps, call, code)

        def transaction(connection: WritingConnection) -> FunctionVersion:
            arn = params.get("CodeSigningConfigArn")
            signing = config_for_function(connection, function, arn) if arn else None
            check_deployment(signing, function_arn(function))
            configured = with_layers(connection, call.caller, function, wanted, params.get("Layers"))
            check_size(package, configured)
            latest = replace(_first(deps, function, configured, package, params, tags), image=image_of(code))
            functions.insert(connection, latest)
            if signing is not None:
                code_signing.attach(connection, function, signing)
            return publish_unprepared(deps, connection, latest) if params.get("Publish") else latest

        try:
            shown = await deps.store.run(transaction)
        except functions.AlreadyExists as error:
            raise ResourceConflictException(f"Function already exist: {function.name}") from error
    # The ARN is unqualified also for the version that Publish made.
    return function_configuration(shown)


def _check_name(function: FunctionName) -> None:
    if len(function.name) > FUNCTION_NAME_CHARACTERS:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{function.name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {FUNCTION_NAME_CHARACTERS}"
        )


def _first(
    deps: Control,
    function: FunctionName,
    wanted: Configuration,
    package: Package,
    params: configuration.Params,
    tags: dict[str, str],
) -> FunctionVersion:
    return FunctionVersion(
        function=function,
        version=LATEST,
        configuration=wanted,
        package=package,
        architectures=tuple(params.get("Architectures") or ("x86_64",)),
        revision_id=deps.new_id(),
        config_revision=deps.new_id(),
        last_modified_ms=deps.clock.wall_ms(),
        state=CREATED.state,
        last_update=CREATED.last_update,
        tags=tags,
    )


async def get_function(deps: Control, call: Call) -> dict[str, Any]:
    function, qualifier = named(call)
    version = await find(deps, function, qualifier)
    # Tags and reserved concurrency are the function's, whichever version is asked for.
    tags = version.tags if version.version == LATEST else (await find(deps, function, None)).tags
    reserved = await deps.store.read(lambda connection: concurrency.get(connection, function))
    answer: dict[str, Any] = {
        "Configuration": function_configuration(version, qualifier),
        "Code": _code(deps, call, version),
    }
    if tags:
        answer["Tags"] = dict(tags)
    if reserved is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return answer


def _code(deps: Control, call: Call, version: FunctionVersion) -> dict[str, Any]:
    """Where the code is. What an image's tag stands for is not known, so only an image named by digest is resolved."""
    image = version.image
    if image is None:
        link = code_links.sign(deps.code_link_secret, call.endpoint, version.package.digest, deps.clock.wall_ms())
        return {"RepositoryType": "S3", "Location": link, **told_of_origin(version.package)}
    return {
        "RepositoryType": "ECR",
        "ImageUri": image.uri,
        "ResolvedImageUri": image.uri if image.digest is not None else None,
    }


async def list_functions(deps: Control, call: Call) -> dict[str, Any]:
    limit = page_size(call.params.get("MaxItems"))
    after = read_marker(call.params.get("Marker"))
    account, region = call.caller.account, call.region
    every_version = call.params.get("FunctionVersion") == "ALL"
    # API reference, ListFunctions, MasterRegion.
    master_region = call.params.get("MasterRegion")
    if master_region and not every_version:
        raise InvalidParameterValueException("With MasterRegion, FunctionVersion must be ALL.")
    if master_region not in (None, "ALL"):
        # Of a region, only the replicas that Lambda@Edge made of its functions: there are none.
        return {"Functions": []}

    def query(connection: sqlite3.Connection) -> list[FunctionVersion]:
        if every_version:
            return functions.list_everything(connection, account, region, after=after or ("", 0), limit=limit + 1)
        return functions.list_latest(connection, account, region, after=after[0] if after else "", limit=limit + 1)

    page, more = split_page(await deps.store.read(query), limit)
    shapes = [listed_configuration(version, version.version if every_version else None) for version in page]
    marker = make_marker(page[-1].function.name, functions.number_of(page[-1].version)) if more else None
    return with_next_marker({"Functions": shapes}, marker)


async def delete_function(deps: Control, call: Call) -> Reply:
    """The function with its versions, or one version of it. AWS answers 204 where the model says 200."""
    function, qualifier = named(call)
    if qualifier is None:
        if not await deps.store.run(lambda connection: functions.delete(connection, function)):
            raise not_found(function)
        return Reply({}, status=204)
    await find(deps, function, None)
    if qualifier == LATEST:
        raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
    if not is_version_number(qualifier):
        raise InvalidParameterValueException("Deletion of aliases is not currently supported.")

    def transaction(connection: WritingConnection) -> None:
        names = aliases.names_running(connection, function, qualifier)
        if names:
            listed = ", ".join(names)
            raise ResourceConflictException(
                f"Unable to delete version because the following aliases reference it: [{listed}]"
            )
        # A version that is not there, in a function that is: the answer is the same.
        functions.delete_version(connection, function, qualifier)

    # No version has a number of so many digits.
    if version_meant(qualifier) is not None:
        await deps.store.run(transaction)
    return Reply({}, status=204)


OPERATIONS: dict[str, ControlOperation] = {
    "CreateFunction": create_function,
    "GetFunction": get_function,
    "ListFunctions": list_functions,
    "DeleteFunction": delete_function,
}

"""Every operation of the Lambda API about what is not there, or is out of reach: what it answers, and that nothing
changes. Seen with boto3 against a running server."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    REGION,
    Refusal,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
)
from lambda_requests import World, method, requests
from stored_state import StoredState, changes, stored_state

MODEL = botocore.session.get_session().get_service_model("lambda")
SIGNING = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdefg"
ABSENT = World(
    function="nobody",
    alias="nowhere",
    layer="nothing",
    statement="never",
    made={"CodeSigningConfigArn": SIGNING, "UUID": "01234567-89ab-4cde-8123-456789abcdef"},
)
NAMES_NOTHING = frozenset(
    (
        "CreateCodeSigningConfig",
        "CreateFunction",
        "GetAccountSettings",
        "ListCodeSigningConfigs",
        "ListFunctions",
        "ListLayers",
        "PublishLayerVersion",
    )
)
"""What makes something new, or is about the account as a whole."""

NO_MESSAGE: Any = None
THERE_IS_NONE = not_found("The resource you requested does not exist.")


def no_function(qualifier: str = "", name: str = ABSENT.function) -> Refusal:
    return not_found(f"Function not found: {ARNS}{name}{qualifier}")


@dataclass(frozen=True)
class Accepted:
    """The operation answers this, as if what it names were there."""

    answer: dict[str, Any]


OF_NO_SIGNING = not_found(f"The Lambda code signing configuration {SIGNING} can not be found.")
OF_NO_LAYER = not_found(f"Layer version arn:aws:lambda:{REGION}:{ACCOUNT}:layer:nothing:1 does not exist.")
REGARDLESS: dict[str, Refusal | Accepted] = {
    "AddLayerVersionPermission": OF_NO_LAYER,
    "DeleteCodeSigningConfig": OF_NO_SIGNING,
    "DeleteEventSourceMapping": THERE_IS_NONE,
    "DeleteLayerVersion": Accepted({}),
    "GetCodeSigningConfig": OF_NO_SIGNING,
    "GetEventSourceMapping": THERE_IS_NONE,
    "GetLayerVersion": THERE_IS_NONE,
    "GetLayerVersionByArn": THERE_IS_NONE,
    "GetLayerVersionPolicy": OF_NO_LAYER,
    "ListFunctionsByCodeSigningConfig": OF_NO_SIGNING,
    "ListLayerVersions": Accepted({"LayerVersions": []}),
    "PutFunctionCodeSigningConfig": Refusal(
        404,
        "CodeSigningConfigNotFoundException",
        "The code signing configuration cannot be found. "
        f"Check that the provided configuration is not deleted: {SIGNING}.",
        "User",
    ),
    "RemoveLayerVersionPermission": OF_NO_LAYER,
    "UpdateCodeSigningConfig": OF_NO_SIGNING,
    "UpdateEventSourceMapping": THERE_IS_NONE,
}
"""Of layers, configurations and mappings that are not there: whether there is a function makes no difference."""

WITHOUT_FUNCTION: dict[str, Refusal | Accepted] = {
    "AddPermission": no_function(),
    "CreateAlias": no_function(),
    "CreateEventSourceMapping": invalid("Function does not exist"),
    "CreateFunctionUrlConfig": not_found("Function does not exist"),
    "DeleteAlias": no_function(),
    "DeleteFunction": no_function(),
    "DeleteFunctionCodeSigningConfig": no_function(),
    "DeleteFunctionConcurrency": no_function(),
    "DeleteFunctionEventInvokeConfig": not_found(f"The function {ABSENT.alias_arn} doesn't have an EventInvokeConfig"),
    "DeleteFunctionUrlConfig": THERE_IS_NONE,
    "DeleteProvisionedConcurrencyConfig": no_function(":nowhere"),
    "DeleteResourcePolicy": no_function(),
    "GetAlias": no_function(),
    "GetFunction": no_function(),
    "GetFunctionCodeSigningConfig": no_function(),
    "GetFunctionConcurrency": no_function(),
    "GetFunctionConfiguration": no_function(),
    "GetFunctionEventInvokeConfig": not_found(f"The function {ABSENT.alias_arn} doesn't have an EventInvokeConfig"),
    "GetFunctionRecursionConfig": no_function(),
    "GetFunctionUrlConfig": THERE_IS_NONE,
    "GetPolicy": no_function(),
    "GetProvisionedConcurrencyConfig": no_function(":nowhere"),
    "GetResourcePolicy": no_function(),
    "GetRuntimeManagementConfig": no_function(),
    "Invoke": no_function(":$LATEST"),
    "InvokeAsync": no_function(":$LATEST"),
    "ListAliases": no_function(),
    # What a function has left behind would be listed.
    "ListEventSourceMappings": Accepted({"EventSourceMappings": []}),
    "ListFunctionEventInvokeConfigs": not_found("The function doesn't exist."),
    "ListFunctionUrlConfigs": not_found("Function does not exist"),
    "ListProvisionedConcurrencyConfigs": no_function(),
    "ListTags": no_function(),
    "ListVersionsByFunction": no_function(),
    "PublishVersion": no_function(),
    "PutFunctionConcurrency": no_function(":$LATEST"),
    "PutFunctionEventInvokeConfig": not_found("The function doesn't exist."),
    "PutFunctionRecursionConfig": no_function(),
    "PutProvisionedConcurrencyConfig": no_function(":nowhere"),
    "PutResourcePolicy": no_function(),
    "PutRuntimeManagementConfig": no_function(),
    "RemovePermission": not_found(f"No policy found for: {ABSENT.arn}"),
    "TagResource": no_function(),
    "UntagResource": no_function(),
    "UpdateAlias": no_function(),
    "UpdateFunctionCode": no_function(),
    "UpdateFunctionConfiguration": no_function(),
    "UpdateFunctionEventInvokeConfig": not_found("The function doesn't exist."),
    "UpdateFunctionUrlConfig": not_found("Function does not exist"),
}

BARE = World(function="bare", alias=ABSENT.alias, layer=ABSENT.layer, statement=ABSENT.statement, made=ABSENT.made)
"""A function that is there, with nothing that could hang on it."""

NO_CONFIG = Refusal(
    404,
    "ProvisionedConcurrencyConfigNotFoundException",
    "No Provisioned Concurrency Config found for this function",
    "User",
)
NO_ALIAS = not_found(f"Cannot find alias arn: {BARE.alias_arn}")
OF_A_BARE_FUNCTION: dict[str, Refusal | Accepted] = {
    "DeleteAlias": Accepted({}),
    "DeleteFunctionCodeSigningConfig": Accepted({}),
    "DeleteFunctionConcurrency": Accepted({}),
    "DeleteFunctionEventInvokeConfig": not_found(f"The function {BARE.alias_arn} doesn't have an EventInvokeConfig"),
    "DeleteFunctionUrlConfig": THERE_IS_NONE,
    "DeleteProvisionedConcurrencyConfig": no_function(":nowhere", "bare"),
    "DeleteResourcePolicy": NO_ALIAS,
    "GetAlias": NO_ALIAS,
    "GetFunctionCodeSigningConfig": Accepted({}),
    "GetFunctionConcurrency": Accepted({}),
    "GetFunctionEventInvokeConfig": not_found(f"The function {BARE.alias_arn} doesn't have an EventInvokeConfig"),
    "GetFunctionRecursionConfig": Accepted({"RecursiveLoop": "Terminate"}),
    "GetFunctionUrlConfig": THERE_IS_NONE,
    "GetPolicy": THERE_IS_NONE,
    "GetProvisionedConcurrencyConfig": no_function(":nowhere", "bare"),
    "GetResourcePolicy": NO_ALIAS,
    "GetRuntimeManagementConfig": Accepted({"UpdateRuntimeOn": "Auto", "FunctionArn": BARE.arn}),
    "ListAliases": Accepted({"Aliases": []}),
    "ListEventSourceMappings": Accepted({"EventSourceMappings": []}),
    "ListFunctionEventInvokeConfigs": Accepted({"FunctionEventInvokeConfigs": []}),
    "ListFunctionUrlConfigs": Accepted({"FunctionUrlConfigs": []}),
    "ListProvisionedConcurrencyConfigs": Accepted({"ProvisionedConcurrencyConfigs": []}),
    "ListTags": Accepted({"Tags": {}}),
    "PutFunctionEventInvokeConfig": not_found("The function doesn't exist."),
    "PutProvisionedConcurrencyConfig": no_function(":nowhere", "bare"),
    "PutResourcePolicy": NO_ALIAS,
    "RemovePermission": not_found("No policy is associated with the given resource."),
    "UntagResource": Accepted({}),
    "UpdateAlias": not_found(f"Alias not found: {BARE.alias_arn}"),
    "UpdateFunctionEventInvokeConfig": not_found("The function doesn't exist."),
    "UpdateFunctionUrlConfig": not_found("Function does not exist"),
    **REGARDLESS,
}


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    """Nobody else changes what it has."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def api(own_server: Any) -> Any:
    api = clients(own_server)
    make_function(api, BARE.function)
    return api


@pytest.fixture
def stored(own_server: Any) -> Iterator[StoredState]:
    with stored_state(own_server.data_dir) as state:
        yield state


def test_every_operation_is_looked_at() -> None:
    assert sorted({**WITHOUT_FUNCTION, **REGARDLESS} | dict.fromkeys(NAMES_NOTHING)) == sorted(
        requests(World(), World())
    )


@pytest.mark.parametrize(("name", "expected"), sorted({**WITHOUT_FUNCTION, **REGARDLESS}.items()))
def test_of_what_is_not_there(api: Any, stored: StoredState, name: str, expected: Refusal | Accepted) -> None:
    hold(api, stored, name, requests(ABSENT, World())[name], expected)


@pytest.mark.parametrize(("name", "expected"), sorted(OF_A_BARE_FUNCTION.items()))
def test_of_a_function_that_has_nothing_else(
    api: Any, stored: StoredState, name: str, expected: Refusal | Accepted
) -> None:
    hold(api, stored, name, requests(BARE, World())[name], expected)


def hold(api: Any, stored: StoredState, name: str, params: dict[str, Any], expected: Refusal | Accepted) -> None:
    """The operation answers as expected, and nothing changes by it."""
    before = stored.at_rest()
    operation = getattr(api, method(name))
    if isinstance(expected, Accepted):
        assert shape(operation(**params)) == expected.answer
    else:
        assert refusal(operation, **params) == expected
    assert changes(before, stored.rows()) == {}


# Out of reach ---------------------------------------------------------------------------------------------------------

BY_ARN = ("FunctionName", "Resource", "ResourceArn")
NAMING_A_FUNCTION = sorted(
    name for name, params in requests(World(), World()).items() if any(member in params for member in BY_ARN)
)


def naming(params: dict[str, Any], arn: str) -> dict[str, Any]:
    return {**params, **{member: arn for member in BY_ARN if member in params}}


@pytest.mark.parametrize("name", NAMING_A_FUNCTION)
def test_a_function_of_another_region_or_account_is_out_of_reach(api: Any, stored: StoredState, name: str) -> None:
    params, before = requests(BARE, World())[name], stored.at_rest()
    operation = getattr(api, method(name))
    far = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{BARE.function}"
    assert refusal(operation, **naming(params, far)) == not_found(
        f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')"
    )
    foreign = f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:{BARE.function}"
    # AWS tells a caller who has no permission nothing more.
    assert refusal(operation, **naming(params, foreign)) == Refusal(403, "AccessDeniedException", NO_MESSAGE, None)
    assert changes(before, stored.rows()) == {}


WHOLE_ONLY = invalid(
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
OF_A_WHOLE_FUNCTION = (
    "CreateAlias",
    "CreateFunction",
    "DeleteAlias",
    "DeleteFunctionCodeSigningConfig",
    "DeleteFunctionConcurrency",
    "GetAlias",
    "GetFunctionCodeSigningConfig",
    "GetFunctionConcurrency",
    "ListAliases",
    "PublishVersion",
    "PutFunctionCodeSigningConfig",
    "PutFunctionConcurrency",
    "UpdateAlias",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
)


@pytest.mark.parametrize("name", OF_A_WHOLE_FUNCTION)
@pytest.mark.parametrize("form", ["{name}:1", f"{ACCOUNT}:function:{{name}}:nowhere", ARNS + "{name}:1"])
def test_an_operation_on_a_function_takes_no_version_and_no_alias(
    api: Any, stored: StoredState, name: str, form: str
) -> None:
    hold(
        api,
        stored,
        name,
        naming(requests(BARE, World())[name], form.format(name=BARE.function)),
        WHOLE_ONLY,
    )


TWO_QUALIFIERS = sorted(
    name for name in NAMING_A_FUNCTION if "Qualifier" in MODEL.operation_model(name).input_shape.members
)


@pytest.mark.parametrize("name", TWO_QUALIFIERS)
def test_a_qualifier_in_the_name_and_another_beside_it_are_one_too_many(
    api: Any, stored: StoredState, name: str
) -> None:
    params = {**requests(BARE, World())[name], "FunctionName": f"{BARE.function}:one", "Qualifier": "other"}
    hold(
        api,
        stored,
        name,
        params,
        invalid("The derived qualifier from the function name does not match the specified qualifier."),
    )

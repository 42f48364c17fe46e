"""Function URL configurations as boto3 uses them, against a running server."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    broken_constraint,
    clients,
    conflict,
    invalid,
    is_recent,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

CORS = {
    "AllowCredentials": False,
    "AllowHeaders": ["x-one", "x-two"],
    "AllowMethods": ["GET", "*"],
    "AllowOrigins": ["https://example.com"],
    "ExposeHeaders": [],
    "MaxAge": 0,
}
NO_FUNCTION = not_found("Function does not exist")
NO_URL = not_found("The resource you requested does not exist.")


@pytest.fixture(scope="module")
def function(api: Any) -> Iterator[str]:
    """With version 1 and the aliases `beta` and `live` of it."""
    name = unique("urls")
    make_function(api, name, versions=1)
    for alias in ("live", "beta"):
        api.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture(autouse=True)
def without_urls(api: Any, function: str) -> Iterator[None]:
    yield
    for url in api.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"]:
        api.delete_function_url_config(FunctionName=url["FunctionArn"])


def test_a_url_is_created_read_changed_and_deleted(api: Any, function: str) -> None:
    created = api.create_function_url_config(FunctionName=function, AuthType="AWS_IAM")
    assert status(created) == 201
    assert shape(created) == {
        "FunctionUrl": created["FunctionUrl"],
        "FunctionArn": f"{ARNS}{function}",
        "AuthType": "AWS_IAM",
        "CreationTime": created["CreationTime"],
    }
    assert re.fullmatch(r"https://[a-z0-9]{32}\.lambda-url\.us-east-1\.on\.aws/", created["FunctionUrl"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["CreationTime"])
    assert is_recent(datetime.fromisoformat(created["CreationTime"]).timestamp())
    found = api.get_function_url_config(FunctionName=function)
    assert shape(found) == {
        **shape(created),
        "LastModifiedTime": created["CreationTime"],
        "InvokeMode": "BUFFERED",
    }

    updated = api.update_function_url_config(
        FunctionName=function, AuthType="NONE", Cors=CORS, InvokeMode="RESPONSE_STREAM"
    )
    assert status(updated) == 200
    assert shape(updated) == {
        **shape(found),
        "AuthType": "NONE",
        "Cors": CORS,
        "InvokeMode": "RESPONSE_STREAM",
        "LastModifiedTime": updated["LastModifiedTime"],
    }
    assert updated["LastModifiedTime"] >= created["CreationTime"]
    assert shape(api.get_function_url_config(FunctionName=function)) == shape(updated)

    deleted = api.delete_function_url_config(FunctionName=function)
    assert (status(deleted), shape(deleted)) == (204, {})
    for operation in (api.get_function_url_config, api.delete_function_url_config, api.update_function_url_config):
        assert refusal(operation, FunctionName=function) == NO_URL


def test_an_update_keeps_what_it_does_not_name_and_replaces_cors_whole(api: Any, function: str) -> None:
    created = api.create_function_url_config(
        FunctionName=function, AuthType="NONE", Cors=CORS, InvokeMode="RESPONSE_STREAM"
    )
    assert (created["Cors"], created["InvokeMode"]) == (CORS, "RESPONSE_STREAM")
    kept = api.update_function_url_config(FunctionName=function)
    assert (kept["AuthType"], kept["Cors"], kept["InvokeMode"]) == ("NONE", CORS, "RESPONSE_STREAM")
    assert kept["FunctionUrl"] == created["FunctionUrl"]
    assert api.update_function_url_config(FunctionName=function, Cors={"MaxAge": 9})["Cors"] == {"MaxAge": 9}
    assert "Cors" not in api.update_function_url_config(FunctionName=function, Cors={})
    assert "Cors" not in api.get_function_url_config(FunctionName=function)


@pytest.mark.parametrize("form", ["{name}:live", "111122223333:function:{name}:live", ARNS + "{name}:live", None])
def test_an_alias_has_a_url_of_its_own_in_every_form(api: Any, function: str, form: str | None) -> None:
    given = {"FunctionName": form.format(name=function)} if form else {"FunctionName": function, "Qualifier": "live"}
    own = api.create_function_url_config(FunctionName=function, AuthType="NONE")
    created = api.create_function_url_config(**given, AuthType="AWS_IAM")
    assert created["FunctionArn"] == f"{ARNS}{function}:live"
    assert created["FunctionUrl"] != own["FunctionUrl"]
    assert api.get_function_url_config(**given)["AuthType"] == "AWS_IAM"
    assert api.get_function_url_config(FunctionName=function)["AuthType"] == "NONE"
    api.delete_function_url_config(**given)
    assert refusal(api.get_function_url_config, **given) == NO_URL
    assert api.get_function_url_config(FunctionName=function)["FunctionUrl"] == own["FunctionUrl"]


def test_there_is_one_url_for_each_function_and_alias(api: Any, function: str) -> None:
    for qualifier, arn in (({}, f"{ARNS}{function}"), ({"Qualifier": "live"}, f"{ARNS}{function}:live")):
        given = {"FunctionName": function, "AuthType": "NONE", **qualifier}
        api.create_function_url_config(**given)
        assert refusal(api.create_function_url_config, **given) == conflict(
            f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function"
        )


def test_urls_are_listed_in_pages(api: Any, function: str) -> None:
    assert shape(api.list_function_url_configs(FunctionName=function)) == {"FunctionUrlConfigs": []}
    made = []
    for qualifier in ({}, {"Qualifier": "beta"}, {"Qualifier": "live"}):
        api.create_function_url_config(FunctionName=function, AuthType="NONE", Cors=CORS, **qualifier)
        made.append(shape(api.get_function_url_config(FunctionName=function, **qualifier)))
    assert shape(api.list_function_url_configs(FunctionName=function)) == {"FunctionUrlConfigs": made}
    pages = api.get_paginator("list_function_url_configs").paginate(
        FunctionName=function, PaginationConfig={"PageSize": 1}
    )
    assert [page["FunctionUrlConfigs"] for page in pages] == [[url] for url in made]


def test_what_is_not_there_is_told_as_aws_tells_it(api: Any, function: str) -> None:
    for given in ({"FunctionName": unique("missing")}, {"FunctionName": function, "Qualifier": "other"}):
        assert refusal(api.create_function_url_config, **given, AuthType="NONE") == NO_FUNCTION
        assert refusal(api.update_function_url_config, **given, AuthType="NONE") == NO_FUNCTION
        assert refusal(api.get_function_url_config, **given) == NO_URL
        assert refusal(api.delete_function_url_config, **given) == NO_URL
    assert refusal(api.list_function_url_configs, FunctionName=unique("missing")) == NO_FUNCTION
    assert refusal(api.get_function_url_config, FunctionName=f"{function}:live", Qualifier="beta") == invalid(
        "The derived qualifier from the function name does not match the specified qualifier."
    )


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"AuthType": None}, "Value null at 'authType' failed to satisfy constraint: Member must not be null"),
        ({"AuthType": "OPEN"}, "Value 'OPEN' at 'authType'"),
        ({"InvokeMode": "SOMETIMES"}, "Value 'SOMETIMES' at 'invokeMode'"),
        ({"Qualifier": "$LATEST"}, "Value '$LATEST' at 'qualifier'"),
        ({"Qualifier": "1"}, "Value '1' at 'qualifier'"),
        ({"FunctionName": "f:1"}, "Value 'f:1' at 'functionName'"),
        ({"Cors": {"MaxAge": 86401}}, "Value '86401' at 'cors.maxAge'"),
        ({"Cors": {"AllowMethods": ["GET"] * 7}}, "at 'cors.allowMethods'"),
        ({"Cors": {"AllowMethods": ["CONNECT"]}}, "at 'cors.allowMethods'"),
        ({"Cors": {"AllowOrigins": ["o"] * 101}}, "at 'cors.allowOrigins'"),
        ({"Cors": {"AllowHeaders": ["h" * 1025]}}, "at 'cors.allowHeaders'"),
    ],
)
def test_constraints_of_the_model_are_held(api: Any, function: str, members: dict[str, Any], text: str) -> None:
    given = {"FunctionName": function, "AuthType": "NONE", **members}
    given = {member: value for member, value in given.items() if value is not None}
    broken_constraint(refusal(api.create_function_url_config, **given), text)
    assert shape(api.list_function_url_configs(FunctionName=function)) == {"FunctionUrlConfigs": []}


def test_a_url_goes_with_the_alias_or_the_function_that_it_is_for(api: Any) -> None:
    name = unique("going")
    make_function(api, name)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    for qualifier in ({}, {"Qualifier": "live"}):
        api.create_function_url_config(FunctionName=name, AuthType="NONE", **qualifier)
    api.delete_alias(FunctionName=name, Name="live")
    left = api.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert [url["FunctionArn"] for url in left] == [f"{ARNS}{name}"]
    api.delete_function(FunctionName=name)
    make_function(api, name)
    assert api.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == []
    api.delete_function(FunctionName=name)


def test_urls_are_those_of_one_account_and_region_and_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    try:
        api = clients(crashing)
        elsewhere = (clients(crashing, account=OTHER_ACCOUNT), clients(crashing, region="eu-west-1"))
        for one in (api, *elsewhere):
            make_function(one, "f")
        api.create_function_url_config(FunctionName="f", AuthType="NONE", Cors=CORS)
        before = shape(api.get_function_url_config(FunctionName="f"))
        for other in elsewhere:
            assert refusal(other.get_function_url_config, FunctionName="f") == NO_URL
        crashing.kill()
        crashing.start()
        assert shape(clients(crashing).get_function_url_config(FunctionName="f")) == before
    finally:
        assert crashing.stop() == 0

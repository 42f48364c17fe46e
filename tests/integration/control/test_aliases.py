"""Aliases as boto3 uses them, against a running server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ARNS,
    OTHER_ACCOUNT,
    ROLE,
    TELLS_LATEST,
    Refusal,
    broken_constraint,
    clients,
    conflict,
    invalid,
    make_function,
    not_found,
    reconfigure,
    refusal,
    shape,
    status,
    unique,
)


@pytest.fixture(scope="module")
def function(api: Any) -> Iterator[str]:
    """With the versions 1 and 2, 3 of another role, and 4 that has a dead-letter queue."""
    name = unique("aliased")
    make_function(api, name, versions=2)
    reconfigure(api, name, Role="arn:aws:iam::111122223333:role/other")
    api.publish_version(FunctionName=name)
    reconfigure(api, name, Role=ROLE, DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:111122223333:dead"})
    api.publish_version(FunctionName=name)
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture
def alias() -> str:
    return unique("alias")


def weights(version: str, weight: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {version: weight}}


def test_an_alias_lives_from_creation_to_deletion(api: Any, function: str, alias: str) -> None:
    named = {"FunctionName": function, "Name": alias}
    created = api.create_alias(**named, FunctionVersion="1")
    assert status(created) == 201
    assert shape(created) == {
        "AliasArn": f"{ARNS}{function}:{alias}",
        "Name": alias,
        "FunctionVersion": "1",
        "Description": "",
        "RevisionId": created["RevisionId"],
    }
    assert shape(api.get_alias(**named)) == shape(created)

    updated = api.update_alias(**named, Description="weighted", RoutingConfig=weights("2", 0.25))
    assert status(updated) == 200
    assert shape(updated) == {
        **shape(created),
        "Description": "weighted",
        "RoutingConfig": weights("2", 0.25),
        "RevisionId": updated["RevisionId"],
    }
    assert updated["RevisionId"] != created["RevisionId"]
    assert shape(api.get_alias(**named)) == shape(updated)

    for _ in range(2):
        deleted = api.delete_alias(**named)
        assert (status(deleted), shape(deleted)) == (204, {})
    assert refusal(api.get_alias, **named) == not_found(f"Cannot find alias arn: {ARNS}{function}:{alias}")


def test_an_update_keeps_what_it_does_not_name(api: Any, function: str, alias: str) -> None:
    named = {"FunctionName": function, "Name": alias}
    api.create_alias(**named, FunctionVersion="1", Description="kept", RoutingConfig=weights("2", 1.0))
    kept = api.update_alias(**named)
    assert (kept["FunctionVersion"], kept["Description"], kept["RoutingConfig"]) == ("1", "kept", weights("2", 1.0))
    assert api.update_alias(**named, Description="")["Description"] == ""
    # The version that would be left can not be the second one too.
    assert refusal(api.update_alias, **named, FunctionVersion="2") == invalid(
        "Invalid function version 2. Function version 2 is already included in routing configuration."
    )
    swapped = api.update_alias(**named, FunctionVersion="2", RoutingConfig=weights("1", 0.5))
    assert (swapped["FunctionVersion"], swapped["RoutingConfig"]) == ("2", weights("1", 0.5))
    assert "RoutingConfig" not in api.update_alias(**named, RoutingConfig={})
    api.update_alias(**named, RoutingConfig=weights("1", 0.5))
    assert "RoutingConfig" not in api.update_alias(**named, RoutingConfig={"AdditionalVersionWeights": {}})
    api.delete_alias(**named)


def test_creating_an_alias_changes_no_revision_of_the_function(api: Any, function: str, alias: str) -> None:
    def revisions() -> list[str]:
        return [
            api.get_function_configuration(FunctionName=function, Qualifier=version)["RevisionId"]
            for version in ("$LATEST", "1")
        ]

    before = revisions()
    api.create_alias(FunctionName=function, Name=alias, FunctionVersion="1")
    api.delete_alias(FunctionName=function, Name=alias)
    assert revisions() == before


def test_an_update_of_another_revision_is_refused_and_changes_nothing(api: Any, function: str, alias: str) -> None:
    named = {"FunctionName": function, "Name": alias}
    first = api.create_alias(**named, FunctionVersion="1")["RevisionId"]
    second = api.update_alias(**named, Description="2", RevisionId=first)["RevisionId"]
    assert refusal(api.update_alias, **named, Description="3", RevisionId=first) == Refusal(
        412, "PreconditionFailedException", TELLS_LATEST + "to retrieve the latest Revision Id", "User"
    )
    found = api.get_alias(**named)
    assert (found["Description"], found["RevisionId"]) == ("2", second)
    api.delete_alias(**named)


def test_a_name_is_given_once_in_each_function(api: Any, function: str, alias: str) -> None:
    api.create_alias(FunctionName=function, Name=alias, FunctionVersion="$LATEST")
    again = refusal(api.create_alias, FunctionName=function, Name=alias, FunctionVersion="1")
    assert again == conflict(f"Alias already exists: {ARNS}{function}:{alias}")
    assert api.get_alias(FunctionName=function, Name=alias)["FunctionVersion"] == "$LATEST"
    api.delete_alias(FunctionName=function, Name=alias)


def test_what_is_not_there_is_told_by_its_arn(api: Any, function: str, alias: str) -> None:
    missing = unique("missing")
    gone = not_found(f"Function not found: {ARNS}{missing}")
    named = {"FunctionName": missing, "Name": alias}
    assert refusal(api.create_alias, **named, FunctionVersion="1") == gone
    for operation in (api.get_alias, api.update_alias, api.delete_alias):
        assert refusal(operation, **named) == gone
    assert refusal(api.list_aliases, FunctionName=missing) == gone
    named = {"FunctionName": function, "Name": alias}
    assert refusal(api.update_alias, **named) == not_found(f"Alias not found: {ARNS}{function}:{alias}")
    for version in ("10", "0", "01", "$LATEST.PUBLISHED"):
        assert refusal(api.create_alias, **named, FunctionVersion=version) == not_found(
            f"Function not found: {ARNS}{function}:{version}"
        )
    assert refusal(api.create_alias, **named, FunctionVersion="1", RoutingConfig=weights("10", 0.5)) == not_found(
        f"Function not found: {ARNS}{function}:10"
    )


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        (
            {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1, "3": 0.2}}},
            invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"),
        ),
        (
            {"FunctionVersion": "1", "RoutingConfig": weights("1", 0.5)},
            invalid("Invalid function version 1. Function version 1 is already included in routing configuration."),
        ),
        (
            {"FunctionVersion": "$LATEST", "RoutingConfig": weights("1", 0.5)},
            Refusal(
                400,
                "InvalidParameterValueException",
                "$LATEST is not supported for an alias pointing to more than 1 version",
                None,
            ),
        ),
        (
            {"FunctionVersion": "1", "RoutingConfig": weights("3", 0.5)},
            invalid("Versions 1 and 3 must have the same execution role to share an alias."),
        ),
        (
            {"FunctionVersion": "1", "RoutingConfig": weights("4", 0.5)},
            invalid("Versions 1 and 4 must have the same DeadLetterConfig to share an alias."),
        ),
    ],
    ids=["three versions", "twice the same", "latest", "two roles", "two queues"],
)
def test_versions_that_can_not_share_an_alias_are_refused(
    api: Any, function: str, alias: str, members: dict[str, Any], refused: Refusal
) -> None:
    named = {"FunctionName": function, "Name": alias}
    assert refusal(api.create_alias, **named, **members) == refused
    assert refusal(api.get_alias, **named).status == 404
    api.create_alias(**named, FunctionVersion="2")
    assert refusal(api.update_alias, **named, **members) == refused
    assert api.get_alias(**named)["FunctionVersion"] == "2"
    api.delete_alias(**named)


@pytest.mark.parametrize(
    ("members", "texts"),
    [
        ({"Name": "2024"}, ["Value '2024' at 'name'", "regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"]),
        ({"Name": "a.b"}, ["Value 'a.b' at 'name'"]),
        ({"Name": "a" * 129}, ["at 'name'", "length less than or equal to 128"]),
        ({"Name": None}, ["'name'"]),
        ({"FunctionVersion": None}, ["Value null at 'functionVersion'", "Member must not be null"]),
        ({"FunctionVersion": "live"}, ["Value 'live' at 'functionVersion'"]),
        ({"Description": "d" * 257}, ["at 'description'", "length less than or equal to 256"]),
        ({"RoutingConfig": weights("$LATEST", 0.5)}, ["'routingConfig.additionalVersionWeights'", "Map keys must"]),
        ({"RoutingConfig": weights("2", 1.1)}, ["'routingConfig.additionalVersionWeights'", "Map value must satisfy"]),
        ({"RoutingConfig": weights("2", -0.1)}, ["Map value must satisfy", "greater than or equal to 0.0"]),
    ],
)
def test_constraints_of_the_model_are_held(
    api: Any, function: str, alias: str, members: dict[str, Any], texts: list[str]
) -> None:
    given = {"FunctionName": function, "Name": alias, "FunctionVersion": "1", **members}
    found = refusal(api.create_alias, **{name: value for name, value in given.items() if value is not None})
    broken_constraint(found, *texts)


def test_a_name_that_is_a_date_is_one(api: Any, function: str) -> None:
    named = {"FunctionName": function, "Name": "2024-01-02"}
    assert api.create_alias(**named, FunctionVersion="1")["Name"] == "2024-01-02"
    api.delete_alias(**named)


def test_aliases_are_listed_by_name_in_pages_and_by_version(api: Any) -> None:
    name = unique("listed")
    make_function(api, name, versions=2)
    assert shape(api.list_aliases(FunctionName=name)) == {"Aliases": []}
    made = [
        shape(api.create_alias(FunctionName=name, Name="a", FunctionVersion="1")),
        shape(api.create_alias(FunctionName=name, Name="b", FunctionVersion="2")),
        shape(api.create_alias(FunctionName=name, Name="c", FunctionVersion="2", RoutingConfig=weights("1", 0.1))),
        shape(api.create_alias(FunctionName=name, Name="d", FunctionVersion="$LATEST")),
    ]
    assert shape(api.list_aliases(FunctionName=name)) == {"Aliases": made}
    first = api.list_aliases(FunctionName=name, MaxItems=3)
    assert first["Aliases"] == made[:3]
    second = api.list_aliases(FunctionName=name, MaxItems=3, Marker=first["NextMarker"])
    assert shape(second) == {"Aliases": made[3:]}

    def running(version: str) -> list[str]:
        pages = api.get_paginator("list_aliases").paginate(
            FunctionName=name, FunctionVersion=version, PaginationConfig={"PageSize": 1}
        )
        return [alias["Name"] for page in pages for alias in page["Aliases"]]

    assert [running(version) for version in ("1", "2", "$LATEST", "7", "007")] == [
        ["a", "c"],
        ["b", "c"],
        ["d"],
        [],
        [],
    ]
    broken_constraint(refusal(api.list_aliases, FunctionName=name, MaxItems=0), "'maxItems'")
    api.delete_function(FunctionName=name)


def test_a_version_that_an_alias_names_can_not_be_deleted(api: Any) -> None:
    name = unique("held")
    make_function(api, name, versions=2)
    api.create_alias(FunctionName=name, Name="beta", FunctionVersion="2", RoutingConfig=weights("1", 0.0))
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for version, holders in (("1", "beta, live"), ("2", "beta")):
        assert refusal(api.delete_function, FunctionName=name, Qualifier=version) == conflict(
            f"Unable to delete version because the following aliases reference it: [{holders}]"
        )
    assert refusal(api.delete_function, FunctionName=name, Qualifier="live") == invalid(
        "Deletion of aliases is not currently supported."
    )
    api.delete_alias(FunctionName=name, Name="beta")
    assert status(api.delete_function(FunctionName=name, Qualifier="2")) == 204
    assert [v["Version"] for v in api.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST", "1"]
    # The function itself goes with its aliases, and one of the same name begins without them.
    api.delete_function(FunctionName=name)
    make_function(api, name)
    assert shape(api.list_aliases(FunctionName=name)) == {"Aliases": []}
    api.delete_function(FunctionName=name)


@pytest.mark.parametrize("form", ["{name}:{alias}", "111122223333:function:{name}:{alias}", "{arn}:{alias}"])
def test_a_function_is_read_by_the_alias_in_every_form(api: Any, function: str, alias: str, form: str) -> None:
    api.create_alias(FunctionName=function, Name=alias, FunctionVersion="1")
    text = form.format(name=function, alias=alias, arn=ARNS + function)
    expected = {
        **shape(api.get_function_configuration(FunctionName=function, Qualifier="1")),
        "FunctionArn": f"{ARNS}{function}:{alias}",
    }
    assert expected["Version"] == "1"
    assert shape(api.get_function_configuration(FunctionName=text)) == expected
    assert shape(api.get_function_configuration(FunctionName=text, Qualifier=alias)) == expected
    assert shape(api.get_function_configuration(FunctionName=function, Qualifier=alias)) == expected
    assert api.get_function(FunctionName=text)["Configuration"] == expected
    assert refusal(api.get_function, FunctionName=text, Qualifier="other") == invalid(
        "The derived qualifier from the function name does not match the specified qualifier."
    )
    assert json.loads(api.invoke(FunctionName=text)["Payload"].read()) == ["1", f"{ARNS}{function}:{alias}"]
    api.delete_alias(FunctionName=function, Name=alias)
    for operation in (api.get_function, api.get_function_configuration, api.invoke):
        assert refusal(operation, FunctionName=text) == not_found(f"Function not found: {ARNS}{function}:{alias}")


def test_another_operation_on_a_function_is_not_on_its_alias(api: Any, function: str, alias: str) -> None:
    api.create_alias(FunctionName=function, Name=alias, FunctionVersion="1")
    qualified = f"{function}:{alias}"
    for operation, members in (
        (api.update_function_configuration, {"Timeout": 4}),
        (api.publish_version, {}),
        (api.create_alias, {"Name": "other", "FunctionVersion": "1"}),
    ):
        assert refusal(operation, FunctionName=qualified, **members).code == "InvalidParameterValueException"
    api.delete_alias(FunctionName=function, Name=alias)


def test_invocations_by_a_weighted_alias_run_both_versions_and_tell_which(api: Any, function: str, alias: str) -> None:
    arn = f"{ARNS}{function}:{alias}"

    def executed(times: int) -> set[str]:
        found = set()
        for _ in range(times):
            answer = api.invoke(FunctionName=function, Qualifier=alias)
            version = answer["ExecutedVersion"]
            assert json.loads(answer["Payload"].read()) == [version, arn]
            found.add(version)
        return found

    named = {"FunctionName": function, "Name": alias}
    api.create_alias(**named, FunctionVersion="1", RoutingConfig=weights("2", 0.5))
    # That chance takes the same version forty times happens once in 2^39 runs.
    assert executed(40) == {"1", "2"}
    api.update_alias(**named, RoutingConfig=weights("2", 0.0))
    assert executed(5) == {"1"}
    api.update_alias(**named, RoutingConfig=weights("2", 1.0))
    assert executed(5) == {"2"}
    api.update_alias(**named, RoutingConfig={})
    assert executed(5) == {"1"}
    api.update_alias(**named, FunctionVersion="$LATEST")
    assert executed(1) == {"$LATEST"}
    api.delete_alias(**named)


def test_aliases_are_those_of_one_account_and_region(server: Any, api: Any, function: str, alias: str) -> None:
    api.create_alias(FunctionName=function, Name=alias, FunctionVersion="1")
    for elsewhere in (clients(server, account=OTHER_ACCOUNT), clients(server, region="eu-west-1")):
        make_function(elsewhere, function)
        try:
            assert shape(elsewhere.list_aliases(FunctionName=function)) == {"Aliases": []}
            assert refusal(elsewhere.get_alias, FunctionName=function, Name=alias).status == 404
            assert refusal(elsewhere.invoke, FunctionName=function, Qualifier=alias).status == 404
        finally:
            elsewhere.delete_function(FunctionName=function)
    assert api.get_alias(FunctionName=function, Name=alias)["FunctionVersion"] == "1"
    api.delete_alias(FunctionName=function, Name=alias)


def test_an_alias_and_its_routing_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    api = clients(crashing)
    make_function(api, "f", versions=2)
    made = shape(api.create_alias(FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=weights("2", 1.0)))
    crashing.kill()
    crashing.start()
    try:
        api = clients(crashing)
        assert shape(api.get_alias(FunctionName="f", Name="live")) == made
        assert api.invoke(FunctionName="f", Qualifier="live")["ExecutedVersion"] == "2"
    finally:
        assert crashing.stop() == 0

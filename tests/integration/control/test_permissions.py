"""Resource policies as boto3 uses them, against a running server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    Refusal,
    broken_constraint,
    clients,
    invalid,
    make_function,
    not_found,
    refusal,
    shape,
    status,
    unique,
)

NONE = not_found("The resource you requested does not exist.")
STALE = "The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve the latest "


@pytest.fixture(scope="module")
def function(api: Any) -> Iterator[str]:
    """With the version 1, and the alias `live` of it."""
    name = unique("shared")
    make_function(api, name, versions=1)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    api.delete_function(FunctionName=name)


@pytest.fixture(autouse=True)
def without_policies(api: Any, function: str) -> Iterator[None]:
    yield
    for suffix in ("", ":1", ":live"):
        try:
            api.delete_resource_policy(ResourceArn=ARNS + function + suffix)
        except api.exceptions.ResourceNotFoundException:
            continue


def permission(function: str, **more: Any) -> dict[str, Any]:
    return {
        "FunctionName": function,
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        **more,
    }


def stale(getter: str) -> Refusal:
    return Refusal(412, "PreconditionFailedException", STALE.format(getter) + "Revision Id", "User")


@pytest.mark.parametrize(
    ("more", "principal", "condition"),
    [
        ({}, {"Service": "s3.amazonaws.com"}, None),
        ({"Principal": OTHER_ACCOUNT}, {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}, None),
        (
            {"Principal": f"arn:aws:iam::{OTHER_ACCOUNT}:role/r"},
            {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:role/r"},
            None,
        ),
        ({"Principal": "*"}, "*", None),
        (
            {"SourceArn": "arn:aws:s3:::bucket", "SourceAccount": ACCOUNT},
            {"Service": "s3.amazonaws.com"},
            {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}},
        ),
        (
            {"Principal": "alexa-appkit.amazon.com", "EventSourceToken": "skill"},
            {"Service": "alexa-appkit.amazon.com"},
            {"StringEquals": {"lambda:EventSourceToken": "skill"}},
        ),
        (
            {"Principal": "*", "PrincipalOrgID": "o-0123456789"},
            "*",
            {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}},
        ),
        (
            {"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
            "*",
            {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        ),
        (
            {"Principal": "*", "InvokedViaFunctionUrl": True},
            "*",
            {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        ),
    ],
)
def test_each_member_is_in_the_statement_as_aws_renders_it(
    api: Any, function: str, more: dict[str, Any], principal: object, condition: object
) -> None:
    members = permission(function, **more)
    added = api.add_permission(**members)
    assert status(added) == 201
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": principal,
        "Action": members["Action"],
        "Resource": ARNS + function,
    }
    if condition is not None:
        statement["Condition"] = condition
    text = json.dumps(statement, separators=(",", ":"))
    assert shape(added) == {"Statement": text}
    shown = api.get_policy(FunctionName=function)
    assert shape(shown) == {
        "Policy": f'{{"Version":"2012-10-17","Id":"default","Statement":[{text}]}}',
        "RevisionId": shown["RevisionId"],
    }


def test_function_version_and_alias_have_a_policy_each(api: Any, function: str) -> None:
    for qualifier in (None, "1", "live"):
        named = {} if qualifier is None else {"Qualifier": qualifier}
        assert refusal(api.get_policy, FunctionName=function, **named) == NONE
        api.add_permission(**permission(function), **named)
    for qualifier in ("", ":1", ":live"):
        # The qualifier in the name is the same as beside it.
        document = json.loads(api.get_policy(FunctionName=ARNS + function + qualifier)["Policy"])
        assert [each["Resource"] for each in document["Statement"]] == [ARNS + function + qualifier]
    api.remove_permission(FunctionName=function, StatementId="s3", Qualifier="1")
    assert refusal(api.get_policy, FunctionName=function, Qualifier="1") == NONE
    for qualifier in ("", ":live"):
        assert api.get_policy(FunctionName=function + qualifier)["Policy"]


def test_permissions_are_added_and_removed_one_by_one(api: Any, function: str) -> None:
    before = api.get_function_configuration(FunctionName=function)["RevisionId"]
    api.add_permission(**permission(function, StatementId="one"))
    first = api.get_policy(FunctionName=function)["RevisionId"]
    api.add_permission(**permission(function, StatementId="two"), RevisionId=first)
    second = api.get_policy(FunctionName=function)["RevisionId"]
    assert first != second
    removed = api.remove_permission(FunctionName=function, StatementId="one", RevisionId=second)
    assert (status(removed), shape(removed)) == (204, {})
    left = api.get_policy(FunctionName=function)
    assert [each["Sid"] for each in json.loads(left["Policy"])["Statement"]] == ["two"]
    assert left["RevisionId"] not in (first, second)
    api.remove_permission(FunctionName=function, StatementId="two")
    assert refusal(api.get_policy, FunctionName=function) == NONE
    assert api.get_function_configuration(FunctionName=function)["RevisionId"] == before


def test_what_is_wrong_is_refused_in_awss_words_and_changes_nothing(api: Any, function: str) -> None:
    api.add_permission(**permission(function))
    before = shape(api.get_policy(FunctionName=function))

    def refused(**more: Any) -> Refusal:
        return refusal(api.add_permission, **{**permission(function, StatementId="new"), **more})

    assert refused(StatementId="s3") == Refusal(
        409,
        "ResourceConflictException",
        "The statement id (s3) provided already exists. "
        "Please provide a new statement id, or remove the existing statement.",
        "User",
    )
    assert refused(Qualifier="$LATEST") == invalid("We currently do not support adding policies for $LATEST.")
    assert refused(Principal="s3.example.com") == invalid(
        "The provided principal was invalid. Please check the principal and try again."
    )
    assert refused(FunctionUrlAuthType="NONE") == invalid(
        "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
    )
    assert refused(RevisionId="wrong") == stale("GetPolicy")
    assert refused(FunctionName="absent") == not_found(f"Function not found: {ARNS}absent")
    assert refused(Qualifier="7") == not_found(f"Function not found: {ARNS}{function}:7")
    assert refused(Qualifier="absent") == not_found(f"Cannot find alias arn: {ARNS}{function}:absent")
    for broken, member in (
        ({"StatementId": "a.b"}, "statementId"),
        ({"Action": "s3:GetObject"}, "action"),
        ({"Principal": "a b"}, "principal"),
        ({"SourceArn": "bucket"}, "sourceArn"),
        ({"SourceAccount": "1"}, "sourceAccount"),
        ({"EventSourceToken": "a b"}, "eventSourceToken"),
        ({"FunctionUrlAuthType": "SOME"}, "functionUrlAuthType"),
        ({"PrincipalOrgID": "o-1"}, "principalOrgID"),
    ):
        broken_constraint(refused(**broken), f"at '{member}'")

    def removed(**more: Any) -> Refusal:
        return refusal(api.remove_permission, **{"FunctionName": function, "StatementId": "s3", **more})

    assert removed(FunctionName="absent") == not_found(f"No policy found for: {ARNS}absent")
    assert removed(Qualifier="1") == not_found("No policy is associated with the given resource.")
    assert removed(StatementId="other") == not_found("Statement other is not found in resource policy.")
    assert removed(RevisionId="wrong") == stale("GetPolicy")
    assert refusal(api.get_policy, FunctionName="absent") == not_found(f"Function not found: {ARNS}absent")
    assert shape(api.get_policy(FunctionName=function)) == before


def test_where_there_is_no_policy_no_revision_is_the_right_one(api: Any, function: str) -> None:
    revision = api.get_function_configuration(FunctionName=function)["RevisionId"]
    assert refusal(api.add_permission, **permission(function), RevisionId=revision) == stale("GetPolicy")
    assert refusal(api.get_policy, FunctionName=function) == NONE


def test_a_policy_that_grows_too_long_is_refused(api: Any, function: str) -> None:
    def grow() -> None:
        for number in range(200):
            api.add_permission(**permission(function, StatementId=f"{number:04}".ljust(100, "x")))

    too_long = refusal(grow)
    assert (too_long.status, too_long.code) == (400, "PolicyLengthExceededException")
    size = int(too_long.message.split("(")[1].split(")")[0])
    assert too_long.message == f"The final policy size ({size}) is bigger than the limit (20480)."
    assert size > 20480 >= len(api.get_policy(FunctionName=function)["Policy"])


def policy(resource: str, **more: Any) -> str:
    statement = {
        "Sid": "whole",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": ["lambda:InvokeFunction", "lambda:GetFunction"],
        "Resource": resource,
        **more,
    }
    return json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": [statement]}, separators=(",", ":"))


@pytest.mark.parametrize("qualifier", ["", ":1", ":live"])
def test_a_whole_policy_is_put_shown_and_deleted_and_is_that_of_the_permissions(
    api: Any, function: str, qualifier: str
) -> None:
    arn = ARNS + function + qualifier
    assert refusal(api.get_resource_policy, ResourceArn=arn) == NONE
    put = api.put_resource_policy(ResourceArn=arn, Policy=policy(arn))
    assert status(put) == 200
    assert shape(put) == {"Policy": policy(arn), "RevisionId": put["RevisionId"]}
    assert shape(api.get_resource_policy(ResourceArn=arn)) == shape(put)
    assert shape(api.get_policy(FunctionName=arn)) == shape(put)

    api.add_permission(**permission(arn))
    both = api.get_resource_policy(ResourceArn=arn)
    assert [each["Sid"] for each in json.loads(both["Policy"])["Statement"]] == ["whole", "s3"]
    assert both["RevisionId"] != put["RevisionId"]
    api.remove_permission(FunctionName=arn, StatementId="whole")
    again = api.put_resource_policy(
        ResourceArn=arn,
        Policy=policy(arn, Sid="new"),
        RevisionId=api.get_policy(FunctionName=arn)["RevisionId"],
    )
    assert api.get_policy(FunctionName=arn)["Policy"] == policy(arn, Sid="new")

    deleted = api.delete_resource_policy(ResourceArn=arn, RevisionId=again["RevisionId"])
    assert (status(deleted), shape(deleted)) == (204, {})
    assert refusal(api.get_policy, FunctionName=arn) == NONE
    assert refusal(api.delete_resource_policy, ResourceArn=arn) == NONE


def test_a_whole_policy_that_is_wrong_is_refused_and_changes_nothing(api: Any, function: str) -> None:
    arn = ARNS + function
    wrong = "00000000-0000-0000-0000-000000000000"
    put = {"ResourceArn": arn, "Policy": policy(arn)}
    assert refusal(api.put_resource_policy, **put, RevisionId=wrong) == stale("GetResourcePolicy")
    before = shape(api.put_resource_policy(**put))
    for operation, members in ((api.put_resource_policy, put), (api.delete_resource_policy, {"ResourceArn": arn})):
        assert refusal(operation, **members, RevisionId=wrong) == stale("GetResourcePolicy")
        broken_constraint(refusal(operation, **members, RevisionId="r"), "at 'revisionId'")
    for principal in ("*", {"AWS": "*"}, {"AWS": [f"arn:aws:iam::{OTHER_ACCOUNT}:root", "*"]}):
        assert refusal(api.put_resource_policy, ResourceArn=arn, Policy=policy(arn, Principal=principal)) == Refusal(
            400,
            "PublicPolicyException",
            "The policy is not accepted, because it would give public access to the resource.",
            "User",
        )
    broken_constraint(refusal(api.put_resource_policy, ResourceArn=arn, Policy="x" * 20481), "at 'policy'")
    broken_constraint(refusal(api.put_resource_policy, ResourceArn=arn, Policy=""), "at 'policy'")
    latest = f"{arn}:$LATEST"
    assert refusal(api.put_resource_policy, ResourceArn=latest, Policy=policy(latest)) == invalid(
        "We currently do not support adding policies for $LATEST."
    )
    for operation, members in (
        (api.put_resource_policy, {"Policy": policy(arn)}),
        (api.get_resource_policy, {}),
        (api.delete_resource_policy, {}),
    ):
        absent = {"Policy": policy(f"{ARNS}absent")} if members else {}
        assert refusal(operation, ResourceArn=f"{ARNS}absent", **absent) == not_found(
            f"Function not found: {ARNS}absent"
        )
        runtime = f"arn:aws:lambda:us-east-1:{ACCOUNT}:runtime/mine"
        assert refusal(operation, ResourceArn=runtime, **members) == NONE
        broken_constraint(refusal(operation, ResourceArn=function, **members), "at 'resourceArn'")
        foreign = f"arn:aws:lambda:us-east-1:{OTHER_ACCOUNT}:function:{function}"
        assert refusal(operation, ResourceArn=foreign, **members).status == 403
    assert shape(api.get_resource_policy(ResourceArn=arn)) == before


STATEMENT = {
    "Sid": "one",
    "Effect": "Allow",
    "Principal": {"AWS": OTHER_ACCOUNT},
    "Action": "lambda:InvokeFunction",
    "Resource": "{arn}",
}


def stating(*statements: object, **members: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **members})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        (stating(STATEMENT, Id="@").replace('"@"', "NaN"), "it is not JSON"),
        ("[]", "it is not an object of Version, Id and Statement"),
        (stating(STATEMENT, Name="mine"), "it is not an object of Version, Id and Statement"),
        (stating(STATEMENT, Version="2012"), "its Version is neither 2012-10-17 nor 2008-10-17"),
        (stating(STATEMENT, Id=1), "its Id is not a string"),
        (stating(), "it has no Statement"),
        ("{}", "it has no Statement"),
        (stating("one"), "a statement is not an object"),
        (stating({**STATEMENT, "NotAction": "lambda:*"}), "a statement has NotAction"),
        (stating({**STATEMENT, "Sid": 1}), "a Sid is not a string"),
        (stating(STATEMENT, STATEMENT), "two statements have the same Sid"),
        (stating({**STATEMENT, "Effect": "Permit"}), "an Effect is neither Allow nor Deny"),
        (stating({**STATEMENT, "Principal": "someone"}), "a Principal is missing or malformed"),
        (stating({**STATEMENT, "Action": "s3:GetObject"}), "an Action is not one of Lambda's"),
        (stating({**STATEMENT, "Action": []}), "an Action is missing or malformed"),
        (stating({**STATEMENT, "Resource": "{arn}:1"}), "a Resource is not {arn}"),
        (stating({**STATEMENT, "Resource": None}), "a Resource is missing or malformed"),
        (stating({**STATEMENT, "Condition": {"StringEquals": {}}}), "a Condition is malformed"),
    ],
)
def test_a_document_that_is_no_policy_of_the_resource_is_refused(api: Any, function: str, text: str, why: str) -> None:
    arn = ARNS + function
    found = refusal(api.put_resource_policy, ResourceArn=arn, Policy=text.replace("{arn}", arn))
    assert found == invalid(f"The policy is not valid for this resource: {why.replace('{arn}', arn)}.")
    assert refusal(api.get_resource_policy, ResourceArn=arn) == NONE


def test_a_document_may_be_as_short_as_it_can(api: Any, function: str) -> None:
    arn = ARNS + function
    text = json.dumps({"Statement": {member: STATEMENT[member] for member in STATEMENT if member != "Sid"}})
    put = api.put_resource_policy(ResourceArn=arn, Policy=text.replace("{arn}", arn))
    (statement,) = json.loads(put["Policy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": OTHER_ACCOUNT},
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
    }


def test_a_document_may_say_what_iam_lets_it_say(api: Any, function: str) -> None:
    arn = ARNS + function
    condition = {
        "Bool": {"aws:SecureTransport": True, "aws:ViaAWSService": [False, "true"]},
        "NumericLessThan": {"aws:MultiFactorAuthAge": 3600, "aws:EpochTime": [1.5, "2"]},
    }
    spared = {member: value for member, value in STATEMENT.items() if member != "Principal"}
    statements = [
        {**STATEMENT, "Resource": arn, "Condition": condition},
        {**spared, "Sid": "two", "Effect": "Deny", "Resource": arn, "NotPrincipal": {"AWS": OTHER_ACCOUNT}},
    ]
    put = api.put_resource_policy(ResourceArn=arn, Policy=stating(*statements))
    assert json.loads(put["Policy"])["Statement"] == statements
    assert json.loads(api.get_policy(FunctionName=arn)["Policy"])["Statement"] == statements


def test_a_condition_that_anybody_meets_makes_no_policy_less_public(api: Any, function: str) -> None:
    arn = ARNS + function
    everybody = {**STATEMENT, "Resource": arn, "Principal": "*"}
    for operator, organisation in (("StringLike", "o-*"), ("StringNotEquals", "o-0123456789")):
        text = stating({**everybody, "Condition": {operator: {"aws:PrincipalOrgID": organisation}}})
        assert refusal(api.put_resource_policy, ResourceArn=arn, Policy=text).code == "PublicPolicyException"
    of_one = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}}
    assert status(api.put_resource_policy(ResourceArn=arn, Policy=stating({**everybody, **of_one}))) == 200


def test_a_policy_goes_with_what_it_is_for(api: Any) -> None:
    name = unique("going")
    make_function(api, name, versions=2)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    for qualifier in ("", ":1", ":live"):
        api.add_permission(**permission(name + qualifier))
    api.delete_function(FunctionName=name, Qualifier="1")
    api.delete_alias(FunctionName=name, Name="live")
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert refusal(api.get_policy, FunctionName=name, Qualifier="live") == NONE
    assert api.get_policy(FunctionName=name)["Policy"]
    api.delete_function(FunctionName=name)
    make_function(api, name)
    assert refusal(api.get_policy, FunctionName=name) == NONE
    api.delete_function(FunctionName=name)


def test_an_update_of_the_function_or_its_alias_leaves_the_policy(api: Any, function: str) -> None:
    for qualifier in ("", ":live"):
        api.add_permission(**permission(function + qualifier))
    before = [shape(api.get_policy(FunctionName=function + qualifier)) for qualifier in ("", ":live")]
    api.update_alias(FunctionName=function, Name="live", Description="other")
    api.update_function_configuration(FunctionName=function, Description="other")
    api.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.02})
    assert [shape(api.get_policy(FunctionName=function + qualifier)) for qualifier in ("", ":live")] == before


def test_policies_are_those_of_one_account_and_region(server: Any, api: Any, function: str) -> None:
    api.add_permission(**permission(function))
    for elsewhere in (clients(server, account=OTHER_ACCOUNT), clients(server, region="eu-west-1")):
        make_function(elsewhere, function)
        try:
            assert refusal(elsewhere.get_policy, FunctionName=function) == NONE
        finally:
            elsewhere.delete_function(FunctionName=function)
    assert api.get_policy(FunctionName=function)["Policy"]


def test_policies_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    api = clients(crashing)
    make_function(api, "f", versions=1)
    arn = f"{ARNS}f:1"
    api.add_permission(**permission("f"))
    api.put_resource_policy(ResourceArn=arn, Policy=policy(arn))
    made = [shape(api.get_policy(FunctionName=name)) for name in ("f", "f:1")]
    crashing.kill()
    crashing.start()
    try:
        api = clients(crashing)
        assert [shape(api.get_policy(FunctionName=name)) for name in ("f", "f:1")] == made
    finally:
        assert crashing.stop() == 0

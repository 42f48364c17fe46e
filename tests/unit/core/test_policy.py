import json
from typing import Any

import pytest

from lambent.core.policy import (
    Malformed,
    Policy,
    allows_account,
    document,
    find,
    is_public,
    principal_of,
    read_document,
    with_statement,
    without_statement,
)

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
ALLOWED: dict[str, Any] = {
    "Sid": "one",
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": ARN,
}


@pytest.mark.parametrize(
    ("text", "principal"),
    [
        ("*", "*"),
        ("s3.amazonaws.com", {"Service": "s3.amazonaws.com"}),
        ("lambda.amazonaws.com.cn", {"Service": "lambda.amazonaws.com.cn"}),
        ("alexa-appkit.amazon.com", {"Service": "alexa-appkit.amazon.com"}),
        ("123456789012", {"AWS": "arn:aws-cn:iam::123456789012:root"}),
        ("arn:aws-cn:iam::123456789012:role/r", {"AWS": "arn:aws-cn:iam::123456789012:role/r"}),
        ("nobody", None),
        ("12345678901", None),
        ("s3.example.com", None),
        ("arn:aws:s3:::bucket", None),
    ],
)
def test_a_principal_is_a_service_an_account_an_arn_or_everybody(text: str, principal: object) -> None:
    assert principal_of(text, "cn-north-1") == principal


def test_statements_come_and_go_and_the_last_takes_the_policy_along() -> None:
    one = with_statement(None, ALLOWED, "r1")
    two = with_statement(one, {**ALLOWED, "Sid": "two"}, "r2")
    assert document(two).startswith(
        '{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"one","Effect":"Allow",'
    )
    statement = find(two, "one")
    assert statement is not None
    left = without_statement(two, statement, "r3")
    assert left is not None
    assert (left.revision_id, [each["Sid"] for each in left.statements]) == ("r3", ["two"])
    assert without_statement(left, left.statements[0], "r4") is None
    assert find(None, "one") is None
    assert find(two, "three") is None


@pytest.mark.parametrize(
    ("principal", "more", "allowed"),
    [
        ("*", {}, True),
        ({"AWS": "arn:aws:iam::444455556666:root"}, {}, True),
        ({"AWS": ["arn:aws:iam::111122223333:root", "444455556666"]}, {}, True),
        ({"AWS": "arn:aws:iam::111122223333:root"}, {}, False),
        ({"Service": "s3.amazonaws.com"}, {}, False),
        ("*", {"Effect": "Deny"}, False),
        ("*", {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}}, False),
    ],
)
def test_an_account_is_allowed_by_name_or_with_everybody(
    principal: object, more: dict[str, Any], allowed: bool
) -> None:
    statement = {**ALLOWED, "Principal": principal, **more}
    assert allows_account(Policy("r", (statement,)), "444455556666") is allowed


@pytest.mark.parametrize(
    ("more", "public"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": ["123456789012", "*"]}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"AWS:SourceAccount": "123456789012"}}}, False),
        ({"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}}, False),
        *(
            ({"Principal": "*", "Condition": {operator: {key: values}}}, public)
            for operator, key, values, public in (
                # A value that stands for many, and a list that has one.
                ("StringLike", "aws:PrincipalOrgID", "*", True),
                ("StringLike", "aws:PrincipalOrgID", "o-?????", True),
                ("StringLike", "aws:PrincipalOrgID", ["o-0123456789", "o-*"], True),
                ("StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}", True),
                ("StringEquals", "aws:PrincipalOrgID", [], True),
                ("StringEquals", "aws:PrincipalOrgID", ["o-0123456789", "o-9876543210"], False),
                ("StringEquals", "aws:SourceAccount", 123456789012, False),
                # An ARN is of the account in it, or of what it names in full.
                ("ArnLike", "aws:SourceArn", "arn:aws:s3:::*", True),
                ("ArnLike", "aws:SourceArn", "arn:aws:sqs:*:*:q", True),
                ("ArnLike", "aws:SourceArn", "arn:aws:s3:::bucket", False),
                ("ArnLike", "aws:SourceArn", "arn:aws:sqs:*:123456789012:*", False),
                ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/r", True),
                # Operators that everybody else passes.
                ("StringNotEquals", "aws:PrincipalOrgID", "o-0123456789", True),
                ("StringEqualsIfExists", "aws:PrincipalOrgID", "o-0123456789", True),
                ("ForAllValues:StringEquals", "aws:PrincipalOrgID", "o-0123456789", True),
                ("Null", "aws:PrincipalOrgID", "false", True),
                ("ForAnyValue:StringEquals", "aws:PrincipalOrgID", "o-0123456789", False),
            )
        ),
        ({"Principal": "*", "Effect": "Deny"}, False),
        ({"NotPrincipal": "*", "Effect": "Deny"}, False),
        ({"Principal": {"AWS": "123456789012"}}, False),
        ({}, False),
    ],
)
def test_a_statement_is_public_when_it_lets_in_whoever_comes(more: dict[str, Any], public: bool) -> None:
    assert is_public({**ALLOWED, **more}) is public


def test_a_document_is_read_as_it_is_meant() -> None:
    given = {"Version": "2012-10-17", "Id": "mine", "Statement": [ALLOWED, {**ALLOWED, "Sid": "two"}]}
    policy = read_document(json.dumps(given, indent=1), ARN, "r")
    assert json.loads(document(policy)) == given
    # One statement need not be in a list, and an Id is not needed.
    alone = read_document(json.dumps({"Statement": ALLOWED}), ARN, "r")
    assert json.loads(document(alone)) == {"Version": "2008-10-17", "Statement": [ALLOWED]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"Version": NaN}', "not JSON"),
        ('{"Id": "\\ud800"}', "not JSON"),
        ("[]", "not an object"),
        ('{"Statements": []}', "not an object"),
        ('{"Version": "1"}', "Version"),
        ('{"Id": 1}', "Id"),
        ("{}", "no Statement"),
        ('{"Statement": []}', "no Statement"),
        ('{"Statement": ["x"]}', "not an object"),
    ],
)
def test_what_is_no_policy_is_malformed(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_document(text, ARN, "r")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"Sid": 1}, "Sid"),
        ({"Effect": "allow"}, "Effect"),
        ({"Principal": None}, "Principal"),
        ({"Principal": "123456789012"}, "Principal"),
        ({"Principal": {}}, "Principal"),
        ({"Principal": {"AWS": []}}, "Principal"),
        ({"Principal": {"AWS": [1]}}, "Principal"),
        ({"Principal": {"User": "x"}}, "Principal"),
        ({"Action": "s3:GetObject"}, "Action"),
        ({"Action": []}, "Action"),
        ({"Action": None}, "Action"),
        ({"Resource": ARN + ":1"}, "Resource"),
        ({"Resource": "*"}, "Resource"),
        ({"Condition": []}, "Condition"),
        ({"Condition": {"Bool": "x"}}, "Condition"),
        ({"Condition": {"Bool": {}}}, "Condition"),
        ({"Condition": {"NumericEquals": {"x": None}}}, "Condition"),
        ({"Condition": {"NumericEquals": {"x": {"y": 1}}}}, "Condition"),
        ({"Condition": {"NumericEquals": {"x": [[1]]}}}, "Condition"),
        ({"NotPrincipal": {"AWS": "123456789012"}}, "NotPrincipal"),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": "123456789012"}}, "Principal"),
        ({"NotAction": "x"}, "NotAction"),
    ],
)
def test_a_statement_that_is_not_for_the_resource_is_malformed(more: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_document(json.dumps({"Statement": [{**ALLOWED, **more}]}), ARN, "r")


def test_a_number_that_json_can_not_say_again_is_malformed() -> None:
    text = json.dumps({"Statement": [{**ALLOWED, "Condition": {"NumericEquals": {"x": 1}}}]})
    with pytest.raises(Malformed, match="Condition"):
        read_document(text.replace('"x": 1', '"x": 1e999'), ARN, "r")


def test_two_statements_of_one_sid_are_malformed() -> None:
    with pytest.raises(Malformed, match="same Sid"):
        read_document(json.dumps({"Statement": [ALLOWED, ALLOWED]}), ARN, "r")

"""IAM's role operations: what they answer, what they refuse, what they keep."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from iam_under_test import ACCOUNT, PERMISSIONS, TRUST, Iam

from lambent.core.errors import ModelledError
from lambent.identity.errors import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    InvalidInputException,
    LimitExceededException,
    MalformedPolicyDocumentException,
    NoSuchEntityException,
)

WithIam = Callable[..., None]
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


async def refused(error: type[ModelledError], asked: Any) -> str:
    with pytest.raises(error) as raised:
        await asked
    assert raised.value.members == {}
    assert raised.value.message is not None
    return raised.value.message


def test_a_created_role_is_shown_as_iam_shows_it(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        created = await iam.create(
            "worker", Path="/jobs/", Description="does it", Tags=[{"Key": "team", "Value": "red"}]
        )
        assert created["CreateDate"] >= before
        assert re.fullmatch(r"AROA[A-Z2-7]{17}", created["RoleId"])
        assert {key: created[key] for key in created.keys() - {"CreateDate", "RoleId"}} == {
            "Path": "/jobs/",
            "RoleName": "worker",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role/jobs/worker",
            "AssumeRolePolicyDocument": created["AssumeRolePolicyDocument"],
            "Tags": [{"Key": "team", "Value": "red"}],
        }
        document = created["AssumeRolePolicyDocument"]
        assert re.fullmatch(r"[A-Za-z0-9%._~-]+", document)
        assert "%20" in document
        assert unquote(document) == TRUST
        shown = (await iam.ask("GetRole", RoleName="worker"))["Role"]
        assert shown == {**created, "Description": "does it", "MaxSessionDuration": 3600, "RoleLastUsed": {}}

    with_iam(scenario)


def test_a_boundary_and_a_session_duration_are_kept(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        boundary = "arn:aws:iam::aws:policy/PowerUserAccess"
        await iam.create("worker", MaxSessionDuration=7200, PermissionsBoundary=boundary)
        role = (await iam.ask("GetRole", RoleName="worker"))["Role"]
        assert role["MaxSessionDuration"] == 7200
        assert role["PermissionsBoundary"] == {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": boundary,
        }

    with_iam(scenario)


def test_roles_survive_a_restart(with_iam: WithIam) -> None:
    async def create(iam: Iam) -> None:
        await iam.create("worker")
        await iam.ask("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)

    async def find(iam: Iam) -> None:
        assert (await iam.ask("GetRole", RoleName="worker"))["Role"]["RoleName"] == "worker"
        await refused(DeleteConflictException, iam.ask("DeleteRole", RoleName="worker"))

    with_iam(create)
    with_iam(find)


def test_a_name_is_taken_once_whatever_its_case(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        assert await refused(EntityAlreadyExistsException, iam.create("worker")) == (
            "Role with name worker already exists."
        )
        await refused(EntityAlreadyExistsException, iam.create("Worker"))
        outcomes = await asyncio.gather(*(iam.create("other") for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(outcome, EntityAlreadyExistsException) for outcome in outcomes) == 4

    with_iam(scenario)


def test_accounts_do_not_share_roles(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        await refused(NoSuchEntityException, iam.ask("GetRole", account="999999999999", RoleName="worker"))
        assert (await iam.ask("ListRoles", account="999999999999"))["Roles"] == []

    with_iam(scenario)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetRole", {}),
        ("DeleteRole", {}),
        ("AttachRolePolicy", {"PolicyArn": BASIC}),
        ("DetachRolePolicy", {"PolicyArn": BASIC}),
        ("PutRolePolicy", {"PolicyName": "p", "PolicyDocument": PERMISSIONS}),
        ("DeleteRolePolicy", {"PolicyName": "p"}),
    ],
)
def test_a_role_that_is_not_there_can_not_be_found(with_iam: WithIam, operation: str, params: dict[str, str]) -> None:
    async def scenario(iam: Iam) -> None:
        message = await refused(NoSuchEntityException, iam.ask(operation, RoleName="nobody", **params))
        assert message == "The role with name nobody cannot be found."

    with_iam(scenario)


def test_a_role_is_deleted_only_when_its_policies_are_gone(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        for _ in range(2):
            await iam.ask("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)
        await iam.ask("PutRolePolicy", RoleName="worker", PolicyName="p", PolicyDocument=PERMISSIONS)
        assert await refused(DeleteConflictException, iam.ask("DeleteRole", RoleName="worker")) == (
            "Cannot delete entity, must detach all policies first."
        )
        await iam.ask("DetachRolePolicy", RoleName="worker", PolicyArn=BASIC)
        assert await refused(DeleteConflictException, iam.ask("DeleteRole", RoleName="worker")) == (
            "Cannot delete entity, must delete policies first."
        )
        await iam.ask("DeleteRolePolicy", RoleName="worker", PolicyName="p")
        assert await iam.ask("DeleteRole", RoleName="worker") == {}
        await refused(NoSuchEntityException, iam.ask("GetRole", RoleName="worker"))
        await iam.create("worker")

    with_iam(scenario)


def test_a_policy_that_is_not_there_can_not_be_taken_away(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        assert await refused(
            NoSuchEntityException, iam.ask("DetachRolePolicy", RoleName="worker", PolicyArn=BASIC)
        ) == (f"Policy {BASIC} was not found.")
        assert await refused(NoSuchEntityException, iam.ask("DeleteRolePolicy", RoleName="worker", PolicyName="p")) == (
            "The role policy with name p cannot be found."
        )

    with_iam(scenario)


def test_quotas_of_a_role_are_kept(with_iam: WithIam) -> None:
    big = json.dumps({"Statement": {"Effect": "Allow", "Action": ["s3:" + "x" * 6000], "Resource": "*"}})
    long_trust = TRUST.replace("sts:AssumeRole", "sts:AssumeRole" + "x" * 2048)

    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        for number in range(10):
            await iam.ask("AttachRolePolicy", RoleName="worker", PolicyArn=f"arn:aws:iam::aws:policy/P{number}")
        assert await refused(
            LimitExceededException, iam.ask("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)
        ) == ("Cannot exceed quota for PoliciesPerRole: 10")
        await iam.ask("PutRolePolicy", RoleName="worker", PolicyName="a", PolicyDocument=big)
        await iam.ask("PutRolePolicy", RoleName="worker", PolicyName="a", PolicyDocument=big)
        await refused(
            LimitExceededException,
            iam.ask("PutRolePolicy", RoleName="worker", PolicyName="b", PolicyDocument=big),
        )
        await refused(
            LimitExceededException, iam.ask("CreateRole", RoleName="long", AssumeRolePolicyDocument=long_trust)
        )

    with_iam(scenario)


def test_a_policy_arn_has_the_form_of_one(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        message = await refused(
            InvalidInputException,
            iam.ask("AttachRolePolicy", RoleName="worker", PolicyArn="arn:aws:iam::aws:role/nonsense"),
        )
        assert message == "ARN arn:aws:iam::aws:role/nonsense is not valid."

    with_iam(scenario)


def test_duplicate_tag_keys_are_refused(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        await refused(
            InvalidInputException,
            iam.create("worker", Tags=[{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]),
        )

    with_iam(scenario)


STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("not json", "This policy contains invalid Json"),
        ("[" * 100_000, "This policy contains invalid Json"),
        ("[]", "Syntax errors in policy."),
        ('{"Version": "2012-10-17"}', "Syntax errors in policy."),
        (json.dumps({"Version": "2020-01-01", "Statement": [STATEMENT]}), "Syntax errors in policy."),
        (json.dumps({"Statement": [{**STATEMENT, "Effect": "Perhaps"}]}), "Syntax errors in policy."),
        (json.dumps({"Statement": [{**STATEMENT, "Resource": "*"}]}), "Has prohibited field Resource"),
        (json.dumps({"Statement": {"Effect": "Allow", "Action": "x"}}), "Missing required field Principal"),
        (json.dumps({"Statement": {"Effect": "Allow", "Principal": "*"}}), "Missing required field Action"),
    ],
)
def test_a_malformed_trust_policy_is_refused(with_iam: WithIam, document: str, message: str) -> None:
    async def scenario(iam: Iam) -> None:
        asked = iam.ask("CreateRole", RoleName="worker", AssumeRolePolicyDocument=document)
        assert await refused(MalformedPolicyDocumentException, asked) == message

    with_iam(scenario)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "Syntax errors in policy."),
        (json.dumps({"Statement": STATEMENT}), "Policy document should not specify a principal."),
        (json.dumps({"Statement": {"Effect": "Deny", "Resource": "*"}}), "Policy statement must contain actions."),
        (json.dumps({"Statement": {"Effect": "Deny", "Action": "*"}}), "Policy statement must contain resources."),
    ],
)
def test_a_malformed_inline_policy_is_refused(with_iam: WithIam, document: str, message: str) -> None:
    async def scenario(iam: Iam) -> None:
        await iam.create("worker")
        asked = iam.ask("PutRolePolicy", RoleName="worker", PolicyName="p", PolicyDocument=document)
        assert await refused(MalformedPolicyDocumentException, asked) == message

    with_iam(scenario)


def test_roles_are_listed_in_pages_by_name_and_by_path(with_iam: WithIam) -> None:
    async def scenario(iam: Iam) -> None:
        for number, path in enumerate(("/a/", "/b/", "/a/c/", "/", "/a/")):
            await iam.create(f"role{number}", Path=path, Description=f"number {number}")
        seen: list[str] = []
        params: dict[str, Any] = {"MaxItems": 2}
        while True:
            answer = await iam.ask("ListRoles", **params)
            seen += [role["RoleName"] for role in answer["Roles"]]
            if not answer["IsTruncated"]:
                assert answer["Marker"] is None
                break
            params["Marker"] = answer["Marker"]
        assert seen == [f"role{number}" for number in range(5)]
        below = (await iam.ask("ListRoles", PathPrefix="/a/"))["Roles"]
        assert [role["RoleName"] for role in below] == ["role0", "role2", "role4"]
        assert below[0]["Description"] == "number 0"
        await refused(InvalidInputException, iam.ask("ListRoles", Marker="%%%"))

    with_iam(scenario)

"""What a deployment script does first, by boto3."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lambent.testing.front_door import ACCOUNT, OpenFrontDoor

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
PERMISSIONS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def test_a_role_lives_and_dies(door: OpenFrontDoor) -> None:
    iam = door.client("iam")
    created = iam.create_role(
        RoleName="worker",
        Path="/jobs/",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Description="does it",
        Tags=[{"Key": "team", "Value": "red + blue"}],
    )["Role"]
    assert created["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/jobs/worker"
    assert created["AssumeRolePolicyDocument"] == TRUST
    assert datetime.now(UTC) - created["CreateDate"] < timedelta(minutes=1)
    iam.get_waiter("role_exists").wait(RoleName="worker", WaiterConfig={"Delay": 0, "MaxAttempts": 1})

    iam.attach_role_policy(RoleName="worker", PolicyArn=BASIC)
    iam.put_role_policy(RoleName="worker", PolicyName="p", PolicyDocument=json.dumps(PERMISSIONS))
    role = iam.get_role(RoleName="worker")["Role"]
    assert role["AssumeRolePolicyDocument"] == TRUST
    assert role["MaxSessionDuration"] == 3600
    assert role["Tags"] == [{"Key": "team", "Value": "red + blue"}]
    (listed,) = iam.get_paginator("list_roles").paginate(PathPrefix="/jobs/").build_full_result()["Roles"]
    assert listed["RoleName"] == "worker"
    assert listed["Description"] == "does it"

    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName="worker")
    iam.detach_role_policy(RoleName="worker", PolicyArn=BASIC)
    iam.delete_role_policy(RoleName="worker", PolicyName="p")
    iam.delete_role(RoleName="worker")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="worker")


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [(json.dumps(TRUST), 409, "EntityAlreadyExists"), ("not json", 400, "MalformedPolicyDocument")],
)
def test_errors_have_iams_codes_and_statuses(door: OpenFrontDoor, document: str, status: int, code: str) -> None:
    iam = door.client("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST))
    with pytest.raises(iam.exceptions.ClientError) as raised:
        iam.create_role(RoleName="worker", AssumeRolePolicyDocument=document)
    answer = raised.value.response
    assert answer["Error"]["Code"] == code
    assert answer["Error"]["Type"] == "Sender"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status


def test_many_roles_come_in_pages(door: OpenFrontDoor) -> None:
    iam = door.client("iam")
    names = [f"role{number:02d}" for number in range(7)]
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Roles"]) for page in pages] == [3, 3, 1]
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names


def test_sts_tells_who_asks(door: OpenFrontDoor) -> None:
    root = door.client("sts").get_caller_identity()
    assert (root["Account"], root["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    unknown = door.client("sts", key="AKIAIOSFODNN7EXAMPLE").get_caller_identity()
    assert unknown["Account"] == "000000000000"
    role = door.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    issued = door.issued.issue(ACCOUNT, role["Arn"], "echo")
    session = door.client("sts", issued.access_key_id, issued.secret_access_key, issued.session_token)
    identity = session.get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/echo"
    assert identity["UserId"] == f"{role['RoleId']}:echo"

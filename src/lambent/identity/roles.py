"""IAM's roles: CreateRole, GetRole, ListRoles, DeleteRole, and their policies.

Roles belong to an account, whatever region a request is signed for. They are stored and given back; what their
policies allow is not evaluated yet. Managed policies are ARNs here: any of the right form can be attached, since there
is no CreatePolicy by which one could exist or not.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from lambent.clock import Clock
from lambent.identity.credentials import role_id_of
from lambent.identity.errors import (
    DeleteConflictException,
    EntityAlreadyExistsException,
    InvalidInputException,
    LimitExceededException,
    NoSuchEntityException,
)
from lambent.identity.policy_documents import check_permissions_policy, check_trust_policy
from lambent.store import roles as stored
from lambent.store.metadata import MetadataStore
from lambent.store.roles import Role
from lambent.wire.call import Call

# Quotas of IAM ("IAM and AWS STS quotas", IAM user guide), the defaults.
_ROLES_PER_ACCOUNT = 1000
_ATTACHED_PER_ROLE = 10
_TRUST_CHARS = 2048
_INLINE_CHARS = 10_240

_PAGE = 100
_POLICY_ARN = re.compile(r"arn:aws[\w-]*:iam::(aws|\d{12}):policy/[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Roles:
    """What the operations work with."""

    store: MetadataStore
    clock: Clock


async def create_role(deps: Roles, call: Call) -> Mapping[str, Any]:
    params = call.params
    name, path, trust = params["RoleName"], params.get("Path", "/"), params["AssumeRolePolicyDocument"]
    check_trust_policy(trust)
    if _counted(trust) > _TRUST_CHARS:
        raise LimitExceededException(f"Cannot exceed quota for ACLSizePerRole: {_TRUST_CHARS}")
    tags = tuple((tag["Key"], tag["Value"]) for tag in params.get("Tags", ()))
    if len({key.lower() for key, _ in tags}) < len(tags):
        raise InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    arn = f"arn:{call.partition}:iam::{call.caller.account}:role{path}{name}"
    role = Role(
        account=call.caller.account,
        name=name,
        path=path,
        arn=arn,
        role_id=role_id_of(arn),
        created_ms=deps.clock.wall_ms(),
        trust=trust,
        description=params.get("Description"),
        max_session_s=params.get("MaxSessionDuration", 3600),
        permissions_boundary=params.get("PermissionsBoundary"),
        tags=tags,
    )

    def insert(connection: Connection) -> None:
        if stored.count(connection, role.account) >= _ROLES_PER_ACCOUNT:
            raise LimitExceededException(f"Cannot exceed quota for RolesPerAccount: {_ROLES_PER_ACCOUNT}")
        stored.insert(connection, role)

    try:
        await deps.store.run(insert)
    except stored.AlreadyExists:
        raise EntityAlreadyExistsException(f"Role with name {name} already exists.") from None
    return {"Role": {**_outline(role), **_boundary(role), "Tags": _tags(role)}}


async def get_role(deps: Roles, call: Call) -> Mapping[str, Any]:
    account, name = call.caller.account, call.params["RoleName"]
    role = await deps.store.read(lambda connection: _existing(connection, account, name))
    return {
        "Role": {
            **_outline(role),
            **_details(role),
            **_boundary(role),
            "Tags": _tags(role),
            "RoleLastUsed": {},
        }
    }


async def list_roles(deps: Roles, call: Call) -> Mapping[str, Any]:
    params = call.params
    account, limit = call.caller.account, params.get("MaxItems", _PAGE)
    after_name = _name_in(params["Marker"]) if "Marker" in params else ""
    found = await deps.store.read(
        lambda connection: stored.list_roles(
            connection,
            account,
            path_prefix=params.get("PathPrefix", "/"),
            after_name=after_name,
            limit=limit + 1,
        )
    )
    more = len(found) > limit
    return {
        "Roles": [{**_outline(role), **_details(role)} for role in found[:limit]],
        "IsTruncated": more,
        "Marker": base64.urlsafe_b64encode(found[limit - 1].name.encode()).decode() if more else None,
    }


async def delete_role(deps: Roles, call: Call) -> Mapping[str, Any]:
    account, name = call.caller.account, call.params["RoleName"]

    def delete(connection: Connection) -> None:
        role = _existing(connection, account, name)
        if role.attached:
            raise DeleteConflictException("Cannot delete entity, must detach all policies first.")
        if role.inline:
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        stored.delete(connection, account, name)

    await deps.store.run(delete)
    return {}


async def attach_role_policy(deps: Roles, call: Call) -> Mapping[str, Any]:
    arn = _policy_arn(call)

    def attach(role: Role) -> Role:
        if arn in role.attached:
            return role
        if len(role.attached) >= _ATTACHED_PER_ROLE:
            raise LimitExceededException(f"Cannot exceed quota for PoliciesPerRole: {_ATTACHED_PER_ROLE}")
        return replace(role, attached=(*role.attached, arn))

    return await _change(deps, call, attach)


async def detach_role_policy(deps: Roles, call: Call) -> Mapping[str, Any]:
    arn = _policy_arn(call)

    def detach(role: Role) -> Role:
        if arn not in role.attached:
            raise NoSuchEntityException(f"Policy {arn} was not found.")
        return replace(role, attached=tuple(other for other in role.attached if other != arn))

    return await _change(deps, call, detach)


async def put_role_policy(deps: Roles, call: Call) -> Mapping[str, Any]:
    policy, document = call.params["PolicyName"], call.params["PolicyDocument"]
    check_permissions_policy(document)

    def put(role: Role) -> Role:
        inline = {**role.inline, policy: document}
        if sum(_counted(text) for text in inline.values()) > _INLINE_CHARS:
            raise LimitExceededException(f"Maximum policy size of {_INLINE_CHARS} bytes exceeded for role {role.name}")
        return replace(role, inline=inline)

    return await _change(deps, call, put)


async def delete_role_policy(deps: Roles, call: Call) -> Mapping[str, Any]:
    policy = call.params["PolicyName"]

    def delete(role: Role) -> Role:
        if policy not in role.inline:
            raise NoSuchEntityException(f"The role policy with name {policy} cannot be found.")
        return replace(role, inline={name: text for name, text in role.inline.items() if name != policy})

    return await _change(deps, call, delete)


async def _change(deps: Roles, call: Call, change: Callable[[Role], Role]) -> Mapping[str, Any]:
    account, name = call.caller.account, call.params["RoleName"]
    await deps.store.run(lambda connection: stored.replace(connection, change(_existing(connection, account, name))))
    return {}


def _existing(connection: Connection, account: str, name: str) -> Role:
    role = stored.get(connection, account, name)
    if role is None:
        raise NoSuchEntityException(f"The role with name {name} cannot be found.")
    return role


def _policy_arn(call: Call) -> str:
    arn: str = call.params["PolicyArn"]
    if not _POLICY_ARN.fullmatch(arn):
        raise InvalidInputException(f"ARN {arn} is not valid.")
    return arn


def _counted(document: str) -> int:
    """The size of a document as IAM counts it: without white space."""
    return len("".join(document.split()))


def _name_in(marker: str) -> str:
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInputException(f"Invalid Marker: {marker}") from None


def _outline(role: Role) -> dict[str, Any]:
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.role_id,
        "Arn": role.arn,
        "CreateDate": datetime.fromtimestamp(role.created_ms // 1000, UTC),
        # IAM answers with documents percent-encoded (RFC 3986); the SDKs decode them.
        "AssumeRolePolicyDocument": quote(role.trust, safe=""),
    }


def _details(role: Role) -> dict[str, Any]:
    return {"Description": role.description, "MaxSessionDuration": role.max_session_s}


def _boundary(role: Role) -> dict[str, Any]:
    if role.permissions_boundary is None:
        return {}
    return {
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": role.permissions_boundary,
        }
    }


def _tags(role: Role) -> list[dict[str, str]] | None:
    return [{"Key": key, "Value": value} for key, value in role.tags] or None


OPERATIONS = {
    "CreateRole": create_role,
    "GetRole": get_role,
    "ListRoles": list_roles,
    "DeleteRole": delete_role,
    "AttachRolePolicy": attach_role_policy,
    "DetachRolePolicy": detach_role_policy,
    "PutRolePolicy": put_role_policy,
    "DeleteRolePolicy": delete_role_policy,
}

"""Resource policies: documents of statements that say who else may use a function or a layer version.

Decisions over plain data. The JSON is AWS's own, members in its order, without spaces.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lambent.core.arn import partition_of
from lambent.core.record import Record

Statement = dict[str, Any]

_ACCOUNT = re.compile(r"\d{12}")
_ROOT = re.compile(r"arn:aws[a-zA-Z-]*:iam::(\d{12}):root")
_PRINCIPAL_ARN = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::\d{12}:.+")
_SERVICE = re.compile(r"[a-zA-Z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)")
_NARROWING_ARNS = frozenset(("aws:principalarn", "aws:sourcearn"))
_NARROWING = _NARROWING_ARNS | {
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "lambda:eventsourcetoken",
}
"""Keys of conditions under which a statement for everybody is one for somebody, if their values are fixed."""
_EQUALITIES = frozenset(("stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"))
"""Operators that hold for the values of a condition alone, and not where its key is absent."""
_OPEN = re.compile(r"[*?]|\$\{")
"""What makes a value one of many: a wildcard, or a variable. Source: S3 user guide, "The meaning of public", which
tells it of the same setting."""


class Policy(Record, frozen=True):
    """A document of at least one statement. `revision_id` is new at each change."""

    revision_id: str
    statements: tuple[Statement, ...]
    version: str = "2012-10-17"
    policy_id: str | None = "default"


def render(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=False)


def document(policy: Policy) -> str:
    """The policy as GetPolicy shows it."""
    members: dict[str, Any] = {"Version": policy.version}
    if policy.policy_id is not None:
        members["Id"] = policy.policy_id
    return render({**members, "Statement": list(policy.statements)})


def principal_of(text: str, region: str) -> object | None:
    """The Principal of a statement for what a caller names: a service, an account, an ARN, or everybody. None for
    what can be no principal."""
    if text == "*":
        return text
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:{partition_of(region)}:iam::{text}:root"}
    if _PRINCIPAL_ARN.fullmatch(text):
        return {"AWS": text}
    return {"Service": text} if _SERVICE.fullmatch(text) else None


def find(policy: Policy | None, statement_id: str) -> Statement | None:
    for statement in () if policy is None else policy.statements:
        if statement.get("Sid") == statement_id:
            return statement
    return None


def with_statement(policy: Policy | None, statement: Statement, revision_id: str) -> Policy:
    if policy is None:
        return Policy(revision_id, (statement,))
    return Policy(revision_id, (*policy.statements, statement), policy.version, policy.policy_id)


def without_statement(policy: Policy, statement: Statement, revision_id: str) -> Policy | None:
    """None when it was the last one: then there is no policy any more."""
    left = tuple(one for one in policy.statements if one is not statement)
    return Policy(revision_id, left, policy.version, policy.policy_id) if left else None


def allows_account(policy: Policy | None, account: str) -> bool:
    """Whether statements without a condition give another account what the policy is about. Organisations are not
    known here, so a statement for the members of one gives nothing."""
    return any(
        statement["Effect"] == "Allow" and "Condition" not in statement and _names(statement["Principal"], account)
        for statement in (() if policy is None else policy.statements)
    )


def _names(principal: object, account: str) -> bool:
    for text in _texts_of(principal):
        root = _ROOT.fullmatch(text)
        if text in ("*", account) or (root is not None and root[1] == account):
            return True
    return False


def is_public(statement: Mapping[str, Any]) -> bool:
    """The statement gives something to everybody, whoever and wherever they are."""
    if statement["Effect"] != "Allow" or "*" not in _texts_of(statement["Principal"]):
        return False
    return not any(
        operator.lower().removeprefix("foranyvalue:") in _EQUALITIES and _is_narrowing(key.lower(), values)
        for operator, keys in (statement.get("Condition") or {}).items()
        for key, values in keys.items()
    )


def _is_narrowing(key: str, values: object) -> bool:
    """Every one of the values, of which any may be met, is of somebody."""
    if key not in _NARROWING:
        return False
    texts = [str(value) for value in (values if isinstance(values, list) else [values])]
    return bool(texts) and not any(_is_open(key, text) for text in texts)


def _is_open(key: str, text: str) -> bool:
    """An ARN may leave open what it is of, as long as it names the account that this belongs to."""
    parts = text.split(":", 5)
    if key in _NARROWING_ARNS and len(parts) == 6 and _ACCOUNT.fullmatch(parts[4]):
        return False
    return _OPEN.search(text) is not None


def _texts_of(principal: object) -> Sequence[str]:
    if isinstance(principal, str):
        return [principal]
    assert isinstance(principal, dict)
    values = principal.get("AWS", ())
    return [values] if isinstance(values, str) else list(values)


class Malformed(Exception):
    """The text is no policy for the resource. The message says why."""


def read_document(text: str, resource: str, revision_id: str) -> Policy:
    """The policy in a document that a caller wrote for the resource with this ARN. Raises Malformed."""
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        # Half of a surrogate pair can be written as an escape only, and be sent by nobody.
        render(content).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed("it is not JSON") from error
    if not isinstance(content, dict) or content.keys() - {"Version", "Id", "Statement"}:
        raise Malformed("it is not an object of Version, Id and Statement")
    version = content.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        raise Malformed("its Version is neither 2012-10-17 nor 2008-10-17")
    policy_id = content.get("Id")
    if policy_id is not None and not isinstance(policy_id, str):
        raise Malformed("its Id is not a string")
    given = content.get("Statement")
    statements = [given] if isinstance(given, dict) else given
    if not isinstance(statements, list) or not statements:
        raise Malformed("it has no Statement")
    for statement in statements:
        _check_statement(statement, resource)
    sids = [statement["Sid"] for statement in statements if "Sid" in statement]
    if len(sids) != len(set(sids)):
        raise Malformed("two statements have the same Sid")
    return Policy(revision_id, tuple(statements), version, policy_id)


def _refuse_constant(name: str) -> None:
    """NaN and the infinities are Python's own."""
    raise ValueError(name)


def _check_statement(statement: object, resource: str) -> None:
    if not isinstance(statement, dict):
        raise Malformed("a statement is not an object")
    # Whom a denial spares can be told; whom a permission is not for would be everybody else.
    principal = "NotPrincipal" if statement.get("Effect") == "Deny" and "NotPrincipal" in statement else "Principal"
    unknown = statement.keys() - {"Sid", "Effect", principal, "Action", "Resource", "Condition"}
    if unknown:
        raise Malformed(f"a statement has {', '.join(sorted(unknown))}")
    if not isinstance(statement.get("Sid", ""), str):
        raise Malformed("a Sid is not a string")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise Malformed("an Effect is neither Allow nor Deny")
    if not _is_principal(statement.get(principal)):
        raise Malformed(f"a {principal} is missing or malformed")
    if not all(re.fullmatch(r"\*|lambda:[a-zA-Z*]+", action) for action in _list_of(statement, "Action")):
        raise Malformed("an Action is not one of Lambda's")
    if any(named != resource for named in _list_of(statement, "Resource")):
        raise Malformed(f"a Resource is not {resource}")
    if not _is_condition(statement.get("Condition", {})):
        raise Malformed("a Condition is malformed")


def _is_condition(condition: object) -> bool:
    return isinstance(condition, dict) and all(
        isinstance(keys, dict)
        and bool(keys)
        and all(
            _is_value(value) for values in keys.values() for value in (values if isinstance(values, list) else [values])
        )
        for keys in condition.values()
    )


def _is_value(value: object) -> bool:
    """What a condition compares with: also numbers and truth values, which IAM takes as they are."""
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _list_of(statement: Mapping[str, Any], member: str) -> list[str]:
    given = statement.get(member)
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Malformed(f"{'an' if member[0] in 'AEIOU' else 'a'} {member} is missing or malformed")
    return texts


def _is_principal(principal: object) -> bool:
    if isinstance(principal, str):
        return principal == "*"
    return (
        isinstance(principal, dict)
        and bool(principal)
        and not principal.keys() - {"AWS", "Service", "Federated", "CanonicalUser"}
        and all(
            isinstance(value, str)
            or (isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value))
            for value in principal.values()
        )
    )

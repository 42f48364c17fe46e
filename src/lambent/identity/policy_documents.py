"""What IAM asks of a policy document's form before it stores one. What the policies allow is not evaluated yet."""

from typing import Any

import msgspec

from lambent.identity.errors import MalformedPolicyDocumentException

_VERSIONS = ("2008-10-17", "2012-10-17")


def check_trust_policy(document: str) -> None:
    """A role's AssumeRolePolicyDocument. Raises MalformedPolicyDocumentException with IAM's text."""
    try:
        policy = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedPolicyDocumentException("This policy contains invalid Json") from None
    for statement in _statements(policy):
        for field in ("Resource", "NotResource"):
            if field in statement:
                raise MalformedPolicyDocumentException(f"Has prohibited field {field}")
        if not {"Principal", "NotPrincipal"} & statement.keys():
            raise MalformedPolicyDocumentException("Missing required field Principal")
        if not {"Action", "NotAction"} & statement.keys():
            raise MalformedPolicyDocumentException("Missing required field Action")


def check_permissions_policy(document: str) -> None:
    """The document of an inline policy. Raises MalformedPolicyDocumentException with IAM's text."""
    try:
        policy = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedPolicyDocumentException("Syntax errors in policy.") from None
    for statement in _statements(policy):
        if {"Principal", "NotPrincipal"} & statement.keys():
            raise MalformedPolicyDocumentException("Policy document should not specify a principal.")
        if not {"Action", "NotAction"} & statement.keys():
            raise MalformedPolicyDocumentException("Policy statement must contain actions.")
        if not {"Resource", "NotResource"} & statement.keys():
            raise MalformedPolicyDocumentException("Policy statement must contain resources.")


def _statements(policy: Any) -> list[dict[str, Any]]:
    """The statements of a policy whose outline is as the grammar of IAM's policies has it."""
    if not isinstance(policy, dict) or policy.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise MalformedPolicyDocumentException("Syntax errors in policy.")
    found = policy.get("Statement")
    statements = [found] if isinstance(found, dict) else found
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicyDocumentException("Syntax errors in policy.")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise MalformedPolicyDocumentException("Syntax errors in policy.")
    return statements

"""Changes of a resource policy, with AWS's conditions and texts: what functions and layer versions have in common.

Decisions, no I/O: they are made in the transaction that read the policy.
"""

from collections.abc import Callable

from lambent.core.errors import (
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambent.core.limits import RESOURCE_POLICY_BYTES
from lambent.core.policy import Policy, Statement, document, find, with_statement, without_statement

NO_POLICY = "No policy is associated with the given resource."


def check_policy_revision(policy: Policy | None, expected: str | None, getter: str) -> None:
    """`getter` is the operation that shows the revision. Where there is no policy, no revision is the right one."""
    if expected and (policy is None or policy.revision_id != expected):
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {getter} API to retrieve the latest Revision Id"
        )


def check_length(policy: Policy) -> None:
    size = len(document(policy).encode())
    if size > RESOURCE_POLICY_BYTES:
        raise PolicyLengthExceededException(
            f"The final policy size ({size}) is bigger than the limit ({RESOURCE_POLICY_BYTES})."
        )


def add_statement(before: Policy | None, statement: Statement, revision_id: str) -> Policy:
    if find(before, statement["Sid"]) is not None:
        raise ResourceConflictException(
            f"The statement id ({statement['Sid']}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    after = with_statement(before, statement, revision_id)
    check_length(after)
    return after


def remove_statement(
    before: Policy | None, statement_id: str, expected: str | None, getter: str, *, new_id: Callable[[], str]
) -> Policy | None:
    """The policy without the statement, None when nothing is left of it."""
    if before is None:
        raise ResourceNotFoundException(NO_POLICY)
    statement = find(before, statement_id)
    if statement is None:
        raise ResourceNotFoundException(f"Statement {statement_id} is not found in resource policy.")
    check_policy_revision(before, expected, getter)
    return without_statement(before, statement, new_id())

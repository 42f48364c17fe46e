"""The operations of the IAM and STS APIs that Lambent has."""

from functools import partial

from lambent.identity import roles, sessions
from lambent.identity.roles import Roles
from lambent.wire.call import Operation


def iam_operations(deps: Roles) -> dict[str, Operation]:
    """Operations of the `iam` service by operation name, bound to what they work with."""
    return {name: partial(operation, deps) for name, operation in roles.OPERATIONS.items()}


def sts_operations() -> dict[str, Operation]:
    """Operations of the `sts` service by operation name."""
    return dict(sessions.OPERATIONS)

"""Who sent a request, as the identity layer established it."""

from lambent.core.record import Record


class Caller(Record, frozen=True):
    """The principal behind a request.

    `account` is the 12-digit account id, `arn` the principal's ARN (`arn:aws:iam::ACCOUNT:root` or
    `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`), `user_id` what STS GetCallerIdentity shows as UserId.
    """

    account: str
    arn: str
    user_id: str

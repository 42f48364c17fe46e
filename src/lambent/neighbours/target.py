"""What the ARN of a destination or a dead-letter queue names."""

from lambent.core.invocation_record import DeliveryFailed
from lambent.core.record import Record


class Target(Record, frozen=True):
    """`resource` is all that follows the account. `region` and `account` are empty for a bucket."""

    arn: str
    service: str
    region: str
    account: str
    resource: str


def read_target(arn: str) -> Target:
    """Raises DeliveryFailed for what is no ARN."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        raise DeliveryFailed("it is not named by an ARN", is_transient=False)
    return Target(arn, *parts[2:])

"""The counting service: how many invocations an account has in flight, and may have.

A unit of concurrency is granted before an invocation looks for an environment, and taken back when the invocation is
over. Source: developer guide, "Lambda function scaling": the account's limit on concurrent executions is per Region.
"""

from dataclasses import dataclass, field

ACCOUNT_LIMIT = "ConcurrentInvocationLimitExceeded"


@dataclass(slots=True)
class Admission:
    """The units in use by (account, region). `limit` is each account's, per region."""

    limit: int
    in_use: dict[tuple[str, str], int] = field(default_factory=dict)

    def admit(self, account: str, region: str) -> str | None:
        """Take a unit. Returns None, or the `Reason` of the refusal, which took nothing."""
        key = (account, region)
        used = self.in_use.get(key, 0)
        if used >= self.limit:
            return ACCOUNT_LIMIT
        self.in_use[key] = used + 1
        return None

    def release(self, account: str, region: str) -> None:
        key = (account, region)
        used = self.in_use[key]
        assert used > 0, "a unit of concurrency given back twice"
        if used == 1:
            del self.in_use[key]
        else:
            self.in_use[key] = used - 1

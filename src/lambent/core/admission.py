"""The counting service: how many invocations an account, and a function, has in flight, and may have.

A unit of concurrency is granted before an invocation looks for an environment, and given back with the answer: what
counts are requests in flight, and a caller that waits for each answer has one of those at a time. The environment is
at work a little longer; that *lingers*. No more may linger than there are units, so that a function which answers and
then works on can not have environments without end.

A function with reserved concurrency has a pool of its own, carved out of its account's; the rest share what is left.
A function's count goes with it from one pool to the other, so a new reservation counts what is running already. A
pool that became smaller ends nothing that runs: it grants no more until it has room.

Source: developer guide, "Understanding Lambda function scaling" and "Configuring reserved concurrency".
"""

from lambent.core.function import FunctionName

ACCOUNT_LIMIT = "ConcurrentInvocationLimitExceeded"
RESERVED_LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"


class _Account:
    """The pool of an account in a region that no function has reserved."""

    __slots__ = ("in_use", "limit", "lingering")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_use = 0
        self.lingering = 0


class Share:
    """A function's part in it, and what an invocation gives its unit back to. Its owner is `Admission`."""

    __slots__ = ("account", "in_use", "lingering", "reserved")

    def __init__(self, account: _Account) -> None:
        self.account = account
        self.reserved: int | None = None
        self.in_use = 0
        self.lingering = 0


class Admission:
    """The units in use. `limit` is each account's, per region."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._shares: dict[FunctionName, Share] = {}

    def admit(self, function: FunctionName) -> Share | str:
        """Take a unit. Returns whom to give it back to, or the `Reason` of the refusal, which took nothing."""
        share = self._shares.get(function)
        if share is None:
            share = self._add(function)
        reserved = share.reserved
        if reserved is None:
            account = share.account
            if not _has_room(account.limit, account.in_use, account.lingering):
                return ACCOUNT_LIMIT
            account.in_use += 1
        elif not _has_room(reserved, share.in_use, share.lingering):
            return RESERVED_LIMIT
        share.in_use += 1
        return share

    def answered(self, share: Share) -> None:
        """Give back a unit that `admit` granted. The environment lingers, until `over`."""
        self.release(share)
        share.lingering += 1
        if share.reserved is None:
            share.account.lingering += 1

    def over(self, share: Share) -> None:
        """The environment of an answered invocation is done with it."""
        assert share.lingering > 0, "an invocation that was over twice"
        share.lingering -= 1
        if share.reserved is None:
            share.account.lingering -= 1

    def release(self, share: Share) -> None:
        """Give back a unit that `admit` granted; nothing lingers."""
        assert share.in_use > 0, "a unit of concurrency given back twice"
        share.in_use -= 1
        if share.reserved is None:
            share.account.in_use -= 1

    def reserve(self, function: FunctionName, reserved: int | None) -> None:
        """From now on the function has so many units of its own, or, with None, part in what is unreserved."""
        share = self._shares.get(function)
        if share is None:
            share = self._add(function)
        account, before = share.account, share.reserved
        if before is None:
            account.in_use -= share.in_use
            account.lingering -= share.lingering
        else:
            account.limit += before
        if reserved is None:
            account.in_use += share.in_use
            account.lingering += share.lingering
        else:
            account.limit -= reserved
        share.reserved = reserved

    def forget(self, function: FunctionName) -> None:
        """The function is gone, and its reservation with it. What it still runs counts as unreserved."""
        if function in self._shares:
            self.reserve(function, None)
            del self._shares[function]

    def _add(self, function: FunctionName) -> Share:
        key = (function.account, function.region)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(self._limit)
        share = self._shares[function] = Share(account)
        return share


def _has_room(limit: int, in_use: int, lingering: int) -> bool:
    return in_use < limit and in_use + lingering < 2 * limit

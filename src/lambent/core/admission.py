"""The counting service: how many invocations an account, and a function, has in flight, and may have.

A unit of concurrency is granted before an invocation looks for an environment, and given back with the answer: what
counts are requests in flight, and a caller that waits for each answer has one of those at a time. The environment is
at work a little longer; that *lingers*. No more may linger than there are units, so that a function which answers and
then works on can not have environments without end.

A function with reserved concurrency has a pool of its own, carved out of its account's; the rest share what is left.
A function's count goes with it from one pool to the other, so a new reservation counts what is running already. A
pool that became smaller ends nothing that runs: it grants no more until it has room.

A version with provisioned concurrency has units of its own, carved out of its function's pool, or of its account's
where the function has none. Its invocations take those first, and then what all may take.

Each pool also takes so many requests in a second for each of its units, whoever is short: ten. It matters to functions
that take less than a tenth of a second. Events that were queued are not held to it. And a function starts only so many
environments in ten seconds, in whichever pool.

Source: developer guide, "Understanding Lambda function scaling", "Configuring reserved concurrency" and "Configuring
provisioned concurrency"; "Lambda quotas".
"""

from lambent.core.function import FunctionName
from lambent.core.limits import CONCURRENCY, REQUESTS_PER_S_PER_CONCURRENCY, SCALE_OUT_PER_10_S
from lambent.core.rates import RequestRate, ScaleOut
from lambent.core.record import Record


class Refusal(Record, frozen=True):
    """The `Reason` of a TooManyRequestsException, and after how many seconds it may be worth to ask again."""

    reason: str
    retry_after_s: int = 1


ACCOUNT_LIMIT = Refusal("ConcurrentInvocationLimitExceeded")
RESERVED_LIMIT = Refusal("ReservedFunctionConcurrentInvocationLimitExceeded")
ACCOUNT_RATE = Refusal("FunctionInvocationRateLimitExceeded")
RESERVED_RATE = Refusal("ReservedFunctionInvocationRateLimitExceeded")


class Limits(Record, frozen=True):
    """`concurrency` is each account's, per region; the other two are for each unit of it, and for each function."""

    concurrency: int = CONCURRENCY
    requests_per_s_per_concurrency: int = REQUESTS_PER_S_PER_CONCURRENCY
    scale_out_per_10_s: int = SCALE_OUT_PER_10_S


class _Account:
    """The pool of an account in a region that nobody has claimed."""

    __slots__ = ("in_use", "limit", "lingering", "rate")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rate = RequestRate()
        self.in_use = 0
        self.lingering = 0


class Share:
    """A function's part in it, from which an invocation has its unit. `admit` has granted what is given back here."""

    __slots__ = (
        "account", "claimed", "in_use", "lingering", "provisioned_in_use", "provisions", "reserved", "reserved_rate",
        "scale_out",
    )  # fmt: skip

    def __init__(self, account: _Account) -> None:
        self.account = account
        self.reserved: int | None = None
        self.reserved_rate = RequestRate()
        self.scale_out = ScaleOut()
        self.claimed = 0
        """Units that its versions have of their own."""
        self.in_use = 0
        self.lingering = 0
        self.provisioned_in_use = 0
        self.provisions: dict[str, Provision] = {}

    def answered(self) -> None:
        """Give the unit back. The environment lingers, until `over`."""
        assert self.in_use > 0, "a unit of concurrency given back twice"
        self.in_use -= 1
        self.lingering += 1
        if self.reserved is None:
            account = self.account
            account.in_use -= 1
            account.lingering += 1

    def over(self) -> None:
        """The environment of an answered invocation is done with it."""
        assert self.lingering > 0, "an invocation that was over twice"
        self.lingering -= 1
        if self.reserved is None:
            self.account.lingering -= 1

    def release(self) -> None:
        """Give the unit back; nothing lingers."""
        assert self.in_use > 0, "a unit of concurrency given back twice"
        self.in_use -= 1
        if self.reserved is None:
            self.account.in_use -= 1

    def claim(self, more: int) -> None:
        self.claimed += more
        if self.reserved is None:
            self.account.limit -= more


class Provision:
    """The units of a version that has provisioned concurrency: a unit's source, as `Share` is. It claims what it was
    given, or what is still in use from a time when that was more."""

    __slots__ = ("in_use", "limit", "lingering", "rate", "share")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.rate = RequestRate()
        self.limit = 0
        self.in_use = 0
        self.lingering = 0

    def resize(self, limit: int) -> None:
        before, self.limit = max(self.limit, self.in_use), limit
        self.share.claim(max(limit, self.in_use) - before)

    def admits(self, rate_factor: int, now: int, *, queued: bool) -> bool:
        """Take a unit if there is one. Right after a change, what was granted before may have the function's pool."""
        share = self.share
        if not _has_room(self.limit, self.in_use, self.lingering) or (
            share.reserved is not None and share.in_use + share.provisioned_in_use >= share.reserved
        ):
            return False
        if not queued and not self.rate.admits(rate_factor * self.limit, now):
            return False
        self.in_use += 1
        share.provisioned_in_use += 1
        return True

    def answered(self) -> None:
        self.release()
        self.lingering += 1

    def over(self) -> None:
        assert self.lingering > 0, "an invocation that was over twice"
        self.lingering -= 1

    def release(self) -> None:
        assert self.in_use > 0, "a unit of concurrency given back twice"
        self.in_use -= 1
        self.share.provisioned_in_use -= 1
        if self.in_use >= self.limit:
            self.share.claim(-1)


class Admission:
    """The units in use. Times are microseconds of the caller's monotonic clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate_factor = limits.requests_per_s_per_concurrency
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._shares: dict[FunctionName, Share] = {}

    def admit(
        self, function: FunctionName, version: str, now: int, *, queued: bool = False
    ) -> Share | Provision | Refusal:
        """Take a unit. Returns where to give it back, or the refusal, which took nothing. `queued` says that the
        event was accepted before, and waited."""
        share = self._shares.get(function)
        if share is None:
            share = self._add(function)
        if share.provisions:
            provision = share.provisions.get(version)
            if provision is not None and provision.admits(self._rate_factor, now, queued=queued):
                return provision
        reserved = share.reserved
        if reserved is None:
            account = share.account
            in_use, limit = account.in_use, account.limit
            # As `_has_room` says, without the call: nearly every invocation comes by here.
            if in_use >= limit or in_use + account.lingering >= 2 * limit:
                return ACCOUNT_LIMIT
            if not queued and not account.rate.admits(self._rate_factor * limit, now):
                return ACCOUNT_RATE
            account.in_use = in_use + 1
        else:
            own = reserved - share.claimed
            if not _has_room(own, share.in_use, share.lingering):
                return RESERVED_LIMIT
            if not queued and not share.reserved_rate.admits(self._rate_factor * own, now):
                return RESERVED_RATE
        share.in_use += 1
        return share

    def scale_out(self, function: FunctionName, now: int) -> Refusal | None:
        """An environment of the function is to be started for an invocation: count it, or refuse it. AWS names the
        same reasons for this as for too many requests."""
        share = self._share(function)
        wait_us = share.scale_out.take(self._limits.scale_out_per_10_s, now)
        if wait_us is None:
            return None
        limit = ACCOUNT_RATE if share.reserved is None else RESERVED_RATE
        return Refusal(limit.reason, -(-wait_us // 1_000_000))

    def not_scaled_out(self, function: FunctionName) -> None:
        """An environment that was counted is not started after all."""
        share = self._shares.get(function)
        if share is not None:
            share.scale_out.give_back()

    def reserve(self, function: FunctionName, reserved: int | None) -> None:
        """From now on the function has so many units of its own, or, with None, part in what is unreserved."""
        share = self._share(function)
        account, before = share.account, share.reserved
        if before is None:
            account.in_use -= share.in_use
            account.lingering -= share.lingering
            account.limit += share.claimed
        else:
            account.limit += before
        if reserved is None:
            account.in_use += share.in_use
            account.lingering += share.lingering
            account.limit -= share.claimed
        else:
            account.limit -= reserved
        share.reserved = reserved

    def provision(self, function: FunctionName, version: str, count: int) -> None:
        """From now on the version has so many units of its own."""
        share = self._share(function)
        provision = share.provisions.get(version)
        if provision is None:
            provision = share.provisions[version] = Provision(share)
        provision.resize(count)
        if count == 0:
            del share.provisions[version]

    def forget(self, function: FunctionName) -> None:
        """The function is gone, and all that it had of its own. What it still runs counts as anybody's."""
        share = self._shares.get(function)
        if share is None:
            return
        for version in list(share.provisions):
            self.provision(function, version, 0)
        self.reserve(function, None)
        del self._shares[function]

    def in_use(self) -> dict[FunctionName, int]:
        """The units that are granted, by the function that has them. Those of functions that are gone are not told."""
        granted = ((name, share.in_use + share.provisioned_in_use) for name, share in self._shares.items())
        return {name: units for name, units in granted if units}

    def _share(self, function: FunctionName) -> Share:
        return self._shares.get(function) or self._add(function)

    def _add(self, function: FunctionName) -> Share:
        key = (function.account, function.region)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(self._limits.concurrency)
        share = self._shares[function] = Share(account)
        return share


def _has_room(limit: int, in_use: int, lingering: int) -> bool:
    return in_use < limit and in_use + lingering < 2 * limit

"""Who asks: from a request's access key id to its caller.

The place of authentication in the way of a request. Signatures are not verified yet: a key id of 12 digits is that
account, a key that Lambent issued is its function's account and role, any other is the configured default account.
The server therefore listens on loopback alone, unless told otherwise.
"""

import re
from functools import lru_cache

from lambent.core.caller import Caller
from lambent.identity.credentials import IssuedCredentials
from lambent.wire.routes import Scope

_REMEMBERED = 4096
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class Identity:
    """Tells the caller and the region of a request, from the credential scope of its signature."""

    def __init__(self, issued: IssuedCredentials, *, account: str, region: str) -> None:
        self._issued = issued
        self._default = root_of(account)
        self._region = region
        self._accounts: dict[str, Caller] = {}

    def caller_of(self, scope: Scope | None) -> Caller:
        """The principal behind the request. Every request has one while requests are not authenticated."""
        if scope is None:
            return self._default
        key_id = scope.access_key_id
        known = self._issued.caller_of(key_id) or self._accounts.get(key_id)
        if known is not None:
            return known
        if len(key_id) != 12 or not (key_id.isascii() and key_id.isdecimal()):
            return self._default
        if len(self._accounts) >= _REMEMBERED:
            self._accounts.clear()
        caller = self._accounts[key_id] = root_of(key_id)
        return caller

    def region_of(self, scope: Scope | None) -> str:
        """The region that the request is signed for, else the configured one; what can not be a region is none."""
        return scope.region if scope is not None and _may_be_region(scope.region) else self._region


@lru_cache(maxsize=256)
def _may_be_region(text: str) -> bool:
    return _REGION.fullmatch(text) is not None


def root_of(account: str) -> Caller:
    return Caller(account, f"arn:aws:iam::{account}:root", account)

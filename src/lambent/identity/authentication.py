"""Who asks: from a request's access key id to its caller.

The place of authentication in the way of a request. Signatures are not verified yet: a key id of 12 digits is that
account, a key that Lambent issued is its function's account and role, any other is the configured default account.
The server therefore listens on loopback alone, unless told otherwise.
"""

import re
from urllib.parse import unquote

from lambent.core.caller import Caller
from lambent.identity.credentials import IssuedCredentials
from lambent.wire.http import HttpRequest

_CREDENTIAL = "Credential="
_QUERY_CREDENTIAL = "X-Amz-Credential="
_REMEMBERED_ACCOUNTS = 4096
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class Identity:
    """Tells the caller and the region of a request, from the credential scope of its signature."""

    def __init__(self, issued: IssuedCredentials, *, account: str, region: str) -> None:
        self._issued = issued
        self._default = root_of(account)
        self._region = region
        self._accounts: dict[str, Caller] = {}

    def caller_of(self, request: HttpRequest) -> Caller:
        """The principal behind the request. Every request has one while requests are not authenticated."""
        key_id = _scope(request)[0]
        issued = self._issued.caller_of(key_id)
        if issued is not None:
            return issued
        known = self._accounts.get(key_id)
        if known is not None:
            return known
        if len(key_id) != 12 or not (key_id.isascii() and key_id.isdecimal()):
            return self._default
        if len(self._accounts) >= _REMEMBERED_ACCOUNTS:
            self._accounts.clear()
        caller = self._accounts[key_id] = root_of(key_id)
        return caller

    def region_of(self, request: HttpRequest) -> str:
        """The region that the request is signed for, else the configured one; what can not be a region is none."""
        region = _scope(request)[1]
        return region if _REGION.fullmatch(region) else self._region


def root_of(account: str) -> Caller:
    return Caller(account, f"arn:aws:iam::{account}:root", account)


_UNSIGNED = ("", "")


def _scope(request: HttpRequest) -> tuple[str, str]:
    """Access key id and region of `KEY/DATE/REGION/SERVICE/aws4_request`, from the Authorization header or, for a
    presigned URL, from the query; empty where the request is not signed."""
    text = request.headers.get("authorization")
    if text is None:
        if _QUERY_CREDENTIAL not in request.query:
            return _UNSIGNED
        text = request.query
        start = text.index(_QUERY_CREDENTIAL) + len(_QUERY_CREDENTIAL)
        text = unquote(text[start:].split("&", 1)[0])
    else:
        start = text.find(_CREDENTIAL)
        if start < 0:
            return _UNSIGNED
        text = text[start + len(_CREDENTIAL) :].split(",", 1)[0].rstrip()
    # A key id has no slash, but may be anything else that a user chose.
    parts = text.split("/")
    return (parts[0], parts[2]) if len(parts) == 5 else (parts[0], "")

"""Links to a function's code, as GetFunction gives them: they work for a while, for whoever has one, without a name.

The server answers `PATH` + digest: it calls `verify` and sends the archive from the `PackageStore`.
"""

import hashlib
import hmac

PATH = "/_lambent/code/"
LIFETIME_MS = 600_000
"""Developer guide, API reference, FunctionCodeLocation: presigned, "10 minutes" in the CLI's documentation."""


def sign(secret: bytes, endpoint: str, digest: str, now_ms: int) -> str:
    """The link to the package with this digest, on the server at `endpoint`."""
    expires = (now_ms + LIFETIME_MS) // 1000
    return f"{endpoint}{PATH}{digest}?expires={expires}&signature={_signature(secret, digest, str(expires))}"


def verify(secret: bytes, digest: str, expires: str, signature: str, now_ms: int) -> bool:
    """Whether a link with these parts was made by `sign` and is still good."""
    genuine = hmac.compare_digest(_signature(secret, digest, expires).encode(), signature.encode())
    return genuine and now_ms < int(expires) * 1000


def _signature(secret: bytes, digest: str, expires: str) -> str:
    return hmac.new(secret, f"{digest}\n{expires}".encode(), hashlib.sha256).hexdigest()

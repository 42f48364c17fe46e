"""Session credentials that Lambent issues to execution environments, and who they speak for.

They live in memory: they end with their environment, so there are never more of them than environments, and the death
of the process ends them all. Whether a request is signed with the secret is not looked at yet (`authentication`).
"""

import base64
import functools
import hashlib
import secrets
from collections.abc import Callable

from lambent.core.caller import Caller
from lambent.core.credentials import Credentials


@functools.lru_cache(maxsize=1024)
def role_id_of(role_arn: str) -> str:
    """The unique id that a role shows: derived from its ARN, so that sessions tell it without a look into the store.

    On AWS a role that is deleted and made again has another one.
    """
    return "AROA" + _letters(hashlib.sha256(role_arn.encode()).digest(), 17)


class IssuedCredentials:
    """The credentials that are in use, by access key id. `random` gives so many random bytes."""

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random = random
        self._callers: dict[str, Caller] = {}

    def __len__(self) -> int:
        return len(self._callers)

    def issue(self, account: str, role_arn: str, session_name: str) -> Credentials:
        """New credentials for a session of the role, valid until they are revoked.

        The account is the function's own; the role's ARN may name a path, which the session's does not show.
        """
        random = self._random(16 + 30 + 120)
        issued = Credentials(
            access_key_id="ASIA" + _letters(random[:16], 16),
            secret_access_key=base64.b64encode(random[16:46]).decode(),
            session_token=base64.b64encode(random[46:]).decode(),
        )
        partition = role_arn.split(":", 2)[1] if role_arn.startswith("arn:") else "aws"
        role = role_arn.rsplit("/", 1)[-1]
        self._callers[issued.access_key_id] = Caller(
            account=account,
            arn=f"arn:{partition}:sts::{account}:assumed-role/{role}/{session_name}",
            user_id=f"{role_id_of(role_arn)}:{session_name}",
        )
        return issued

    def revoke(self, access_key_id: str) -> None:
        """End credentials; ones that are not known are ended already."""
        self._callers.pop(access_key_id, None)

    def caller_of(self, access_key_id: str) -> Caller | None:
        return self._callers.get(access_key_id)


def _letters(data: bytes, count: int) -> str:
    """Upper-case letters and digits, as in AWS's ids."""
    return base64.b32encode(data).decode()[:count]

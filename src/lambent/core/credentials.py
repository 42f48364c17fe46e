"""Session credentials of a role, as they are issued and as a worker hands them to a function."""

from lambent.core.record import Record


class Credentials(Record, frozen=True):
    """The session credentials of a function's role. The secret parts never show in a repr.

    With an `authorization` they are no part of a function's environment variables: whoever asks the Runtime API with it
    has them."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id})"

"""Function URLs: an HTTPS address of a function's `$LATEST` or of an alias, and how it answers.

Source: developer guide, "Creating and managing Lambda function URLs".
"""

from lambent.core.function import FunctionName
from lambent.core.record import Record


class Cors(Record, frozen=True):
    """What browsers on other pages may do. A member that the caller did not give is None."""

    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] | None = None
    allow_methods: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    expose_headers: tuple[str, ...] | None = None
    max_age_s: int | None = None


class FunctionUrl(Record, frozen=True):
    """`alias` is None for `$LATEST`. `url_id` is the first label of the host's name and stays while the URL does."""

    function: FunctionName
    alias: str | None
    url_id: str
    auth_type: str
    created_ms: int
    modified_ms: int
    cors: Cors | None = None
    invoke_mode: str = "BUFFERED"


def address(url: FunctionUrl) -> str:
    return f"https://{url.url_id}.lambda-url.{url.function.region}.on.aws/"

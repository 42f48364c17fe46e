"""Where deployment packages in S3 are read: at the endpoint that the settings name for the account."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from lambent.clock import Clock
from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import S3Object
from lambent.endpoint import Endpoint

if TYPE_CHECKING:
    from lambent.control.bucket_reader import BucketReader


class CodeBuckets:
    """`of` tells where the S3 of an account is, None for nowhere. For threads."""

    def __init__(self, of: Callable[[str], Endpoint | None], clock: Clock) -> None:
        self._of = of
        self._clock = clock
        self._lock = threading.Lock()
        self._made: BucketReader | None = None

    def check(self, account: str) -> None:
        """Raises InvalidParameterValueException where the settings name no S3 for the account."""
        self._where(account)

    def download(self, account: str, region: str, source: S3Object, file: BinaryIO) -> None:
        """See `BucketReader.download`; and raises what `check` does."""
        where = self._where(account)
        self._reader().download(where, region, source, file)

    def _reader(self) -> "BucketReader":
        # Late: see `service_clients`.
        from lambent.control.bucket_reader import BucketReader

        with self._lock:
            if self._made is None:
                self._made = BucketReader(self._clock)
            return self._made

    def _where(self, account: str) -> Endpoint:
        where = self._of(account)
        if where is None:
            raise InvalidParameterValueException(
                f"Code can not be read from S3: the setting s3_endpoint names none for account {account}. "
                "See docs/settings.md."
            )
        return where

"""Reads objects from S3, by botocore. Blocking, for threads.

Nothing of the server's own AWS configuration is used, neither profiles nor credentials: what an account may read is
what the settings give to it, and without credentials what everybody may read.
"""

import os
import threading
from contextlib import closing
from functools import lru_cache
from typing import Any, BinaryIO

import botocore.parsers
import botocore.session
import urllib3.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambent.clock import Clock
from lambent.control.code_buckets import ObjectStorage
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ModelledError,
    ServiceException,
)
from lambent.core.function import S3Object
from lambent.core.limits import UNZIPPED_BYTES

DEADLINE_S = 120
CONNECT_S = 5
SILENCE_S = 20
_CREDENTIALS_REFUSED = frozenset(
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthorizationHeaderMalformed",
        "RequestTimeTooSkewed",
        "AccountProblem",
    )
)
"""S3's error codes for a request that is nobody's. AccessDenied is said to somebody. Source: Amazon S3 API reference,
"Error responses"."""
_CLIENTS = 32
_CHUNK = 1 << 18

# What a session would take from the server's own AWS configuration: name in it, variable, default, conversion.
_NOTHING_OF_OURS: dict[str, tuple[None, list[str] | None, str | None, None]] = {
    "profile": (None, [], None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Unusable(Exception):
    """Nothing could be read from an S3. The message is for the person who named it in the settings."""


class BucketReader:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session = botocore.session.Session(session_vars=_NOTHING_OF_OURS)
        # A session is for one thread at a time, its clients are for all.
        self._lock = threading.Lock()
        self._clients = lru_cache(_CLIENTS)(self._make_client)

    def download(self, where: ObjectStorage, region: str, source: S3Object, file: BinaryIO) -> None:
        """Write the object to the file. Raises AWS's error for an object that can not be read or is larger than a
        function may be, and ServiceException when S3 does not answer."""
        ends_us = self._clock.monotonic_us() + DEADLINE_S * 1_000_000
        version = {} if source.version is None else {"VersionId": source.version}
        try:
            client = self._client(where, region)
            answer = client.get_object(Bucket=source.bucket, Key=source.key, **version)
            with closing(answer["Body"]):
                self._copy(answer["Body"], file, answer.get("ContentLength", 0), ends_us)
        except ClientError as error:
            raise _refused(error, source) from error
        except ParamValidationError as error:
            raise InvalidParameterValueException(f"Error occurred while GetObject. {error}") from error
        except (BotoCoreError, urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise ServiceException(f"S3 did not answer as it should, at {where.endpoint}: {error}") from error

    def try_out(self, where: ObjectStorage, region: str) -> None:
        """Raises Unusable where S3 does not answer, or does not take the credentials. What they may read is not known
        without an object to read."""
        try:
            self._client(where, region).list_buckets()
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500 or code.isdigit():
                raise Unusable(f"it does not answer as S3 does: HTTP {status}") from error
            if where.access_key_id and code in _CREDENTIALS_REFUSED:
                raise Unusable(f"it does not take the credentials: {code}") from error
        except botocore.parsers.ResponseParserError as error:
            raise Unusable("it does not answer as S3 does") from error
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise Unusable(f"it does not answer: {error}") from error

    def _client(self, where: ObjectStorage, region: str) -> Any:
        with self._lock:
            return self._clients(where, region)

    def _copy(self, body: Any, file: BinaryIO, announced: int, ends_us: int) -> None:
        received = 0
        _check_size(announced)
        # The stream of urllib3 below gives what is there; the body itself waits until a chunk is full.
        with body as stream:
            while True:
                left_s = (ends_us - self._clock.monotonic_us()) / 1_000_000
                if left_s <= 0:
                    raise TimeoutError(f"the object did not arrive within {DEADLINE_S} seconds")
                if not stream.closed:
                    body.set_socket_timeout(min(SILENCE_S, left_s))
                chunk = stream.read1(_CHUNK)
                if not chunk:
                    break
                received += len(chunk)
                _check_size(received)
                file.write(chunk)
        if received < announced:
            raise urllib3.exceptions.IncompleteRead(received, announced - received)

    def _make_client(self, where: ObjectStorage, region: str) -> Any:
        return self._session.create_client(
            "s3",
            endpoint_url=where.endpoint,
            region_name=where.region or region,
            # Without any, the session would look for the machine's.
            aws_access_key_id=where.access_key_id or "unsigned",
            aws_secret_access_key=where.secret_access_key or "unsigned",
            config=Config(
                signature_version=None if where.access_key_id else UNSIGNED,
                connect_timeout=CONNECT_S,
                read_timeout=SILENCE_S,
                retries={"total_max_attempts": 2},
            ),
        )


def _check_size(size: int) -> None:
    """What is sent in a request may have 50 MB; what is in S3 is bounded by what it may unpack to. Source: developer
    guide, "Lambda quotas", deployment package."""
    if size >= UNZIPPED_BYTES:
        raise InvalidParameterValueException(f"Unzipped size must be smaller than {UNZIPPED_BYTES} bytes")


def _refused(error: ClientError, source: S3Object) -> ModelledError:
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    told = f"S3 Error Code: {code}. S3 Error Message: {message}"
    if status >= 500:
        return ServiceException(f"Error occurred while GetObject. {told}")
    if status == 403:
        return AccessDeniedException(
            "Your access has been denied by S3, please make sure your request credentials have permission to "
            f"GetObject for {source.bucket}/{source.key}. {told}"
        )
    return InvalidParameterValueException(f"Error occurred while GetObject. {told}")

"""Reads objects from S3, by botocore. Blocking, for threads."""

from contextlib import closing
from typing import Any, BinaryIO

import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from lambent.clock import Clock
from lambent.core.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ModelledError,
    ServiceException,
)
from lambent.core.function import S3Object
from lambent.core.limits import UNZIPPED_BYTES
from lambent.endpoint import Endpoint
from lambent.service_clients import SILENCE_S, ServiceClients, Unusable

DEADLINE_S = 120
_CHUNK = 1 << 18
_ATTEMPTS = 2


class BucketReader:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients = ServiceClients(attempts=_ATTEMPTS)

    def download(self, where: Endpoint, region: str, source: S3Object, file: BinaryIO) -> None:
        """Write the object to the file. Raises AWS's error for an object that can not be read or is larger than a
        function may be, and ServiceException when S3 does not answer."""
        ends_us = self._clock.monotonic_us() + DEADLINE_S * 1_000_000
        version = {} if source.version is None else {"VersionId": source.version}
        try:
            client = self._clients.of("s3", where, region)
            answer = client.get_object(Bucket=source.bucket, Key=source.key, **version)
            with closing(answer["Body"]):
                self._copy(answer["Body"], file, answer.get("ContentLength", 0), ends_us)
        except ClientError as error:
            raise _refused(error, source) from error
        except ParamValidationError as error:
            raise InvalidParameterValueException(f"Error occurred while GetObject. {error}") from error
        except (BotoCoreError, urllib3.exceptions.HTTPError, TimeoutError, Unusable) as error:
            raise ServiceException(f"S3 did not answer as it should, at {where.url}: {error}") from error

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

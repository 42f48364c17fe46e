"""botocore's clients of AWS services, at the endpoints that the settings name. Blocking, for threads.

Nothing of the server's own AWS configuration is used, neither profiles nor credentials: what an account may do there is
what the settings give to it, and without credentials what everybody may do.

To import this takes a fifth of the time of a server's start, and many servers have no use for it: it is imported late.
"""

import os
import threading
from functools import lru_cache
from typing import Any

import botocore.parsers
import botocore.session
import urllib3.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambent.endpoint import SERVICES, Endpoint

CONNECT_S = 5
SILENCE_S = 20
_CREDENTIALS_REFUSED = frozenset(
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthorizationHeaderMalformed",
        "RequestTimeTooSkewed",
        "AccountProblem",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "IncompleteSignature",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
    )
)
"""Error codes for a request that is nobody's. AccessDenied is said to somebody. Source: Amazon S3 API reference, "Error
responses", and for the others "Common error types" of their references."""
_CLIENTS = 128

_TRIALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "s3": ("list_buckets", {}, "Buckets"),
    "sqs": ("get_queue_url", {"QueueName": "lambent"}, "QueueUrl"),
    "sns": ("list_topics", {}, "Topics"),
    "events": ("list_event_buses", {"Limit": 1}, "EventBuses"),
}
"""By service, an operation that changes nothing, its parameters, and what its answer surely has: botocore takes every
page for an answer in JSON, of which it knows no member."""

# What a session would take from the server's own AWS configuration: name in it, variable, default, conversion.
_NOTHING_OF_OURS: dict[str, tuple[None, list[str] | None, str | None, None]] = {
    "profile": (None, [], None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Unusable(Exception):
    """A service can not be used. The message is for the person who named it in the settings."""


class ServiceClients:
    """`attempts` is how often a request is made in all that fails in a way which may pass."""

    def __init__(self, *, attempts: int) -> None:
        self._attempts = attempts
        self._session = botocore.session.Session(session_vars=_NOTHING_OF_OURS)
        # A session is for one thread at a time, its clients are for all.
        self._lock = threading.Lock()
        self._clients = lru_cache(_CLIENTS)(self._make)

    def of(self, service: str, where: Endpoint, region: str) -> Any:
        """The client of the service there, for resources of the region. Raises Unusable for a URL that botocore does
        not take: a host with an underscore is none to it."""
        with self._lock:
            try:
                return self._clients(service, where, where.region or region)
            except ValueError as error:
                raise Unusable(f"{where.url} is no URL of a service") from error

    def try_out(self, service: str, where: Endpoint, region: str) -> None:
        """Raises Unusable where the service does not answer, or does not take the credentials. What they allow is not
        known without a resource to try."""
        operation, parameters, member = _TRIALS[service]
        try:
            answer = getattr(self.of(service, where, region), operation)(**parameters)
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500 or code.isdigit():
                raise Unusable(f"it does not answer as {SERVICES[service]} does: HTTP {status}") from error
            if where.access_key_id and code in _CREDENTIALS_REFUSED:
                raise Unusable(f"it does not take the credentials: {code}") from error
        except botocore.parsers.ResponseParserError as error:
            raise Unusable(f"it does not answer as {SERVICES[service]} does") from error
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise Unusable(f"it does not answer: {error}") from error
        else:
            if member not in answer:
                raise Unusable(f"it does not answer as {SERVICES[service]} does")

    def _make(self, service: str, where: Endpoint, region: str) -> Any:
        return self._session.create_client(
            service,
            endpoint_url=where.url,
            region_name=region,
            # Without any, the session would look for the machine's.
            aws_access_key_id=where.access_key_id or "unsigned",
            aws_secret_access_key=where.secret_access_key or "unsigned",
            config=Config(
                signature_version=None if where.access_key_id else UNSIGNED,
                connect_timeout=CONNECT_S,
                read_timeout=SILENCE_S,
                retries={"total_max_attempts": self._attempts},
                # Not every S3 knows the trailers by which botocore would send a checksum that nobody asks for.
                request_checksum_calculation="when_required",
            ),
        )

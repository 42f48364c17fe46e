"""Sends records and dead letters by botocore. Blocking, for threads.

Decides which failures are transient: those of the network and of the service itself, and being asked too often. What
the service refuses (no such queue, no permission, too large) it will refuse again: better told at once, while somebody
can see why, than after hours.
"""

from collections.abc import Callable, Mapping
from typing import Any

import botocore.parsers
import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from lambent.core.invocation_record import (
    DeliveryFailed,
    Ended,
    dead_letter,
    dead_letter_attributes,
    destination_record,
    event_bridge_entry,
    object_key,
    queue_message,
    topic_record,
)
from lambent.endpoint import Endpoint
from lambent.neighbours.target import Target
from lambent.service_clients import ServiceClients, Unusable

_TRANSIENT_STATUS = frozenset((408, 429))
_TRANSIENT_CODES = frozenset(
    (
        "InternalError",
        "InternalException",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "TooManyRequestsException",
    )
)
"""Besides all that tell of throttling, which every service spells in its own way. Source: "Common error types" of the
services' API references; botocore's description of PutEventsResultEntry."""

_Answer = Mapping[str, Any]
_Send = Callable[[Any, Target, Endpoint, Ended], _Answer]


class Sender:
    def __init__(self) -> None:
        # The attempts after the first are the caller's, who keeps the record.
        self._clients = ServiceClients(attempts=1)

    def send_record(self, target: Target, where: Endpoint, ended: Ended) -> None:
        """Raises DeliveryFailed."""
        self._send(_RECORDS, target, where, ended)

    def send_dead_letter(self, target: Target, where: Endpoint, ended: Ended) -> None:
        """Raises DeliveryFailed."""
        self._send(_DEAD_LETTERS, target, where, ended)

    def _send(self, ways: Mapping[str, tuple[_Send, str]], target: Target, where: Endpoint, ended: Ended) -> None:
        if target.service not in ways:
            raise DeliveryFailed(f"nothing of the kind can be sent to {target.service}", is_transient=False)
        send, proof = ways[target.service]
        try:
            client = self._clients.of(target.service, where, target.region or ended.function.region)
            answer = send(client, target, where, ended)
        except ClientError as error:
            raise _refused(error) from error
        except (NoConnection, HTTPClientError, urllib3.exceptions.HTTPError) as error:
            raise DeliveryFailed(f"no answer from {where.url}: {type(error).__name__}", is_transient=True) from error
        except botocore.parsers.ResponseParserError as error:
            raise _not_the_service(where) from error
        except Unusable as error:
            raise DeliveryFailed(str(error), is_transient=False) from error
        except BotoCoreError as error:
            # Of our own request, before it was sent.
            raise DeliveryFailed(f"it can not be asked for: {type(error).__name__}", is_transient=False) from error
        if not answer.get(proof):
            raise _not_the_service(where)
        _check_entries(answer)


def _record_to_queue(client: Any, target: Target, where: Endpoint, ended: Ended) -> _Answer:
    return _send_message(client, target, where, ended, MessageBody=queue_message(destination_record(ended)))


def _record_to_topic(client: Any, target: Target, _: Endpoint, ended: Ended) -> _Answer:
    answer: _Answer = client.publish(TopicArn=target.arn, Message=topic_record(ended))
    return answer


def _record_to_bus(client: Any, target: Target, _: Endpoint, ended: Ended) -> _Answer:
    answer: _Answer = client.put_events(Entries=[event_bridge_entry(ended, target.arn)])
    return answer


def _record_to_bucket(client: Any, target: Target, _: Endpoint, ended: Ended) -> _Answer:
    body = destination_record(ended).encode()
    answer: _Answer = client.put_object(Bucket=target.resource, Key=object_key(ended), Body=body)
    return answer


def _event_to_queue(client: Any, target: Target, where: Endpoint, ended: Ended) -> _Answer:
    attributes = dead_letter_attributes(ended)
    body = queue_message(dead_letter(ended))
    return _send_message(client, target, where, ended, MessageBody=body, MessageAttributes=attributes)


def _event_to_topic(client: Any, target: Target, _: Endpoint, ended: Ended) -> _Answer:
    attributes = dead_letter_attributes(ended)
    answer: _Answer = client.publish(TopicArn=target.arn, Message=dead_letter(ended), MessageAttributes=attributes)
    return answer


def _send_message(client: Any, target: Target, where: Endpoint, ended: Ended, **message: Any) -> _Answer:
    """The queue's URL is made, not asked for: that would take a permission that AWS does not ask for, and may be
    answered with a host that can not be reached from here."""
    url = f"{where.url.rstrip('/')}/{target.account}/{target.resource}"
    if ended.trace_id:
        message["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": ended.trace_id}}
    answer: _Answer = client.send_message(QueueUrl=url, **message)
    return answer


_RECORDS: Mapping[str, tuple[_Send, str]] = {
    "sqs": (_record_to_queue, "MessageId"),
    "sns": (_record_to_topic, "MessageId"),
    "events": (_record_to_bus, "Entries"),
    "s3": (_record_to_bucket, "ETag"),
}
_DEAD_LETTERS: Mapping[str, tuple[_Send, str]] = {
    "sqs": (_event_to_queue, "MessageId"),
    "sns": (_event_to_topic, "MessageId"),
}
"""By service, how to send, and what is in every answer of it: any page with status 200 would pass for one."""


def _check_entries(answer: _Answer) -> None:
    """PutEvents answers 200 for an entry that it refuses."""
    for entry in answer.get("Entries", ()):
        code = entry.get("ErrorCode")
        if code:
            raise DeliveryFailed(f"it refuses the event: {code}", is_transient=_may_pass(code))


def _refused(error: ClientError) -> DeliveryFailed:
    """The service's own words are left out: they may be those of what was sent."""
    code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    is_transient = status >= 500 or status in _TRANSIENT_STATUS or _may_pass(code)
    return DeliveryFailed(f"it answers {code}, HTTP {status}", is_transient=is_transient)


def _may_pass(code: str) -> bool:
    return code in _TRANSIENT_CODES or "throttl" in code.lower()


def _not_the_service(where: Endpoint) -> DeliveryFailed:
    """A proxy's page, say, while the service behind it starts."""
    return DeliveryFailed(f"{where.url} does not answer as the service does", is_transient=True)

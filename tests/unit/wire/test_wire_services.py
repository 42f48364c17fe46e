"""The wire works from the models alone: for services of every protocol, not only for those that are served."""

import contextlib

import pytest

from lambent.core.errors import ValidationException
from lambent.wire.catalog import service
from lambent.wire.http import HttpRequest
from lambent.wire.malformed import SerializationException
from lambent.wire.parse import parse
from lambent.wire.routes import Routed, Router
from lambent.wire.serialize import respond
from lambent.wire.validate import validate

NAMES = [
    "lambda",
    "iam",
    "sts",
    "logs",
    "s3",
    "route53",
    "dynamodb",
    "sqs",
    "sns",
    "cloudwatch",
    "kinesis",
    "apigateway",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_of_a_service_can_be_asked_and_answered(name: str) -> None:
    found = service(name)
    assert Router([found])
    assert found.operations
    for operation in found.operations.values():
        shape = operation.input
        labels = {} if shape is None else {m.wire_name: "1" for m in shape.members.values() if m.location == "uri"}
        for protocol in found.protocols:
            routed = Routed(found, protocol, operation, labels)
            # A label of "1" may be of another type, and much is required: both are told in AWS's words.
            with contextlib.suppress(SerializationException, ValidationException):
                validate(operation, parse(routed, HttpRequest(operation.method, "/", "", {})))
            answer = respond(routed, {}, "request-id")
            assert answer.status == operation.status
            assert "request-id" in dict(answer.headers).values()


def test_a_service_without_a_protocol_of_ours_can_not_be_served() -> None:
    with pytest.raises(AssertionError, match="speaks no protocol"):
        Router(["ec2"])


def test_a_service_that_botocore_has_not_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        service("no-such-service")

"""The cost of the wire: routing, parsing, validating and answering, beside botocore's serialising and parsing.

Both sides of the same exchange: ours is the server's share (request to parameters, result to response), botocore's the
client's (parameters to request, response to result). `run` gives the rows; as a program it prints them.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from lambent.wire.http import HttpRequest, HttpResponse
from lambent.wire.parse import parse
from lambent.wire.routes import Router
from lambent.wire.serialize import respond
from lambent.wire.validate import validate

REQUEST_ID = "8f507cfc-aaaa-4697-b07a-ac58fc914c95"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=000000000000/20260101/us-east-1/lambda/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date, Signature=" + "0" * 64
)
ARN = "arn:aws:lambda:us-east-1:000000000000:function:echo"
PAYLOAD = b'{"data": "' + b"x" * 1012 + b'"}'

INVOKE = (
    "Invoke",
    {"FunctionName": "echo", "InvocationType": "RequestResponse", "Payload": PAYLOAD},
    {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": PAYLOAD},
)
GET_CONFIGURATION = (
    "GetFunctionConfiguration",
    {"FunctionName": "echo"},
    {
        "FunctionName": "echo",
        "FunctionArn": ARN,
        "Runtime": "python3.13",
        "Role": "arn:aws:iam::000000000000:role/lambda",
        "Handler": "app.handler",
        "CodeSize": 1234,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "CodeSha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "Version": "$LATEST",
        "Environment": {"Variables": {f"NAME_{number}": "value" for number in range(8)}},
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": REQUEST_ID,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:" + "0" * 64},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/echo"},
    },
)


def median_us(action: Callable[[], object], rounds: int = 60, times: int = 200) -> float:
    """The median over the rounds of the mean time of a call, in microseconds."""
    for _ in range(times):
        action()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(times):
            action()
        taken.append((time.perf_counter_ns() - start) / times / 1000)
    return statistics.median(taken)


class Exchange:
    """One operation with its parameters and its result, ready to be timed on both sides."""

    def __init__(self, operation: str, params: dict[str, Any], result: Mapping[str, Any]) -> None:
        self._params, self._result = params, result
        self._model = botocore.session.get_session().get_service_model("lambda").operation_model(operation)
        self._serializer = create_serializer("rest-json", include_validation=True)
        self._parser = create_parser("rest-json")
        self._router = Router(["lambda", "iam", "sts", "logs"])
        self.request = self._sent()
        self._response = self.serve()

    def _sent(self) -> HttpRequest:
        sent = self._serializer.serialize_to_request(self._params, self._model)
        url = urlsplit(sent["url_path"])
        headers = {name.lower(): value for name, value in sent["headers"].items()}
        headers |= {"host": "127.0.0.1:4566", "x-amz-date": "20260101T000000Z", "authorization": SIGNED}
        return HttpRequest(sent["method"], url.path, url.query, headers, sent["body"])

    def serve(self) -> HttpResponse:
        routed = self._router.route(self.request)
        params = parse(routed, self.request)
        validate(routed.operation, params)
        return respond(routed, self._result, REQUEST_ID)

    def client(self) -> object:
        self._serializer.serialize_to_request(self._params, self._model)
        response = {
            "status_code": self._response.status,
            "headers": HeadersDict(self._response.headers),
            "body": self._response.body,
            "context": {},
        }
        return self._parser.parse(response, self._model.output_shape)


def run() -> list[dict[str, object]]:
    """A row for each exchange: what is promised, what was measured, and botocore's figure for its side."""
    rows: list[dict[str, object]] = []
    promises = ((INVOKE, "Invoke, 1 KB", 30.0), (GET_CONFIGURATION, "GetFunctionConfiguration", 150.0))
    for exchange, name, promised_us in promises:
        timed = Exchange(*exchange)
        rows.append(
            {
                "name": f"wire: {name}",
                "unit": "µs",
                "measured": round(median_us(timed.serve), 1),
                "reference": round(median_us(timed.client, rounds=20), 1),
                "reference_name": "botocore's serialising and parsing",
                "promised_at_most": promised_us,
            }
        )
    return rows


def main() -> None:
    for row in run():
        print(
            f"{row['name']:<32} {row['measured']:>7} {row['unit']}   (promised: {row['promised_at_most']})"
            f"   {row['reference_name']}: {row['reference']} {row['unit']}"
        )


if __name__ == "__main__":
    main()

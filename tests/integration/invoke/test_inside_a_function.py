"""What a function reaches from inside: Lambent itself, by the SDK that it finds, as its role's session."""

import http.client
from typing import Any

from live_functions import PYTHON, Functions

ACCOUNT = "111122223333"

PYTHON_CALLER = """
import json, boto3

def handler(event, context):
    who = boto3.client("sts").get_caller_identity()
    told = boto3.client("lambda").invoke(FunctionName=event["name"], Payload=json.dumps(event["payload"]))
    return {"account": who["Account"], "arn": who["Arn"], "told": json.load(told["Payload"])}
"""
NODE_CALLER = """
const { LambdaClient, InvokeCommand } = require("@aws-sdk/client-lambda");
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
exports.handler = async ({ name, payload }) => {
  const who = await new STSClient().send(new GetCallerIdentityCommand());
  const told = await new LambdaClient().send(
    new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(payload) }));
  return { account: who.Account, arn: who.Arn, told: JSON.parse(Buffer.from(told.Payload).toString()) };
};
"""


def test_the_sdks_reach_lambent_with_no_arguments_as_the_functions_role(functions: Functions) -> None:
    echo = functions.create("def handler(event, context):\n    return {'echo': event}\n")
    for source, runtime in ((PYTHON_CALLER, PYTHON), (NODE_CALLER, "nodejs20.x")):
        caller = functions.create(source, runtime=runtime, Timeout=60, MemorySize=512)
        answer = caller.invoke({"name": echo.name, "payload": [1, "é"]})
        assert answer.error is None, answer.body
        assert answer.document == {
            "account": ACCOUNT,
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/function/{caller.name}",
            "told": {"echo": [1, "é"]},
        }


def test_an_event_is_json_to_the_runtime_whatever_content_type_the_request_names(
    server: Any, functions: Functions
) -> None:
    function = functions.create("def handler(event, context):\n    return event['a']\n")
    for content_type in ("application/json", "application/octet-stream", "text/plain"):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        path = f"/2015-03-31/functions/{function.name}/invocations"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/us-east-1/lambda/aws4_request"}
        connection.request("POST", path, b'{"a": 1}', {"Content-Type": content_type, **signed})
        assert connection.getresponse().read() == b"1"
        connection.close()

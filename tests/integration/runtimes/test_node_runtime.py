"""Node.js functions by Lambent's own client, with the interpreters that this machine has.

What it shares with AWS's client is in `test_node_client_against_official.py`; this is what must hold on every machine.
"""

import base64
import json
import re
from collections.abc import Callable

import pytest
from runtime_conversation import ARN, Event, Machine

OLDER = "nodejs20.x"
NEWER = "nodejs24.x"
ECHO = "exports.handler = async (event) => event;"


@pytest.fixture(params=[OLDER, NEWER])
def every(request: pytest.FixtureRequest, prepared: Callable[[str], Machine]) -> tuple[str, Machine]:
    return request.param, prepared(request.param)


@pytest.fixture
def machine(prepared: Callable[[str], Machine]) -> Machine:
    return prepared(OLDER)


@pytest.fixture
def newer(prepared: Callable[[str], Machine]) -> Machine:
    return prepared(NEWER)


def test_one_process_answers_event_after_event(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "let n = 0; exports.handler = async (event) => [++n, event];"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {"a": "é\u2028"}, 5, None)
    assert [one.document() for one in conversation.posted] == [[1, {"a": "é\u2028"}], [2, 5], [3, None]]
    assert [one.request_id for one in conversation.posted] == ["request-1", "request-2", "request-3"]
    assert (conversation.output, conversation.exit_code) == ("", None)


def test_events_and_answers_of_megabytes_pass_whole(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    event = {"text": "é" * 2_500_000}
    conversation = machine.run(runtime, {"index.js": ECHO}, "index.handler", event, event)
    assert [one.document() for one in conversation.posted] == [event, event]


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.js": "exports.handler = async () => 'here';"}, "index.handler"),
        ({"a/b/index.js": "exports.handler = async () => 'here';"}, "a/b/index.handler"),
        ({"index.js": "exports.some = { deep: { handler: async () => 'here' } };"}, "index.some.deep.handler"),
        ({"index.mjs": "export const handler = async () => 'here';"}, "index.handler"),
        ({"index.cjs": "exports.handler = async () => 'here';"}, "index.handler"),
        (
            {"index.js": "export const handler = async () => 'here';", "package.json": '{"type": "module"}'},
            "index.handler",
        ),
        ({"index.mjs": "const r = await 'here'; export const handler = async () => r;"}, "index.handler"),
        ({"node_modules/pkg/index.js": "exports.handler = async () => 'here';"}, "pkg.handler"),
    ],
)
def test_a_handler_is_found_in_every_form(
    every: tuple[str, Machine], files: dict[str, str | bytes], handler: str
) -> None:
    runtime, machine = every
    assert machine.run(runtime, files, handler, {}).posted[0].document() == "here"


@pytest.mark.parametrize(
    ("files", "handler", "error_type", "message"),
    [
        ({"index.js": ECHO}, "index.other", "Runtime.HandlerNotFound", "index.other is undefined or not exported"),
        ({"index.js": "exports.handler = 1;"}, "index.handler", "Runtime.HandlerNotFound", "is not a function"),
        ({"index.js": ECHO}, "absent.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'absent'"),
        (
            {"index.js": "require('absent');"},
            "index.handler",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'absent'\nRequire stack:\n- /var/task/index.js\n- /var/runtime/index.mjs",
        ),
        ({"index.js": "export ( 1"}, "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        ({"index.js": ECHO}, "index", "Runtime.MalformedHandlerName", "Bad handler"),
        ({"index.js": ECHO}, "../index.handler", "Runtime.MalformedHandlerName", "is not a valid handler name"),
        ({"index.js": "throw new RangeError('at load');"}, "index.handler", "RangeError", "at load"),
    ],
)
def test_what_can_not_be_loaded_is_an_init_error(
    every: tuple[str, Machine], files: dict[str, str | bytes], handler: str, error_type: str, message: str
) -> None:
    runtime, machine = every
    conversation = machine.run(runtime, files, handler, {})
    (posted,) = conversation.posted
    document = posted.document()
    shown = re.sub(r"/var/tmp/lambent-runtimes-\w+/\w+", "", document["errorMessage"])
    assert (posted.kind, document["errorType"]) == ("init/error", error_type)
    assert message in shown
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == error_type
    assert document["trace"][0].startswith(f"{error_type}: ")
    assert conversation.exit_code == (129 if runtime == OLDER else 1)
    title = "Uncaught Exception" if runtime == OLDER else "Init Error"
    assert re.match(
        rf'\d{{4}}-\d\d-\d\dT[\d:.]{{12}}Z\tundefined\tERROR\t{title} \t{{"errorType":"{error_type}",',
        conversation.output,
    )


def test_a_thrown_error_is_told_to_caller_log_and_x_ray(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "exports.handler = async () => { const e = new RangeError('no é'); e.extra = 1; throw e; };"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {}, {})
    first, second = conversation.posted
    assert (first.kind, second.kind) == ("error", "error")
    document = first.document()
    assert list(document) == ["errorType", "errorMessage", "trace"]
    assert (document["errorType"], document["errorMessage"]) == ("RangeError", "no é")
    assert document["trace"][0] == "RangeError: no é"
    assert "/var/task/index.js:1:" in document["trace"][1]
    cause = json.loads(first.headers["Lambda-Runtime-Function-Xray-Error-Cause"])
    assert cause["exceptions"][0]["type"] == "RangeError"
    assert cause["exceptions"][0]["message"] == "no é"
    assert cause["exceptions"][0]["stack"][0]["line"] == 1
    (line, _) = conversation.output.splitlines()
    _time, request_id, level, text = line.split("\t", 3)
    assert (request_id, level) == ("request-1", "ERROR")
    assert text.startswith('Invoke Error \t{"errorType":"RangeError","errorMessage":"no é","extra":1,"stack":["')


def test_the_context_has_all_its_members(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "exports.handler = async (event, context) => "
        "[context, context.getRemainingTimeInMillis(), process.env._X_AMZN_TRACE_ID];"
    )
    headers = {
        "Lambda-Runtime-Client-Context": '{"custom": {"a": 1}}',
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i"}',
        "Lambda-Runtime-Trace-Id": "Root=1-2-3",
        "Lambda-Runtime-Aws-Tenant-Id": "tenant",
    }
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", Event(b"{}", headers), Event(b"{}"))
    context, remaining, trace = conversation.posted[0].document()
    assert context.pop("callbackWaitsForEmptyEventLoop", True) is True
    assert context == {
        "functionVersion": "$LATEST",
        "functionName": "probe",
        "memoryLimitInMB": "256",
        "logGroupName": "/aws/lambda/probe",
        "logStreamName": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
        "clientContext": {"custom": {"a": 1}},
        "identity": {"cognitoIdentityId": "i"},
        "invokedFunctionArn": ARN,
        "awsRequestId": "request-1",
        "tenantId": "tenant",
    }
    assert remaining > 1_000_000
    assert trace == "Root=1-2-3"
    assert conversation.posted[1].document()[2] is None, "a trace id must not outlive its invocation"


def test_callbacks_wait_for_the_event_loop_unless_told_otherwise(machine: Machine) -> None:
    code = (
        "exports.handler = (event, context, callback) => {"
        "  context.callbackWaitsForEmptyEventLoop = event.wait;"
        "  setTimeout(() => console.log('later'), 100);"
        "  callback(null, event);"
        "};"
    )
    waited = machine.run(OLDER, {"index.js": code}, "index.handler", {"wait": True})
    assert waited.posted[0].document() == {"wait": True}
    assert "\tINFO\tlater" in waited.output
    not_waited = machine.run(OLDER, {"index.js": code}, "index.handler", {"wait": False})
    assert not_waited.posted[0].document() == {"wait": False}
    assert not_waited.output == ""


def test_the_newer_runtime_has_no_callbacks(newer: Machine) -> None:
    code = "exports.handler = (event, context, callback) => callback(null, 1);"
    conversation = newer.run(NEWER, {"index.js": code}, "index.handler", {})
    assert conversation.posted[0].kind == "init/error"
    assert conversation.posted[0].document()["errorType"] == "Runtime.CallbackHandlerDeprecated"


def test_the_newer_runtime_answers_with_what_a_plain_function_returns(newer: Machine) -> None:
    conversation = newer.run(NEWER, {"index.js": "exports.handler = () => 5;"}, "index.handler", {})
    assert conversation.posted[0].document() == 5


def test_a_promise_that_can_not_settle_any_more_is_an_error(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "exports.handler = async () => { await new Promise(() => {}); };"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {})
    (posted,) = conversation.posted
    assert (posted.kind, posted.document()["errorType"]) == ("error", "Runtime.NodeJsExit")
    assert conversation.exit_code == 13


@pytest.mark.parametrize(
    ("body", "error_type", "status"),
    [
        ("setTimeout(() => { throw new Error('late'); });", "Error", 129),
        ("Promise.reject(new Error('nobody'));", "Runtime.UnhandledPromiseRejection", 128),
    ],
)
def test_what_nobody_catches_ends_the_process_and_the_invocation(
    every: tuple[str, Machine], body: str, error_type: str, status: int
) -> None:
    runtime, machine = every
    code = f"exports.handler = async () => {{ {body} await new Promise((resolve) => setTimeout(resolve, 20000)); }};"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {})
    (posted,) = conversation.posted
    assert (posted.kind, posted.request_id, posted.document()["errorType"]) == ("error", "request-1", error_type)
    assert conversation.exit_code == status


def test_an_error_between_invocations_ends_the_process_although_it_waits_for_an_event(
    every: tuple[str, Machine],
) -> None:
    runtime, machine = every
    code = "exports.handler = async (event, context) => { setTimeout(() => { throw new Error('late'); }, 100); };"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {}, until_exit=True)
    assert (conversation.posted[0].kind, conversation.exit_code) == ("response", 129)


def test_the_console_writes_lines_of_time_request_level_and_text(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "console.log('load'); exports.handler = async () => { console.warn('a %d', 1); console.error('x\\ny'); };"
    conversation = machine.run(runtime, {"index.js": code}, "index.handler", {})
    lines = [line.split("\t")[1:] for line in conversation.output.split("\n")[:-1]]
    assert lines == [["undefined", "INFO", "load"], ["request-1", "WARN", "a 1"], ["request-1", "ERROR", "x\ry"]]


def test_json_logs_are_one_object_a_line_from_the_level_on(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "exports.handler = async () => { console.debug('no'); console.log({ a: 1 }); "
        "console.error('text', new TypeError('no')); };"
    )
    conversation = machine.run(
        runtime, {"index.js": code}, "index.handler", {}, log_format="JSON", application_log_level="INFO"
    )
    first, second = (json.loads(line) for line in conversation.output.splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {"level": "INFO", "requestId": "request-1", "message": {"a": 1}}
    assert (second["level"], second["errorType"], second["errorMessage"]) == ("ERROR", "TypeError", "no")
    assert second["stackTrace"][0] == "TypeError: no"


def test_a_streamed_answer_arrives_whole_with_its_content_type(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {"
        "  stream.setContentType('text/plain'); stream.write('one '); stream.write(Buffer.from('two')); stream.end();"
        "});"
        "exports.http = awslambda.streamifyResponse(async (event, stream) => {"
        "  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 }); stream.end('body');"
        "});"
    )
    plain = machine.run(runtime, {"index.js": code}, "index.handler", {}, {}).posted
    assert [(one.headers["Content-Type"], one.body) for one in plain] == [("text/plain", b"one two")] * 2
    (http,) = machine.run(runtime, {"index.js": code}, "index.http", {}).posted
    assert http.headers["Content-Type"] == "application/vnd.awslambda.http-integration-response"
    assert http.body == b'{"statusCode":201}' + bytes(8) + b"body"


def test_a_stream_that_fails_is_an_error(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('a'); throw new Error('no'); });"
    (posted,) = machine.run(runtime, {"index.js": code}, "index.handler", {}).posted
    assert (posted.kind, posted.document()["errorMessage"]) == ("error", "no")


def test_the_sdk_is_found_by_require_and_by_import_after_the_functions_own(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    required = (
        "const { LambdaClient, ListFunctionsCommand } = require('@aws-sdk/client-lambda'); "
        "exports.handler = () => new LambdaClient({ maxAttempts: 1 }).send(new ListFunctionsCommand({}))"
        ".catch((error) => [error.address, error.port]);"
    )
    imported = (
        "import { S3Client } from '@aws-sdk/client-s3'; import * as own from '@aws-sdk/client-sqs';"
        "export const handler = async () => [typeof S3Client, own.MINE];"
    )
    files: dict[str, str | bytes] = {
        "index.js": required,
        "other.mjs": imported,
        "node_modules/@aws-sdk/client-sqs/index.js": "exports.MINE = 1;",
    }
    assert machine.run(runtime, files, "index.handler", {}).posted[0].document() == ["127.0.0.1", 9]
    assert machine.run(runtime, files, "other.handler", {}).posted[0].document() == ["function", 1]


def test_the_heap_is_bounded_by_the_functions_memory(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "exports.handler = async () => require('v8').getHeapStatistics().heap_size_limit / 1048576;"
    limit = machine.run(runtime, {"index.js": code}, "index.handler", {}).posted[0].document()
    assert 230 <= limit <= 290


def test_a_wrapper_gets_the_command_line_with_the_script_before_the_handler(machine: Machine) -> None:
    files: dict[str, str | bytes] = {
        "index.js": "exports.handler = async () => process.env.WRAPPED;",
        "wrap": '#!/bin/sh\nexport WRAPPED="$#"\nexec "$@"\n',
    }
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}
    conversation = machine.run(OLDER, files, "index.handler", {}, variables=variables)
    assert int(conversation.posted[0].document()) >= 5
    missing = machine.run(OLDER, {"index.js": ECHO}, "index.handler", {}, variables=variables)
    assert (missing.exit_code, missing.output.rsplit("/var/task/")[-1]) == (127, "wrap: does not exist\n")


def test_bytes_of_an_answer_are_not_touched(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "exports.handler = async () => ({ b: Buffer.from([0, 255]).toString('base64'), u: undefined, d: new Date(0) });"
    )
    body = machine.run(runtime, {"index.js": code}, "index.handler", {}).posted[0].body
    assert body == b'{"b":"' + base64.b64encode(b"\0\xff") + b'","d":"1970-01-01T00:00:00.000Z"}'

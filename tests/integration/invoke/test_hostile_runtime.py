"""A function's code that speaks to the Runtime API itself, and not as it should."""

import json
from typing import Any

import pytest
from live_functions import Answer, Function, Functions

# The module never ends its import: it takes the events itself. `seen` goes out with the next answer.
HOSTILE = r"""
import http.client, json, os, socket, threading

ADDRESS = os.environ["AWS_LAMBDA_RUNTIME_API"]
HOST, PORT = ADDRESS.split(":")
INVOCATION = "/2018-06-01/runtime/invocation/"

def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(ADDRESS)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()

def post(request_id, document, action="response", **headers):
    named = {"Lambda-Runtime-Function-" + name.replace("_", "-"): value for name, value in headers.items()}
    status, _, told = call("POST", INVOCATION + request_id + "/" + action, document, named)
    return [status, json.loads(told)]

def raw(data):
    with socket.create_connection((HOST, int(PORT)), 10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            told = b""
            while True:
                more = connection.recv(65536)
                if not more:
                    return told.decode("latin-1")
                told += more
        except OSError:  # reset, or a broken pipe
            return "reset"

def next_event():
    if INIT == "upgrade":
        told = raw((
            "GET " + INVOCATION + "next HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n"
        ).encode())
        head, _, body = told.partition("\r\n\r\n")
        fields = dict(line.split(": ") for line in head.splitlines()[1:])
        return int(head.split()[1]), fields["Lambda-Runtime-Aws-Request-Id"], body
    status, headers, body = call("GET", INVOCATION + "next")
    return status, headers.get("Lambda-Runtime-Aws-Request-Id"), body

seen, first_id, held = [], None, []
INIT = os.environ.get("INIT", "")
if INIT == "response":
    seen.append(post("8476a536-e9f4-11e8-9739-2dfe598c3fcd", b"1"))
    seen.append(call("GET", "/2018-06-01/ping")[0])
if INIT == "two":
    outcomes = []
    asking = [threading.Thread(target=lambda: outcomes.append(next_event())) for _ in range(2)]
    for thread in asking:
        thread.start()

while True:
    if INIT == "two":
        for thread in asking:
            thread.join()
        (status, request_id, body), refused = sorted(outcomes)
        seen.append(refused[0])
        INIT = ""
    else:
        status, request_id, body = next_event()
    event = json.loads(body)
    first_id = first_id or request_id
    do = event.get("do")
    if do == "wrong id":
        seen.append(post("8476a536-e9f4-11e8-9739-2dfe598c3fcd", b'"for nobody"'))
    if do == "old id":
        seen.append(post(first_id, b'"late"'))
    if do == "forge":
        seen.append(post(event["id"], b'"forged"'))
    if do in ("hand over", "slow"):
        if do == "slow":
            for _ in range(64):
                connection = socket.create_connection((HOST, int(PORT)))
                connection.sendall((
                    "POST " + INVOCATION + "x/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"
                ).encode())
                held.append(connection)
        import boto3
        handed = json.dumps({"do": "forge", "id": request_id})
        answer = boto3.client("lambda").invoke(FunctionName=event["to"], Payload=handed)
        seen.append(json.loads(answer["Payload"].read())["seen"])
        if do == "slow":
            seen.append(raw(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"))
            for connection in held:
                connection.close()
            held.clear()
            while raw(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n") in ("", "reset"):
                pass
    if do == "init error":
        status, _, told = call("POST", "/2018-06-01/runtime/init/error", b"{}")
        seen.append([status, json.loads(told)])
    if do == "garbage":
        seen += [raw(b"\x00\xff\r\n\r\n" * 100), raw(b"GET / HTTP/9.9\r\n\r\n")]
        seen.append(raw(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"))
        seen.append(raw(b"GET / HTTP/1.1\r\nBig: " + b"x" * 3_000_000 + b"\r\n\r\n"))
        seen.append(call("DELETE", "/nothing")[0])
    if do == "connections":
        for _ in range(300):
            connection = socket.create_connection((HOST, int(PORT)))
            connection.sendall(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            held.append(connection)
        served = 0
        for connection in held:
            try:
                served += connection.recv(100)[:15] == b"HTTP/1.1 200 OK"
            except OSError:
                pass
        for connection in held:
            connection.close()
        seen.append(served)
        held.clear()
    if do == "oversized":
        seen.append(post(request_id, b"x" * 7_000_000))
        continue
    if do == "mode":
        seen.append(post(event.get("id", request_id), b"1", Response_Mode="sideways"))
        if "id" not in event:
            continue
    if do == "break off":
        head = "POST " + INVOCATION + event.get("id", request_id) + "/response HTTP/1.1\r\nHost: x\r\n"
        seen.append(raw((head + event["rest"]).encode()).partition("\r\n\r\n"))
        if "id" not in event:
            continue
    if do == "hang up":
        with socket.create_connection((HOST, int(PORT))) as connection:
            connection.sendall((
                "POST " + INVOCATION + request_id + "/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
            ).encode())
        continue
    if do == "error":
        seen.append(post(request_id, event["body"].encode(), "error", Error_Type=event["type"]))
        continue
    if do == "exit without answer":
        os._exit(0)
    told = post(request_id, json.dumps({"seen": seen, "pid": os.getpid(), "request": request_id}).encode())
    assert told == [202, {"status": "OK"}], told
    seen = []
    if do == "twice":
        seen.append(post(request_id, b'"again"'))
"""

ACCEPTED = [202, {"status": "OK"}]
INVALID_ID = [400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}]


def not_allowed(before: str, wanted: str) -> list[Any]:
    message = f"State transition from {before} to {wanted} failed for runtime. Error: State transition is not allowed"
    return [403, {"errorMessage": message, "errorType": "InvalidStateTransition"}]


def seen(answer: Answer) -> list[Any]:
    """What the Runtime API said to the function, in an answer that is this invocation's own."""
    assert answer.error is None, answer.body
    assert answer.document["request"] == answer.request_id
    told: list[Any] = answer.document["seen"]
    return told


@pytest.fixture
def hostile(functions: Functions) -> Function:
    return functions.create(HOSTILE, Timeout=20)


def test_a_response_under_a_wrong_id_is_refused_and_answers_nobody(hostile: Function) -> None:
    assert seen(hostile.invoke({"do": "wrong id"})) == [INVALID_ID]


def test_a_late_response_never_reaches_the_next_caller(hostile: Function) -> None:
    hostile.invoke({})
    assert seen(hostile.invoke({"do": "old id"})) == [INVALID_ID]


def test_a_response_to_an_invocation_of_another_function_reaches_nobody(
    hostile: Function, functions: Functions
) -> None:
    """The one that is answered has told the other its request id, and waits for it to try."""
    other = functions.create(HOSTILE, Timeout=20)
    assert seen(hostile.invoke({"do": "hand over", "to": other.name})) == [[INVALID_ID]]


def test_requests_without_end_take_the_connections_of_their_own_environment_alone(
    hostile: Function, functions: Functions
) -> None:
    """All that it may have: meanwhile others are served, and it is when it gives them back."""
    other = functions.create(HOSTILE, Timeout=20)
    others, own = seen(hostile.invoke({"do": "slow", "to": other.name}))
    assert others == [INVALID_ID]
    assert own in ("", "reset")
    assert seen(hostile.invoke({})) == []


def test_a_second_response_is_refused(hostile: Function) -> None:
    assert seen(hostile.invoke({"do": "twice"})) == []
    assert seen(hostile.invoke({})) == [INVALID_ID]


def test_an_init_error_after_the_start_is_refused(hostile: Function) -> None:
    assert seen(hostile.invoke({"do": "init error"})) == [not_allowed("Running", "InitError")]


def test_a_runtime_survives_that_its_response_is_too_large(hostile: Function) -> None:
    before = hostile.invoke({}).document["pid"]
    answer = hostile.invoke({"do": "oversized"})
    assert answer.document["errorType"] == "Function.ResponseSizeTooLarge"
    assert "Status" not in answer.report
    after = hostile.invoke({})
    assert seen(after) == [
        [
            413,
            {
                "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
                "errorType": "RequestEntityTooLarge",
            },
        ]
    ]
    assert after.document["pid"] == before


def test_garbage_ends_its_connection_and_nothing_else(hostile: Function) -> None:
    *garbage, unknown = seen(hostile.invoke({"do": "garbage"}))
    assert all(told in ("", "reset") or told.startswith("HTTP/1.1 4") for told in garbage), garbage
    assert unknown == 404
    assert seen(hostile.invoke({})) == []


def test_the_connections_of_one_environment_are_bounded_and_come_free_again(hostile: Function) -> None:
    for _ in range(2):
        (served,) = seen(hostile.invoke({"do": "connections"}))
        assert 32 <= served <= 64


NOBODY = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


def test_an_unknown_response_mode_is_refused_and_the_caller_told(hostile: Function) -> None:
    words = "Invalid function response mode"
    answer = hostile.invoke({"do": "mode"})
    assert answer.error == "Unhandled"
    assert answer.document == {"errorType": "Runtime.InvalidResponseModeHeader", "errorMessage": words}
    told = {"errorType": "InvalidFunctionResponseMode", "errorMessage": words}
    assert seen(hostile.invoke({"do": "mode", "id": NOBODY})) == [[400, told], INVALID_ID]


@pytest.mark.parametrize(
    "rest",
    [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nno length\r\n",
        "Content-Length: 9\r\n\r\nab",
    ],
    ids=["in a chunk", "between chunks", "of a told length"],
)
def test_a_response_that_breaks_off_is_nobodys_and_its_caller_need_not_wait(hostile: Function, rest: str) -> None:
    before = hostile.invoke({}).document["pid"]
    head, _, told = seen(hostile.invoke({"do": "break off", "rest": rest, "id": NOBODY}))[0]
    assert (head.split()[1], json.loads(told)) == ("400", INVALID_ID[1])
    words = "HTTP request detected as truncated"
    answer = hostile.invoke({"do": "break off", "rest": rest})
    assert answer.error == "Unhandled"
    assert answer.document == {"errorType": "Runtime.TruncatedResponse", "errorMessage": words}
    after = hostile.invoke({})
    head, _, told = seen(after)[0]
    assert (head.split()[1], json.loads(told)) == ("400", {"errorType": "TruncatedHTTPRequest", "errorMessage": words})
    assert after.document["pid"] == before


def test_a_runtime_that_hangs_up_in_its_response_has_answered(hostile: Function) -> None:
    assert hostile.invoke({"do": "hang up"}).document["errorType"] == "Runtime.TruncatedResponse"
    assert seen(hostile.invoke({})) == []


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("Function.Custom", "Function.Custom"),
        ("Function.not so", "Function.Unknown"),
        ("anything", "Runtime.Unknown"),
    ],
)
def test_an_error_document_passes_unread_whatever_it_is(functions: Functions, given: str, logged: str) -> None:
    hostile = functions.create(HOSTILE, Timeout=20, LoggingConfig={"LogFormat": "JSON"})
    answer = hostile.invoke({"do": "error", "body": "not JSON", "type": given})
    assert (answer.status, answer.error, answer.body) == (200, "Unhandled", b"not JSON")
    assert json.loads(answer.report)["record"]["errorType"] == logged
    assert seen(hostile.invoke({})) == [ACCEPTED]


def test_an_end_without_an_answer_is_told_as_such(hostile: Function) -> None:
    answer = hostile.invoke({"do": "exit without answer"})
    assert answer.document["errorMessage"] == (
        f"RequestId: {answer.request_id} Error: Runtime exited without providing a reason"
    )
    assert seen(hostile.invoke({})) == []


def test_a_response_before_the_first_event_is_refused(functions: Functions) -> None:
    function = functions.create(HOSTILE, Environment={"Variables": {"INIT": "response"}})
    assert seen(function.invoke({})) == [not_allowed("Started", "InvocationResponse"), 200]


def test_of_two_requests_for_the_next_event_one_is_refused(functions: Functions) -> None:
    function = functions.create(HOSTILE, Environment={"Variables": {"INIT": "two"}})
    assert seen(function.invoke({})) == [403]
    assert seen(function.invoke({})) == []


def test_a_runtime_that_wishes_to_upgrade_and_ends_its_side_gets_its_events(functions: Functions) -> None:
    function = functions.create(HOSTILE, Environment={"Variables": {"INIT": "upgrade"}})
    pids = {function.invoke({}).document["pid"] for _ in range(3)}
    assert len(pids) == 1

"""Whatever a function's own code does wrong: AWS's answer, its log lines, and the next invocation runs."""

import base64
import json
import os
import re
from typing import Any

import botocore.exceptions
import pytest
from live_functions import Answer, Function, Functions, control_groups, eventually, processes

EXIT_ERROR = "Runtime.ExitError"

# What each fault leaves to be said: handlers get {"do": ...}, and do nothing wrong when told nothing.
PYTHON_FAULTS = """
import ctypes, os, signal, subprocess, sys, threading, time

def handler(event, context):
    do = (event or {}).get("do")
    if do == "raise":
        raise ValueError("no such thing: \\u00e9\\u4e2d\\U0001f600")
    if do == "sys.exit":
        sys.exit(1)
    if do == "exit":
        os._exit(event["code"])
    if do == "segfault":
        ctypes.string_at(0)
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "loop":
        while True:
            pass
    if do == "object":
        return object()
    if do == "bytes":
        return b"bytes"
    if do == "nan":
        return float("nan")
    if do == "nested":
        deep = []
        for _ in range(event["depth"]):
            deep = [deep]
        return deep
    if do == "big":
        return "x" * event["size"]
    if do == "echo":
        return event["value"]
    if do == "memory":
        held = []
        while True:
            held.append(b"x" * 10_000_000)
    if do == "fork bomb":
        made = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
                made += 1
        except OSError as error:
            return {"made": made, "error": type(error).__name__}
    if do == "fill":
        written = 0
        try:
            with open("/tmp/full", "wb") as file:
                while True:
                    file.write(b"x" * 1048576)
                    file.flush()
                    written += 1
        except OSError as error:
            return {"mib": written, "error": error.strerror}
    if do == "unfill":
        os.unlink("/tmp/full")
    if do == "outlive":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True:
                    time.sleep(0.01)
            os._exit(0)
        os.wait()
    if do == "flood":
        block = b"y" * 99 + b"\\n"
        for _ in range(20):
            sys.stdout.buffer.write(block * 10486)
        sys.stdout.buffer.flush()
        return "flooded"
    return {"pid": os.getpid(), "processes": len([p for p in os.listdir("/proc") if p.isdigit()])}
"""


def assert_framed(answer: Answer, status: str | None = None, error_type: str | None = None) -> None:
    """START, END and REPORT as AWS writes them, with the status of an attempt that did not end as it should."""
    request_id = answer.request_id
    assert f"START RequestId: {request_id} Version: $LATEST" in answer.lines
    assert answer.lines[-2] == f"END RequestId: {request_id}"
    ending = ""
    if status is not None:
        ending = f"Status: {status}" + (f"\tError Type: {error_type}" if error_type else "")
    assert re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+00 ms\tMemory Size: \d+ MB\t"
        rf"Max Memory Used: \d+ MB\t(Init Duration: \d+\.\d\d ms\t)?{re.escape(ending)}",
        answer.report,
    ), answer.report


def assert_failed(answer: Answer, error_type: str, message: str) -> None:
    """The function error that the service itself makes."""
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document == {
        "errorType": error_type,
        "errorMessage": f"RequestId: {answer.request_id} Error: {message}",
    }


@pytest.fixture
def faulty(functions: Functions) -> Function:
    return functions.create(PYTHON_FAULTS, Timeout=10)


def assert_works(function: Function) -> Any:
    answer = function.invoke({})
    assert (answer.status, answer.error) == (200, None), answer.body
    assert_framed(answer)
    return answer.document


def test_an_exception_is_the_functions_answer_and_the_process_lives_on(faulty: Function) -> None:
    before = assert_works(faulty)
    answer = faulty.invoke({"do": "raise"})
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document["errorType"] == "ValueError"
    assert answer.document["errorMessage"] == "no such thing: é中😀"
    assert answer.document["requestId"] == answer.request_id
    assert answer.document["stackTrace"][0].startswith('  File "/var/task/app.py", line ')
    assert_framed(answer)
    assert "[ERROR] ValueError: no such thing: é中😀" in answer.tail
    assert assert_works(faulty) == before


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"do": "exit", "code": 1}, "Runtime exited with error: exit status 1"),
        ({"do": "exit", "code": 0}, "Runtime exited without providing a reason"),
        ({"do": "exit", "code": 255}, "Runtime exited with error: exit status 255"),
        ({"do": "sys.exit"}, "Runtime exited with error: exit status 1"),
        ({"do": "segfault"}, "Runtime exited with error: signal: segmentation fault"),
        ({"do": "kill"}, "Runtime exited with error: signal: killed"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_a_process_that_ends_is_told_as_it_ended_and_is_started_anew(
    faulty: Function, event: dict[str, Any], message: str
) -> None:
    assert_works(faulty)
    answer = faulty.invoke(event)
    assert_failed(answer, EXIT_ERROR, message)
    assert_framed(answer, "error", EXIT_ERROR)
    said = answer.lines.index(f"RequestId: {answer.request_id} Error: {message}")
    assert answer.lines[said + 1] == EXIT_ERROR
    again = faulty.invoke({})
    assert again.error is None
    assert_framed(again)
    assert again.lines[0].startswith("START"), "the tail begins with the invocation, not with its initialisation"
    assert "Init Duration" not in again.report, "the start inside an invocation is part of its duration"


def test_a_memory_hog_is_killed_alone(server: Any, faulty: Function) -> None:
    assert_works(faulty)
    if not control_groups(server.data_dir):
        pytest.skip("no memory cgroup may be written to here; RLIMIT_DATA gives the function a MemoryError")
    answer = faulty.invoke({"do": "memory"})
    assert_failed(answer, EXIT_ERROR, "Runtime exited with error: signal: killed")
    assert re.search(r"Memory Size: 128 MB\tMax Memory Used: 12[78] MB", answer.report)
    assert_works(faulty)


def test_an_infinite_loop_ends_at_the_timeout(functions: Functions) -> None:
    function = functions.create(PYTHON_FAULTS, Timeout=1)
    answer = function.invoke({"do": "loop"})
    assert_failed(answer, "Sandbox.Timedout", "Task timed out after 1.00 seconds")
    assert_framed(answer, "timeout")
    assert re.search(rf"\d\d\d\dZ? ?.*{answer.request_id} Task timed out after 1.00 seconds\n\nEND ", answer.tail)
    assert "Duration: 1000.00 ms\tBilled Duration: 1" in answer.report
    assert_works(function)


def test_a_result_that_is_not_json_is_a_marshalling_error(faulty: Function) -> None:
    answer = faulty.invoke({"do": "object"})
    assert answer.error == "Unhandled"
    assert answer.document["errorType"] == "Runtime.MarshalError"
    assert answer.document["errorMessage"] == (
        "Unable to marshal response: Object of type object is not JSON serializable"
    )
    assert_framed(answer)
    assert_works(faulty)


def test_bytes_and_nan_pass_as_the_official_client_writes_them(faulty: Function) -> None:
    assert faulty.invoke({"do": "bytes"}).body == b"bytes"
    assert faulty.invoke({"do": "nan"}).body == b"NaN"


def test_any_json_goes_in_and_out_unchanged(faulty: Function) -> None:
    values = [None, True, -1.5e300, "", "é中😀\u0000\u2028", [], {"": {}}, "x" * 1_000_000]
    for value in values:
        assert faulty.invoke({"do": "echo", "value": value}).document == value
    deep = faulty.invoke({"do": "nested", "depth": 400})
    assert deep.body == b"[" * 401 + b"]" * 401


def test_an_answer_and_an_error_are_told_to_be_json(faulty: Function) -> None:
    for payload in (b'{"do": "echo", "value": 1}', b'{"do": "raise"}'):
        given = faulty.client.invoke(FunctionName=faulty.name, Payload=payload)
        assert given["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/json"


def test_an_event_may_be_any_json_and_a_missing_one_is_an_empty_object(functions: Functions) -> None:
    function = functions.create("def handler(event, context):\n    return [event]\n")
    for event in (None, 1, "text", [1], {"a": 1}):
        assert function.invoke(event).document == [event]
    assert function.invoke(b"").document == [{}]


def test_a_response_beyond_the_limit_is_refused(faulty: Function) -> None:
    answer = faulty.invoke({"do": "big", "size": 7_000_000})
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    # The official client gives up when its response is refused.
    assert_framed(answer, "error", EXIT_ERROR)
    assert_works(faulty)
    just = faulty.invoke({"do": "big", "size": 6_291_554})
    assert (just.error, len(just.body)) == (None, 6_291_556)


def test_a_request_beyond_the_limit_never_reaches_the_function(faulty: Function) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        faulty.invoke(json.dumps("x" * 7_000_000).encode())
    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert refused.value.response["Error"]["Message"] == (
        "7000002 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
    )
    just = faulty.invoke(b'{"a":"' + b"x" * (6_291_456 - 8) + b'"}')
    assert just.error is None


@pytest.mark.parametrize(
    ("payload", "reason", "column"),
    [
        (b"hello", "Unrecognized token 'hello': was expecting (JSON String, Number, Array, Object or token "
         "'null', 'true' or 'false')", 6),
        (b'{"a":', "Unexpected end-of-input", 6),
    ],
)  # fmt: skip
def test_a_request_that_is_not_json_is_refused_with_the_place(
    faulty: Function, payload: bytes, reason: str, column: int
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        faulty.invoke(payload)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    message = refused.value.response["Error"]["Message"]
    assert message.startswith(f"Could not parse request body into json: Could not parse payload into json: {reason}")
    assert message.endswith(
        f"\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {column}]"
    )


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_request_that_is_nested_without_end_is_refused(faulty: Function, depth: int) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        faulty.invoke(b"[" * depth + b"]" * depth)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_half_of_a_surrogate_pair_is_json(faulty: Function) -> None:
    assert faulty.invoke(b'{"a":"\\ud83d"}').error is None
    with pytest.raises(botocore.exceptions.ClientError):
        faulty.invoke(b'{"a":NaN}')


def test_a_client_context_that_is_nested_without_end_is_refused(faulty: Function) -> None:
    context = base64.b64encode(b'{"a":' * 200 + b"[" * 800 + b"]" * 800 + b"}" * 200).decode()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        faulty.invoke({}, ClientContext=context)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_a_fork_bomb_is_bounded_and_does_not_outlive_its_environment(server: Any, functions: Functions) -> None:
    function = functions.create(PYTHON_FAULTS, Timeout=30, MemorySize=1024)
    answer = function.invoke({"do": "fork bomb"})
    assert answer.document["error"] == "BlockingIOError"
    assert 500 < answer.document["made"] <= 1024
    # It is frozen with its thousand children; one more invocation can be run in it all the same.
    assert assert_works(function)["processes"] > 500
    assert len(processes(server.data_dir)) > 500
    functions.delete_all()
    eventually(lambda: not processes(server.data_dir) and not control_groups(server.data_dir))


def test_a_full_tmp_is_the_functions_own_trouble_and_stays_with_its_environment(faulty: Function) -> None:
    answer = faulty.invoke({"do": "fill"})
    assert answer.document["error"] == "No space left on device"
    assert 500 <= answer.document["mib"] <= 540
    assert_works(faulty)
    assert faulty.invoke({"do": "fill"}).document["error"] == "No space left on device"
    faulty.invoke({"do": "unfill"})
    assert faulty.invoke({"do": "fill"}).document["mib"] >= 500


def test_a_child_that_outlives_the_handler_ends_with_its_environment(
    server: Any, functions: Functions, faulty: Function
) -> None:
    before = assert_works(faulty)
    faulty.invoke({"do": "outlive"})
    assert assert_works(faulty)["processes"] == before["processes"] + 1
    # A crash takes the whole process tree along, the child as well.
    faulty.invoke({"do": "exit", "code": 1})
    assert assert_works(faulty)["processes"] == before["processes"]
    faulty.invoke({"do": "outlive"})
    functions.delete_all()
    eventually(lambda: not processes(server.data_dir))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="without a cgroup, nobody knows what a program took that has ended")
def test_the_memory_of_a_program_that_ended_is_not_in_the_report_of_the_next(functions: Functions) -> None:
    function = functions.create(
        """
        import os
        def handler(event, context):
            if event:
                block = b"x" * (100 << 20)
                os._exit(1)
        """.replace("\n        ", "\n"),
        MemorySize=512,
    )
    used = [
        int(re.search(r"Max Memory Used: (\d+) MB", function.invoke(event).report)[1])  # type: ignore[index]
        for event in (None, {"crash": 1}, None)
    ]
    assert used[1] >= 100
    assert used[2] < used[0] + 50


def test_a_flood_of_output_slows_the_function_and_loses_no_answer(faulty: Function) -> None:
    faulty.update(Timeout=60)
    answer = faulty.invoke({"do": "flood"})
    assert answer.document == "flooded"
    assert_tail_is_bounded(answer)
    assert_works(faulty)


def assert_tail_is_bounded(answer: Answer) -> None:
    """The last 4 KB, which end with REPORT."""
    assert len(answer.tail.encode()) == 4096
    assert answer.lines[-2] == f"END RequestId: {answer.request_id}"
    assert answer.report.startswith(f"REPORT RequestId: {answer.request_id}\t")
    assert answer.lines[1] == "y" * 99

"""A function that does not get as far as its handler: what the caller is told, what the log says, what runs again."""

import re
from typing import Any

import pytest
from live_functions import PROVIDED, Function, Functions

NODE = "nodejs20.x"

PYTHON_CASES = {
    "syntax": (
        "def handler(event, context)\n    pass\n",
        "Runtime.UserCodeSyntaxError",
        r"Syntax error in module 'app': expected ':' \(app\.py, line 1\)",
    ),
    "missing handler": (
        "def other(event, context): pass\n",
        "Runtime.HandlerNotFound",
        r"Handler 'handler' missing on module 'app'",
    ),
    "import": (
        "import nothing_of_this_name\ndef handler(event, context): pass\n",
        "Runtime.ImportModuleError",
        r"Unable to import module 'app': No module named 'nothing_of_this_name'",
    ),
    "exception": (
        "raise KeyError('at init')\n",
        "KeyError",
        r"'at init'",
    ),
}


def logged(error_type: str) -> str:
    """An error that is the function's own is not named in what is measured."""
    return error_type if error_type.startswith("Runtime.") else "Runtime.Unknown"


def stream_lines(server: Any, function: Function) -> list[str]:
    """The lines of the function's one environment."""
    logs = server.client("logs")
    group = f"/aws/lambda/{function.name}"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    return [event["message"].rstrip("\n") for event in events["events"]]


@pytest.mark.parametrize("case", PYTHON_CASES)
def test_what_python_can_not_load_is_answered_by_its_error(server: Any, functions: Functions, case: str) -> None:
    source, error_type, message = PYTHON_CASES[case]
    function = functions.create(source)
    for _ in range(2):  # the next invocation tries again, and fails in the same way
        answer = function.invoke({})
        assert (answer.status, answer.error) == (200, "Unhandled")
        assert answer.document["errorType"] == error_type
        assert re.fullmatch(message, answer.document["errorMessage"])
        assert answer.document["requestId"] == ""
        assert answer.lines[-2] == f"END RequestId: {answer.request_id}"
        assert f"\tStatus: error\tError Type: {logged(error_type)}" in answer.report
        assert "Init Duration" not in answer.report
    lines = stream_lines(server, function)
    assert [line.split()[0] for line in lines].count("INIT_START") == 3, lines
    reports = [re.sub(r"\d+\.\d\d ms", "N ms", line) for line in lines if line.startswith("INIT_REPORT")]
    assert reports == [
        f"INIT_REPORT Init Duration: N ms\tPhase: {phase}\tStatus: error\tError Type: {logged(error_type)}"
        for phase in ("init", "invoke", "invoke")
    ]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("ctypes.string_at(0)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_process_that_ends_at_init_is_told_as_it_ended(
    server: Any, functions: Functions, statement: str, message: str
) -> None:
    function = functions.create(f"import ctypes, os, sys\nprint('said first')\n{statement}\n")
    answer = function.invoke({})
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {answer.request_id} Error: {message}",
    }
    assert answer.report.endswith("\tStatus: error\tError Type: Runtime.ExitError")
    lines = [re.sub(r"\d+\.\d\d ms", "N ms", line) for line in stream_lines(server, function)]
    assert lines[1:3] == [
        "said first",
        "INIT_REPORT Init Duration: N ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError",
    ]
    assert lines[4:-1] == [
        "said first",
        "INIT_REPORT Init Duration: N ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError",
        f"START RequestId: {answer.request_id} Version: $LATEST",
        f"RequestId: {answer.request_id} Error: {message}",
        "Runtime.ExitError",
        f"END RequestId: {answer.request_id}",
    ]


def test_an_init_that_fails_once_is_repeated_inside_the_invocation(functions: Functions) -> None:
    function = functions.create(
        "import os\n"
        "if not os.path.exists('/tmp/tried'):\n"
        "    open('/tmp/tried', 'w').close()\n"
        "    os._exit(1)\n"
        "def handler(event, context): return 'served'\n"
    )
    answer = function.invoke({})
    assert (answer.error, answer.document) == (None, "served")
    assert "Init Duration" not in answer.report
    assert "Status" not in answer.report


def test_a_repeated_init_runs_on_the_functions_timeout(server: Any, functions: Functions) -> None:
    function = functions.create(
        "import os, time\n"
        "if not os.path.exists('/tmp/tried'):\n"
        "    open('/tmp/tried', 'w').close()\n"
        "    os._exit(1)\n"
        "time.sleep(60)\n",
        Timeout=1,
    )
    answer = function.invoke({})
    assert answer.document == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {answer.request_id} Error: Task timed out after 1.00 seconds",
    }
    assert answer.report.endswith("Status: timeout")
    told = [line for line in stream_lines(server, function) if line.startswith(("INIT_REPORT", "START"))]
    assert re.fullmatch(r"INIT_REPORT Init Duration: 1\d\d\d\.\d\d ms\tPhase: invoke\tStatus: timeout", told[1])
    assert told[2:] == [f"START RequestId: {answer.request_id} Version: $LATEST"]


@pytest.mark.slow
def test_an_init_beyond_ten_seconds_is_cut_off_and_repeated(server: Any, functions: Functions) -> None:
    function = functions.create(
        "import os, time\n"
        "if not os.path.exists('/tmp/tried'):\n"
        "    open('/tmp/tried', 'w').close()\n"
        "    time.sleep(60)\n"
        "def handler(event, context): return 'served'\n"
    )
    assert function.invoke({}).document == "served"
    reports = [line for line in stream_lines(server, function) if line.startswith("INIT_REPORT")]
    (report,) = reports
    assert re.fullmatch(r"INIT_REPORT Init Duration: (9999|1\d\d\d\d)\.\d\d ms\tPhase: init\tStatus: timeout", report)


NODE_CASES = {
    "syntax": ("exports.handler = async (event => 1;\n", "Runtime.UserCodeSyntaxError", "SyntaxError: .*"),
    "missing handler": ("exports.other = async () => 1;\n", "Runtime.HandlerNotFound",
                        "app.handler is undefined or not exported"),
    "import": ("require('nothing-of-this-name');\n", "Runtime.ImportModuleError",
               "Error: Cannot find module 'nothing-of-this-name'\nRequire stack:\n(.|\n)*"),
    "exception": ("throw new RangeError('at init');\n", "RangeError", "at init"),
}  # fmt: skip


@pytest.mark.parametrize("case", NODE_CASES)
def test_what_node_can_not_load_is_answered_by_its_error(functions: Functions, case: str) -> None:
    source, error_type, message = NODE_CASES[case]
    function = functions.create(source, runtime=NODE)
    for _ in range(2):
        answer = function.invoke({})
        assert (answer.status, answer.error) == (200, "Unhandled")
        assert answer.document["errorType"] == error_type
        assert re.fullmatch(message, answer.document["errorMessage"]), answer.document
        assert isinstance(answer.document["trace"], list)
        assert f"\tStatus: error\tError Type: {logged(error_type)}" in answer.report


def test_what_node_does_wrong_in_its_handler_is_told_and_the_next_event_served(functions: Functions) -> None:
    function = functions.create(
        "exports.handler = async ({ act }) => {\n"
        "  if (act === 'throw') throw new TypeError('thrown');\n"
        "  if (act === 'exit') process.exit(7);\n"
        "  if (act === 'later') setTimeout(() => { throw new Error('unhandled'); }, 1);\n"
        "  if (act === 'later') await new Promise((done) => setTimeout(done, 5000));\n"
        "  if (act === 'never') await new Promise(() => {});\n"
        "  return 'served';\n"
        "};\n",
        runtime=NODE,
        Timeout=10,
    )
    assert function.invoke({}).document == "served"
    thrown = function.invoke({"act": "throw"}).document
    assert (thrown["errorType"], thrown["errorMessage"], thrown["trace"][0]) == (
        "TypeError", "thrown", "TypeError: thrown",
    )  # fmt: skip
    ended = function.invoke({"act": "exit"})
    assert ended.document["errorMessage"].endswith("Error: Runtime exited with error: exit status 7")
    assert ended.document["errorType"] == "Runtime.ExitError"
    assert function.invoke({}).document == "served"
    assert function.invoke({"act": "later"}).document["errorMessage"] == "unhandled"
    assert function.invoke({"act": "never"}).document["errorType"] == "Runtime.NodeJsExit"
    assert function.invoke({}).document == "served"


@pytest.mark.parametrize(
    ("bootstrap", "error_type", "message"),
    [
        (None, "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ("#!/nothing/of/this/name\n", "Runtime.InvalidEntrypoint", None),
        ("#!/bin/sh\nexit 5\n", "Runtime.ExitError", "Runtime exited with error: exit status 5"),
        ("#!/bin/sh\nnothing-of-this-name\n", "Runtime.ExitError", "Runtime exited with error: exit status 127"),
        ("#!/bin/sh\nkill -ABRT $$\n", "Runtime.ExitError", "Runtime exited with error: signal: aborted"),
    ],
    ids=("none", "no interpreter", "exits", "command not found", "aborts"),
)
def test_a_bootstrap_that_does_not_come_up_is_told(
    functions: Functions, bootstrap: str | None, error_type: str, message: str | None
) -> None:
    files = {"other": "nothing"} if bootstrap is None else {"bootstrap": bootstrap}
    function = functions.create(files, runtime=PROVIDED, handler="none")
    for _ in range(2):
        answer = function.invoke({})
        assert (answer.status, answer.error) == (200, "Unhandled")
        assert answer.document["errorType"] == error_type
        if message is not None:
            assert answer.document["errorMessage"] == f"RequestId: {answer.request_id} Error: {message}"
        assert answer.report.endswith(f"\tStatus: error\tError Type: {error_type}")

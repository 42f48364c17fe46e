"""Versions with SnapStart, from PublishVersion to the log: initialised once, and restored for whoever invokes them."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from live_functions import Answer, Function, Functions, assert_nothing_left, descendants, eventually, living, processes

ON = {"SnapStart": {"ApplyOn": "PublishedVersions"}}

CODE = """
import os, random, socket, ssl, time, uuid
import boto3
from snapshot_restore_py import register_after_restore, register_before_snapshot

print("initialising")
MADE = uuid.uuid4().hex
RESTORED = []
STS = boto3.client("sts")
STS.get_caller_identity()  # by a connection that it keeps
BEFORE = STS._request_signer._credentials.get_frozen_credentials().access_key
PLACE = os.environ.get("TMPDIR", "/tmp") + "/made"  # without a sandbox, /tmp is the machine's
with open(PLACE, "w") as file:
    file.write(MADE)
register_before_snapshot(print, "first before")
register_before_snapshot(print, "second before")
register_after_restore(print, "first after")
register_after_restore(RESTORED.append, "restored")

def handler(event, context):
    with open(PLACE, "a") as file:
        file.write(event.get("write", ""))
    if "exit" in event:
        os._exit(event["exit"])
    time.sleep(event.get("sleep", 0))
    credentials = STS._request_signer._credentials.get_frozen_credentials()
    return {
        "made": MADE,
        "restored": RESTORED,
        "tmp": open(PLACE).read(),
        "drawn": [random.random(), str(uuid.uuid4()), os.urandom(16).hex(), ssl.RAND_bytes(16).hex()],
        "keys": [BEFORE, credentials.access_key],
        "role": STS.get_caller_identity()["Arn"],
        "environment": dict(os.environ),
        "stream": context.log_stream_name,
    }
"""


@pytest.fixture(scope="module")
def restoring(server: Any) -> Iterator[Any]:
    """A server that also takes the Python that these tests run with, whichever that is."""
    arguments = (*server.arguments, "--snap-start-on-older-runtimes")
    running = type(server)(server.data_dir.with_name("restoring"), arguments).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def snapped(restoring: Any) -> Iterator[Functions]:
    made = Functions(restoring.client("lambda"))
    yield made
    made.client = restoring.client("lambda")  # which a test may have started anew
    for function in made.made:
        made.client.delete_function(FunctionName=function.name)
    assert_nothing_left(restoring.data_dir)


def published(function: Function, **waiting: Any) -> None:
    """Version 1, once it is active."""
    answer = function.client.publish_version(FunctionName=function.name)
    assert (answer["Version"], answer["State"], answer["StateReasonCode"]) == ("1", "Pending", "Creating")
    waiter = function.client.get_waiter("published_version_active")
    waiter.wait(FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200, **waiting})


def version(function: Function, qualifier: str = "1") -> dict[str, Any]:
    shown: dict[str, Any] = function.client.get_function_configuration(FunctionName=function.name, Qualifier=qualifier)
    return shown


def invoke(function: Function, payload: Any = None, **parameters: Any) -> Answer:
    return function.invoke(payload or {}, Qualifier="1", **parameters)


def refused(function: Function) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        invoke(function)
    answer = raised.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def streams(server: Any, function: Function) -> list[list[str]]:
    """The lines of each of the version's log streams, without what is measured, in the order of their first line."""
    logs, group = server.client("logs"), f"/aws/lambda/{function.name}"
    found = []
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        assert "/[1]" in stream["logStreamName"]
        read = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        events = read["events"]
        found.append((events[0]["timestamp"], [event["message"].rstrip("\n") for event in events]))
    return [lines for _, lines in sorted(found)]


def test_a_version_is_initialised_when_it_is_published_and_restored_when_it_is_invoked(
    restoring: Any, snapped: Functions
) -> None:
    function = snapped.create(CODE, **ON)
    published(function)
    shown = version(function)
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert shown["LastUpdateStatus"] == "Successful"
    assert version(function, "$LATEST")["SnapStart"]["OptimizationStatus"] == "Off"
    first, second = invoke(function), invoke(function)
    assert first.document["restored"] == ["restored"]
    assert first.document["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert "\tRestore Duration: " in first.report
    assert "\tBilled Restore Duration: " in first.report
    assert "Init Duration" not in first.report
    assert "Restore Duration" not in second.report
    template, restored = eventually(lambda: len(found := streams(restoring, function)) == 2 and found)
    assert template[0].startswith("INIT_START Runtime Version: python:")
    assert template[1:-1] == ["initialising", "second before", "first before"]
    assert template[-1].startswith("INIT_REPORT Init Duration: ")
    assert template[-1].endswith(" ms\tPhase: init\tStatus: success")
    assert restored[0].startswith("RESTORE_START Runtime Version: python:")
    assert restored[1] == "first after"
    assert restored[2].startswith("RESTORE_REPORT Restore Duration: ")
    assert [line.split()[0] for line in restored[3:]] == ["START", "END", "REPORT"] * 2


def test_two_environments_of_one_template_share_its_memory_and_nothing_that_must_differ(snapped: Functions) -> None:
    function = snapped.create(CODE, Timeout=20, **ON)
    published(function)
    with ThreadPoolExecutor(2) as callers:
        one, two = callers.map(lambda word: invoke(function, {"sleep": 1, "write": word}).document, ("+one", "+two"))
    assert one["made"] == two["made"]
    assert [one["tmp"], two["tmp"]] == [one["made"] + "+one", one["made"] + "+two"]
    assert all(mine != others for mine, others in zip(one["drawn"], two["drawn"], strict=True))
    # Each has keys of its own, also in a client that was made, and had signed with others, before the snapshot.
    assert one["keys"][0] == two["keys"][0]
    assert len({*one["keys"], *two["keys"]}) == 3
    assert one["role"] == two["role"]
    assert one["role"].endswith(f":assumed-role/function/{function.name}")


def test_the_environment_variables_are_those_of_lambda_under_snap_start(snapped: Functions) -> None:
    function = snapped.create(CODE, Environment={"Variables": {"MINE": "1"}}, **ON)
    published(function)
    told = invoke(function).document
    assert told["stream"] is None
    environment = told["environment"]
    assert environment["MINE"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "1"
    absent = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_LOG_STREAM_NAME"}
    assert not absent & environment.keys()
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/2021-04-23/credentials")


def test_a_function_that_is_not_forked_from_a_zygote_is_restored_too(snapped: Functions) -> None:
    """What the interpreter takes from the environment when it starts asks for a process of its own."""
    function = snapped.create(CODE, Environment={"Variables": {"PYTHONHASHSEED": "7"}}, **ON)
    published(function)
    first, second = invoke(function).document, invoke(function, {"write": "+"}).document
    assert first["environment"]["PYTHONHASHSEED"] == "7"
    assert first["restored"] == ["restored"]
    assert second["tmp"] == first["made"] + "+"


def test_the_log_in_json_tells_of_the_restoration(restoring: Any, snapped: Functions) -> None:
    function = snapped.create(CODE, LoggingConfig={"LogFormat": "JSON"}, **ON)
    published(function)
    invoke(function)
    found = eventually(lambda: len(found := streams(restoring, function)) == 2 and found)
    template, restored = ([json.loads(line) for line in lines if '"platform.' in line] for lines in found)
    assert [record["type"] for record in template] == ["platform.initStart", "platform.initReport"]
    assert {record["record"]["initializationType"] for record in template} == {"snap-start"}
    told = {record["type"]: record["record"] for record in restored}
    assert told["platform.restoreStart"]["functionVersion"] == "1"
    assert told["platform.restoreReport"]["status"] == "success"
    metrics = told["platform.report"]["metrics"]
    assert 0 < metrics["billedRestoreDurationMs"] <= metrics["restoreDurationMs"] + 1
    assert metrics["billedDurationMs"] >= metrics["durationMs"] + metrics["billedRestoreDurationMs"] - 1


def test_credentials_are_for_who_has_the_token(snapped: Functions) -> None:
    function = snapped.create(
        """
import os, json, urllib.error, urllib.request
def handler(event, context):
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    mine = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    if event["token"]:
        request.add_header("Authorization", event["token"].replace("MINE", mine))
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return error.code
""",
        **ON,
    )
    published(function)
    given = invoke(function, {"token": "MINE"}).document
    assert given.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert [invoke(function, {"token": token}).document for token in ("", "MINE0", "other")] == [401, 401, 401]


@pytest.mark.parametrize(
    ("code", "error_type", "output"),
    [
        ("raise ValueError('not today')", "Runtime.Unknown", "not today"),
        ("import os; os._exit(7)", "Runtime.ExitError", ""),
        (
            "from snapshot_restore_py import register_before_snapshot\nregister_before_snapshot(lambda: 1 / 0)\n"
            "def handler(event, context): pass",
            "Runtime.BeforeSnapshotError",
            "division by zero",
        ),
    ],
    ids=["an error", "an exit", "a hook"],
)
def test_a_version_that_can_not_be_initialised_is_failed(
    restoring: Any, snapped: Functions, code: str, error_type: str, output: str
) -> None:
    function = snapped.create(code, **ON)
    with pytest.raises(WaiterError):
        published(function)
    shown = version(function)
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "FunctionError")
    assert (shown["LastUpdateStatus"], shown["LastUpdateStatusReasonCode"]) == ("Failed", "FunctionError")
    assert shown["StateReason"] == "An error occurred during function initialization."
    assert shown["SnapStart"]["OptimizationStatus"] == "Off"
    assert refused(function) == (409, "ResourceConflictException")
    (template,) = eventually(lambda: streams(restoring, function))
    assert template[-1].endswith(f"\tStatus: error\tError Type: {error_type}")
    assert output in "".join(template)


DEEP = """
import os
os.chdir("/tmp")
for _ in range(1500):
    os.mkdir("directory")
    os.chdir("directory")
os.chdir("/var/task")
def handler(event, context): return 1
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="of root's functions /tmp is a disk image, which is copied whole")
def test_a_version_whose_tmp_can_not_be_copied_is_failed_for_that_reason(restoring: Any, snapped: Functions) -> None:
    function = snapped.create(DEEP, **ON)
    with pytest.raises(WaiterError):
        published(function)
    shown = version(function)
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InternalError")
    assert shown["StateReason"] == "The snapshot of the function could not be made: its /tmp could not be copied."
    (template,) = eventually(lambda: streams(restoring, function))
    assert template[-1].endswith("\tStatus: error\tError Type: Sandbox.Failure")


def test_a_version_that_is_being_initialised_is_not_ready(snapped: Functions) -> None:
    function = snapped.create("import time; time.sleep(3)\ndef handler(event, context): return 1", **ON)
    function.client.publish_version(FunctionName=function.name)
    assert refused(function) == (409, "SnapStartNotReadyException")
    waiter = function.client.get_waiter("published_version_active")
    waiter.wait(FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    assert invoke(function).document == 1


def test_one_that_is_deleted_while_it_is_initialised_leaves_nothing(restoring: Any, snapped: Functions) -> None:
    function = snapped.create("import time; time.sleep(60)\ndef handler(event, context): return 1", **ON)
    function.client.publish_version(FunctionName=function.name)
    snapped.delete_all()
    assert_nothing_left(restoring.data_dir)


HOOK = """
import time
from snapshot_restore_py import register_after_restore
register_after_restore({hook})
def handler(event, context): return 1
"""


@pytest.mark.parametrize(
    ("hook", "refusal", "report"),
    [
        ("lambda: 1 / 0", (400, "SnapStartException"), "\tStatus: error\tError Type: Runtime.AfterRestoreError"),
        (
            "lambda: __import__('os')._exit(9)",
            (400, "SnapStartException"),
            "\tStatus: error\tError Type: Runtime.ExitError",
        ),
        ("lambda: time.sleep(60)", (408, "SnapStartTimeoutException"), "\tStatus: timeout"),
    ],
    ids=["an error", "an exit", "no end"],
)
def test_the_caller_is_told_of_hooks_that_fail(
    restoring: Any, snapped: Functions, hook: str, refusal: tuple[int, str], report: str
) -> None:
    function = snapped.create(HOOK.format(hook=hook), **ON)
    published(function)
    assert refused(function) == refusal
    _, restored = eventually(lambda: len(found := streams(restoring, function)) == 2 and found)
    assert restored[-1].startswith("RESTORE_REPORT Restore Duration: ")
    assert restored[-1].endswith(report)
    # The version is active as before: the next caller has a restoration of its own.
    assert version(function)["State"] == "Active"


def test_an_environment_that_breaks_gives_way_to_another_restoration(snapped: Functions) -> None:
    function = snapped.create(CODE, Timeout=1, **ON)
    published(function)
    before = invoke(function)
    assert invoke(function, {"exit": 3}).document["errorType"] == "Runtime.ExitError"
    after = invoke(function)
    assert after.document["made"] == before.document["made"]
    assert "Restore Duration" in after.report
    assert invoke(function, {"sleep": 5}).document["errorType"] == "Sandbox.Timedout"
    again = invoke(function)
    assert again.document["made"] == before.document["made"]
    assert "Restore Duration" in again.report


def test_a_server_that_is_started_anew_has_the_template_made_again(restoring: Any, snapped: Functions) -> None:
    function = snapped.create(CODE, **ON)
    published(function)
    before = invoke(function).document["made"]
    assert restoring.stop() == 0
    restoring.start()
    function = Function(function.name, restoring.client("lambda"))
    assert version(function)["SnapStart"]["OptimizationStatus"] == "On"
    after = invoke(function)
    assert after.document["made"] != before
    assert "Restore Duration" in after.report


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_ends_while_a_version_is_initialised_begins_again(
    restoring: Any, snapped: Functions, end: str
) -> None:
    function = snapped.create("import time; time.sleep(2)\ndef handler(event, context): return 1", **ON)
    function.client.publish_version(FunctionName=function.name)
    eventually(lambda: processes(restoring.data_dir))
    getattr(restoring, end)()
    restoring.start()
    function = Function(function.name, restoring.client("lambda"))
    assert version(function)["State"] == "Pending"
    waiter = function.client.get_waiter("published_version_active")
    waiter.wait(FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    assert invoke(function).document == 1


def test_one_is_restored_ahead_of_the_call_that_needs_it(restoring: Any, snapped: Functions) -> None:
    code = """
import os, time
def handler(event, context):
    time.sleep(3)
    with open("/proc/self/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
"""
    function = snapped.create(code, Timeout=10, **ON)
    published(function)
    calls = []
    with ThreadPoolExecutor(8) as callers:
        for _ in range(6):
            calls.append((time.clock_gettime(time.CLOCK_BOOTTIME), callers.submit(invoke, function)))
            time.sleep(0.2)
        ahead = [call.result().document < called_s - 0.05 for called_s, call in calls]
    assert any(ahead) == ("--preboot-memory-mib" not in restoring.arguments)
    assert not ahead[0], "one was restored before anybody had called"


def launcher_of(server: Any) -> int:
    """The process that all sandboxes live in."""
    for process, command in living(descendants(server.process.pid)).items():
        if "sandbox.launcher" in command:
            return process
    raise AssertionError("no launcher")


def test_a_template_that_is_lost_is_made_again(restoring: Any, snapped: Functions) -> None:
    function = snapped.create(CODE, **ON)
    published(function)
    before = invoke(function).document["made"]
    os.kill(launcher_of(restoring), signal.SIGKILL)
    made = eventually(lambda: _made_after(function, before))
    assert made != before


def test_a_template_that_bears_nothing_keeps_nobody_else_waiting(restoring: Any, snapped: Functions) -> None:
    find = """
import socket
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
parts = [cell.cell_contents for cell in LambdaRuntimeClient.restore_next.__closure__]
restoring = next(part for part in parts if hasattr(part, "wait"))
def wait(control):
    control.send(b"snapshot")
    orders = []
    while True:
        orders.append(socket.recv_fds(control, 1 << 18, 16))
        print("ordered", flush=True)
restoring.wait = wait
def handler(event, context): return event
"""
    stuck, other = snapped.create(find, **ON), snapped.create("def handler(event, context): return event")
    published(stuck)
    with ThreadPoolExecutor(12) as callers:
        calls = [callers.submit(stuck.client.invoke, FunctionName=stuck.name, Qualifier="1") for _ in range(12)]
        eventually(lambda: sum(line == "ordered" for lines in streams(restoring, stuck) for line in lines) >= 8)
        assert other.invoke({"a": 1}).document == {"a": 1}
        assert not any(call.done() for call in calls)
        for call in calls:
            assert isinstance(call.exception(), ClientError)


def _made_after(function: Function, before: str) -> str | None:
    """What one that is restored from a new template says. Until the loss is noticed some are lost with it."""
    try:
        answer = invoke(function)
    except function.client.exceptions.ServiceException:
        return None
    if answer.error is not None:
        return None
    return answer.document["made"] if answer.document["made"] != before else None


def test_without_a_driver_that_restores_a_version_initialises_as_others_do(server: Any, data_dir: Path) -> None:
    running = type(server)(data_dir, ("--snap-start-on-older-runtimes", "--sandbox", "process")).start()
    try:
        function = Functions(running.client("lambda")).create(CODE, **ON)
        published(function)
        assert version(function)["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
        answer = invoke(function)
        assert answer.document["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
        assert answer.document["environment"].keys() >= {"AWS_ACCESS_KEY_ID", "AWS_LAMBDA_LOG_STREAM_NAME"}
        assert "Init Duration" in answer.report
        assert answer.document["restored"] == []
    finally:
        assert running.stop() == 0

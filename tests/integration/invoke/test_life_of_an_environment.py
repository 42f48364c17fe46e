"""An environment's life as its function notices it: what a reset leaves, what stops with a freeze, how it ends."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from live_functions import PYTHON, Function, Functions, eventually, processes

NODE = "nodejs20.x"


def log_lines(server: Any, function: Function) -> dict[str, list[str]]:
    """The function's lines by log stream, of which each environment has one. None where nothing ran yet."""
    logs, group = server.client("logs"), f"/aws/lambda/{function.name}"
    lines: dict[str, list[str]] = {}
    try:
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return lines
    for stream in streams:
        name = stream["logStreamName"]
        events = logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]
        lines[name] = [event["message"].rstrip("\n") for event in events]
    return lines


# Reset ----------------------------------------------------------------------------------------------------------------

RESET = """
import os, time
served = 0
with open("/tmp/starts", "a") as starts:
    starts.write("x")

def handler(event, context):
    global served
    served += 1
    if event.get("do") == "exit":
        os._exit(1)
    if event.get("do") == "hang":
        time.sleep(60)
    if event.get("do") == "raise":
        raise ValueError
    return [served, os.path.getsize("/tmp/starts")]
"""


def test_tmp_outlives_crash_and_timeout_and_the_process_does_not(server: Any, functions: Functions) -> None:
    function = functions.create(RESET, Timeout=1)
    assert function.invoke({}).document == [1, 1]
    assert function.invoke({}).document == [2, 1]
    assert function.invoke({"do": "raise"}).document["errorType"] == "ValueError"
    assert function.invoke({}).document == [4, 1], "an exception is no reason for a reset"
    for starts, fault in ((2, "exit"), (3, "hang")):
        assert function.invoke({"do": fault}).error == "Unhandled"
        assert function.invoke({}).document == [1, starts]
    (lines,) = log_lines(server, function).values()
    assert len([line for line in lines if line.startswith("INIT_START")]) == 3
    assert not any(line.startswith("INIT_REPORT") for line in lines), "no initialisation has failed"


def test_another_environment_has_a_tmp_of_its_own_and_a_stream_of_its_own(server: Any, functions: Functions) -> None:
    function = functions.create(RESET)
    assert function.invoke({}).document == [1, 1]
    function.update(Description="changed")
    assert function.invoke({}).document == [1, 1]
    assert len(log_lines(server, function)) == 2


def test_the_time_of_a_repeated_init_is_the_invocations(functions: Functions) -> None:
    function = functions.create(
        "import os, time\n"
        "if not os.path.exists('/tmp/tried'):\n"
        "    open('/tmp/tried', 'w').close()\n"
        "    os._exit(1)\n"
        "time.sleep(0.7)\n"
        "def handler(event, context): return context.get_remaining_time_in_millis()\n",
        Timeout=5,
    )
    answer = function.invoke({})
    assert 0 < answer.document < 5000 - 700
    measured = re.search(r"\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\t", answer.report)
    assert measured is not None
    assert float(measured[1]) >= 700
    assert int(measured[2]) >= float(measured[1])
    assert function.invoke({}).document > 4500, "the next one has its whole time"


@pytest.mark.slow
def test_an_initialisation_ahead_of_need_may_take_more_than_ten_seconds(server: Any, functions: Functions) -> None:
    function = functions.create("import time\ntime.sleep(11)\ndef handler(event, context): return 'served'\n")
    api = server.client("lambda")
    version = api.publish_version(FunctionName=function.name)["Version"]
    asked = {"FunctionName": function.name, "Qualifier": version}
    api.put_provisioned_concurrency_config(**asked, ProvisionedConcurrentExecutions=1)
    eventually(lambda: api.get_provisioned_concurrency_config(**asked)["Status"] == "READY", within_s=60)
    answer = function.invoke({}, Qualifier=version)
    assert answer.document == "served"
    (lines,) = log_lines(server, function).values()
    assert [line.split("\t")[-1] for line in lines if line.startswith("INIT_REPORT")] == ["Status: success"]
    assert len([line for line in lines if line.startswith("INIT_START")]) == 1


# Freeze ---------------------------------------------------------------------------------------------------------------

BUSY = """
import os, threading

def spin():
    while True:
        pass

threading.Thread(target=spin, daemon=True).start()
if os.fork() == 0:
    spin()

def handler(event, context):
    import time
    time.sleep(event.get("sleep", 0))
"""


def process_numbers(data_dir: Path) -> set[int]:
    return {int(found.split()[1]) for found in processes(data_dir)}


def processor_ticks(numbers: set[int]) -> int:
    """What the processes, with all their threads, have used so far, in hundredths of a second."""
    used = 0
    for number in numbers:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used


def test_a_frozen_environment_uses_no_processor_time(server: Any, functions: Functions) -> None:
    function, other = functions.create(BUSY, Timeout=10), functions.create("def handler(event, context): pass\n")
    function.invoke({})
    mine = process_numbers(server.data_dir)
    before = processor_ticks(mine)
    function.invoke({"sleep": 1})
    assert processor_ticks(mine) - before > os.sysconf("SC_CLK_TCK") // 4, (
        "the control: thread and child spin meanwhile"
    )
    other.invoke({})  # time enough to be frozen
    before = processor_ticks(mine)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        other.invoke({})
    assert processor_ticks(mine) == before


def test_one_that_is_initialised_ahead_and_never_called_is_frozen_too(server: Any, functions: Functions) -> None:
    function, other = functions.create(BUSY), functions.create("def handler(event, context): pass\n")
    api = server.client("lambda")
    version = api.publish_version(FunctionName=function.name)["Version"]
    asked = {"FunctionName": function.name, "Qualifier": version}
    api.put_provisioned_concurrency_config(**asked, ProvisionedConcurrentExecutions=1)
    eventually(lambda: api.get_provisioned_concurrency_config(**asked)["Status"] == "READY")
    mine = process_numbers(server.data_dir)
    other.invoke({})
    before = processor_ticks(mine)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        other.invoke({})
    assert mine
    assert processor_ticks(mine) == before


def test_a_timer_goes_off_when_the_environment_runs_again(functions: Functions) -> None:
    function = functions.create(
        "let set, fired;\n"
        "exports.handler = async (event) => {\n"
        "  if (event.set) {\n"
        "    set = Date.now();\n"
        "    setTimeout(() => { fired = Date.now(); }, 200);\n"
        "  }\n"
        "  await new Promise((done) => setTimeout(done, event.wait));\n"
        "  return fired - set;\n"
        "};\n",
        runtime=NODE,
    )
    other = functions.create("import time\ndef handler(event, context): time.sleep(1)\n")
    assert 200 <= function.invoke({"set": True, "wait": 400}).document < 400, "the control: it goes off when it is due"
    function.invoke({"set": True, "wait": 0})
    other.invoke({})
    assert function.invoke({"wait": 300}).document >= 1000


# Shutdown -------------------------------------------------------------------------------------------------------------

TERM = """
import os, signal, sys

def said(number, frame):
    os.write(1, b"told to end\\n")

signal.signal(signal.SIGTERM, said)

def handler(event, context):
    if event.get("try"):
        os.kill(os.getpid(), signal.SIGTERM)
    return os.getpid()
"""


@pytest.mark.parametrize("trigger", ["update", "delete"])
def test_without_extensions_a_runtime_is_killed_at_once_and_not_told(
    server: Any, functions: Functions, trigger: str
) -> None:
    function = functions.create(TERM)
    assert "told to end" in function.invoke({"try": 1}).lines, "the control: it would say so"
    function.invoke({})
    alive = process_numbers(server.data_dir)
    ((stream, before),) = log_lines(server, function).items()
    if trigger == "update":
        function.update(Description="changed")
    else:
        functions.delete_all()
    # The window of external extensions is 2 s, that of internal ones half a second; there is none without.
    eventually(lambda: not alive & process_numbers(server.data_dir))
    if trigger == "update":
        function.invoke({})  # whatever the first one has said is in the log before this
    assert log_lines(server, function)[stream] == before


def test_an_environment_at_work_ends_after_its_invocation(server: Any, functions: Functions) -> None:
    function = functions.create(
        "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'done'\n", Timeout=10
    )
    with ThreadPoolExecutor(1) as caller:
        running = caller.submit(function.invoke, {})
        eventually(lambda: any("START" in line for lines in log_lines(server, function).values() for line in lines))
        function.update(Description="changed")
        assert not running.done()
        assert running.result().document == "done"
    eventually(lambda: not processes(server.data_dir))


def test_an_initialisation_under_way_is_ended_with_its_function(server: Any, functions: Functions) -> None:
    function = functions.create("import time\nprint('begun', flush=True)\ntime.sleep(8)\n", runtime=PYTHON)
    api = server.client("lambda")
    version = api.publish_version(FunctionName=function.name)["Version"]
    api.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=version, ProvisionedConcurrentExecutions=1
    )
    eventually(lambda: any("begun" in line for lines in log_lines(server, function).values() for line in lines))
    assert processes(server.data_dir)
    functions.delete_all()
    eventually(lambda: not processes(server.data_dir), within_s=4)

"""How environments serve: one event at a time each, in parallel, again and again, frozen in between."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live_functions import Functions, assert_nothing_left, eventually, open_descriptors

INSTANCE = """
import threading, time, uuid
INSTANCE = uuid.uuid4().hex
served = 0
ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.001)

threading.Thread(target=tick, daemon=True).start()

def handler(event, context):
    global served
    served += 1
    began, before = time.monotonic(), ticks
    time.sleep(event.get("sleep", 0))
    return {"instance": INSTANCE, "served": served, "began": began, "ended": time.monotonic(),
            "before": before, "after": ticks}
"""


def test_parallel_events_run_in_environments_of_their_own_one_event_at_a_time(functions: Functions) -> None:
    function = functions.create(INSTANCE, Timeout=30)
    with ThreadPoolExecutor(40) as callers:
        served = [a.document for a in callers.map(lambda _: function.invoke({"sleep": 1}), range(80))]
    by_instance: dict[str, list[Any]] = {}
    for one in sorted(served, key=lambda one: one["began"]):
        by_instance.setdefault(one["instance"], []).append(one)
    assert len(by_instance) <= 80
    for mine in by_instance.values():
        assert all(before["ended"] <= after["began"] for before, after in itertools.pairwise(mine))
    running = sorted([(one["began"], 1) for one in served] + [(one["ended"], -1) for one in served])
    assert max(itertools.accumulate(change for _, change in running)) >= 20


def test_one_caller_is_served_by_one_environment_again_and_again(functions: Functions) -> None:
    function = functions.create(INSTANCE)
    # With its log an answer comes when the runtime has asked for the next event, however busy the machine is.
    served = [function.invoke({}, LogType="Tail").document for _ in range(200)]
    assert {one["instance"] for one in served} == {served[0]["instance"]}
    assert [one["served"] for one in served] == list(range(1, 201))


def test_an_environment_is_frozen_between_events_and_only_then(functions: Functions) -> None:
    function, other = functions.create(INSTANCE), functions.create(INSTANCE)
    first = function.invoke({"sleep": 0.5}).document
    assert first["after"] - first["before"] > 50, "the control: it ticks while it runs"
    other.invoke({"sleep": 1})
    second = function.invoke({}).document
    assert second["began"] - first["ended"] > 1
    assert second["before"] - first["after"] < 50


def test_what_is_written_without_a_newline_stays_with_its_invocation(functions: Functions) -> None:
    function = functions.create("import os\ndef handler(event, context):\n    os.write(1, event['who'].encode())\n")
    for who in ("ada", "bob"):
        lines = function.invoke({"who": who}).lines
        assert [line for line in lines if not line.startswith(("START ", "END ", "REPORT "))] == [who]


def test_the_log_tells_that_a_silent_invocation_has_begun(server: Any, functions: Functions) -> None:
    function = functions.create(INSTANCE)
    logs = server.client("logs")

    def last_words() -> list[str]:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{function.name}")["events"]
        return [event["message"].split()[0] for event in found][-1:]

    function.invoke({})
    with ThreadPoolExecutor(1) as caller:
        running = caller.submit(function.invoke, {"sleep": 3})
        eventually(lambda: last_words() == ["START"])
        assert not running.done()


def test_an_update_replaces_the_environments(server: Any, functions: Functions) -> None:
    function = functions.create(INSTANCE)
    before = function.invoke({}).document["instance"]
    function.update(Environment={"Variables": {"CHANGED": "yes"}})
    after = function.invoke({}).document
    assert (after["instance"] != before, after["served"]) == (True, 1)


@pytest.mark.slow
def test_nothing_is_left_of_five_hundred_environments(server: Any, functions: Functions) -> None:
    """Made eight at a time, they end by an update or a deletion; each but the last of a function was reset once, by a
    crash, before."""
    crash = "import os\ndef handler(event, context):\n    if event: os._exit(1)\n    return 1\n"
    function = functions.create(crash, Timeout=5)
    function.invoke({})
    functions.delete_all()
    assert_nothing_left(server.data_dir)
    before = open_descriptors(server.process.pid)

    def end_some(number: int) -> int:
        mine = Functions(server.client("lambda"))
        function = mine.create(crash, Timeout=5)
        for round_number in range(7):
            function.invoke({})
            assert function.invoke({"crash": 1}).document["errorType"] == "Runtime.ExitError"
            assert function.invoke({}).document == 1
            function.update(Description=str(round_number))
        function.invoke({})
        mine.delete_all()
        return 7 + 1

    with ThreadPoolExecutor(8) as callers:
        ended = sum(callers.map(end_some, range(63)))
    assert ended >= 500, "environments"
    assert_nothing_left(server.data_dir)
    assert open_descriptors(server.process.pid) <= before + 8, "8 callers' connections may linger"

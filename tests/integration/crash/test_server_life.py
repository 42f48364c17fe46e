"""How a server starts, refuses to start, leaves, and comes back after it was killed."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from live_functions import (
    Functions,
    assert_nothing_left,
    descendants,
    eventually,
    leftovers,
    living,
    mark_of,
    processes,
)

SLEEPY = """
import time
def handler(event, context):
    if event.get("announce"):
        print("it runs", flush=True)
    time.sleep(event.get("sleep", 0))
    return event
"""


@pytest.fixture
def second(server: Any, data_dir: Path) -> Iterator[Any]:
    """A server of the test's own, beside the shared one."""
    made = type(server)(data_dir).start()
    yield made
    if made.process.poll() is None:
        made.stop()


def refused(*arguments: str, **environment: str) -> str:
    """What a server that does not start says."""
    command = [sys.executable, "-m", "lambent", "serve", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def health(url: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/_lambent/health")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def entries(data_dir: Path) -> list[dict[str, Any]]:
    lines = [line for file in sorted((data_dir / "ledger").glob("*")) for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line]


def running(data_dir: Path) -> list[str]:
    """The ids of the attempts that have begun and not ended."""
    told = entries(data_dir)
    ended = {one["request_id"] for one in told if one["entry"] == "ended"}
    return [one["request_id"] for one in told if one["entry"] == "began" and one["request_id"] not in ended]


def test_sigterm_finishes_what_runs_and_leaves_nothing(second: Any) -> None:
    functions = Functions(second.client("lambda"))
    function = functions.create(SLEEPY, Timeout=10)
    function.invoke({})
    everything = descendants(second.process.pid)
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(function.invoke, {"sleep": 1})
        eventually(lambda: running(second.data_dir))
        assert second.stop() == 0
        assert answer.result().document == {"sleep": 1}
    outcomes = [entry["outcome"] for entry in entries(second.data_dir) if entry["entry"] == "ended"]
    assert outcomes == ["success", "success"], "measured, before the sandboxes are ended"
    assert_nothing_left(second.data_dir)
    assert living(everything) == {}
    assert running(second.data_dir) == []


def test_what_is_not_over_when_the_grace_is_has_an_end_in_the_ledger_and_an_answer(server: Any, data_dir: Path) -> None:
    hasty = type(server)(data_dir, ("--shutdown-grace-s", "1")).start()
    function = Functions(hasty.client("lambda")).create(SLEEPY, Timeout=60)
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(function.invoke, {"sleep": 50})
        eventually(lambda: running(data_dir))
        assert hasty.stop() == 0
        with pytest.raises(botocore.exceptions.ClientError, match="ServiceException"):
            answer.result()
    assert [entry["outcome"] for entry in entries(data_dir) if entry["entry"] == "ended"] == ["lost"]
    assert running(data_dir) == []


def test_kill_9_under_load_leaves_no_orphan_and_loses_nothing_acknowledged(
    server: Any, functions: Functions, second: Any
) -> None:
    others = functions.create(SLEEPY)
    others.invoke({})
    theirs = processes(server.data_dir)
    assert theirs, "the other server has a live environment"
    mine = Functions(second.client("lambda"))
    names = [mine.create(SLEEPY, Timeout=20) for _ in range(2)]
    version = mine.client.publish_version(FunctionName=names[0].name)["Version"]
    acknowledged: list[str] = []

    def load(number: int) -> None:
        client = second.client("lambda")
        while True:
            try:
                names[number % 2].invoke({"sleep": 0.05 * number}, client=client)
                acknowledged.append(mine.create(SLEEPY).name)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                return  # the server was killed

    callers = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    eventually(lambda: len(acknowledged) >= 8 and running(second.data_dir))
    everything = descendants(second.process.pid)
    second.kill()
    for caller in callers:
        caller.join()
    torn = running(second.data_dir)
    assert torn, "an attempt was under way"

    again = type(second)(second.data_dir, ("--preboot-memory-mib", "0")).start()
    try:
        assert living(everything) == {}
        assert leftovers(again.data_dir) == set()
        client = again.client("lambda")
        known = {one["FunctionName"] for page in client.get_paginator("list_functions").paginate()
                 for one in page["Functions"]}  # fmt: skip
        assert known >= {*acknowledged, *(function.name for function in names)}
        assert names[0].invoke({"a": 1}, client=client, Qualifier=version).document == {"a": 1}
        client.get_waiter("function_active_v2").wait(FunctionName=acknowledged[-1], WaiterConfig={"Delay": 0.02})
        assert names[1].invoke({"a": 2}, client=client).document == {"a": 2}
        assert set(torn) <= set(running(again.data_dir)), "what never ended is not made up"
    finally:
        assert again.stop() == 0
    assert_nothing_left(again.data_dir)
    assert processes(server.data_dir) == theirs, "another server's environments were not touched"
    assert others.invoke({"a": 3}).document == {"a": 3}
    assert processes(server.data_dir) == theirs


def test_a_kill_of_server_and_launcher_is_cleaned_up_by_the_next_start(second: Any) -> None:
    function = Functions(second.client("lambda")).create(SLEEPY)
    function.invoke({})
    assert leftovers(second.data_dir)
    for process in reversed(descendants(second.process.pid)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended with the one before
            if mark_of(second.data_dir) not in Path(f"/proc/{process}/cgroup").read_text():
                os.kill(process, signal.SIGKILL)  # the launcher, then the server
    second.kill()
    again = type(second)(second.data_dir, ("--preboot-memory-mib", "0")).start()
    assert_nothing_left(again.data_dir)
    assert function.invoke({"a": 1}, client=again.client("lambda")).document == {"a": 1}
    assert again.stop() == 0
    assert_nothing_left(again.data_dir)


def test_when_the_launcher_is_killed_the_functions_that_wait_are_served_as_before(second: Any) -> None:
    functions = [Functions(second.client("lambda")).create(SLEEPY) for _ in range(2)]
    running = living(descendants(second.process.pid))
    launcher = next(process for process, command in running.items() if "sandbox.launcher" in command)
    for function in functions:
        function.invoke({})
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(functions[0].invoke, {"sleep": 30})
        eventually(lambda: functions[1].invoke({"alive": 1}).document == {"alive": 1})
        os.kill(launcher, signal.SIGKILL)
        with pytest.raises(botocore.exceptions.ClientError, match="The execution environment was lost") as lost:
            call.result()
        assert lost.value.response["Error"]["Code"] == "ServiceException"
    for function in functions:
        assert function.invoke({"a": 1}).document == {"a": 1}


def test_a_second_server_on_the_same_directory_is_told_who_has_it(server: Any) -> None:
    said = refused("--data-dir", str(server.data_dir))
    assert f"in use by another Lambent server (process {server.process.pid})" in said
    assert health(server.url)["version"]


def test_a_taken_port_is_told_with_its_holder(server: Any, data_dir: Path) -> None:
    port = server.url.rpartition(":")[2]
    said = refused("--port", port, "--data-dir", str(data_dir))
    assert f"port {port} on 127.0.0.1 is taken by process {server.process.pid} (" in said


def test_a_newer_data_directory_is_refused(server: Any, data_dir: Path) -> None:
    made = type(server)(data_dir).start()
    assert made.stop() == 0
    with sqlite3.connect(data_dir / "metadata.sqlite") as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {version + 1}")
    database.close()
    said = refused("--data-dir", str(data_dir))
    assert "newer" in said


def test_beyond_loopback_it_listens_only_when_told_so(server: Any, data_dir: Path) -> None:
    said = refused("--host", "0.0.0.0", "--data-dir", str(data_dir))
    assert "--listen-without-authentication" in said
    made = type(server)(data_dir, ("--host", "0.0.0.0", "--listen-without-authentication")).start()
    assert made.stop() == 0


def test_settings_come_from_flag_variable_and_file_in_that_order(server: Any, data_dir: Path) -> None:
    config = data_dir.parent / "lambent.toml"
    config.write_text('account = "222222222222"\nregion = "eu-west-1"\nlog_level = "debug"\n')
    made = type(server)(
        data_dir,
        ("--config", str(config), "--account", "444444444444"),
        {"LAMBENT_ACCOUNT": "333333333333", "LAMBENT_REGION": "eu-central-1"},
    ).start()
    assert made.client("sts", account="test").get_caller_identity()["Account"] == "444444444444"
    assert made.stop() == 0
    unusable = refused("--data-dir", str(data_dir), LAMBENT_SANDBOX="none")
    assert "sandbox must be one of namespaces, oci, process, not 'none'" in unusable


def test_a_key_file_without_keys_is_told_and_nothing_is_started(data_dir: Path) -> None:
    data_dir.mkdir(parents=True)
    keys = data_dir / "environment-keys"
    keys.write_text("not a key\n")
    assert f"line 1 of the key file {keys} is not 32 bytes in base64" in refused("--data-dir", str(data_dir))

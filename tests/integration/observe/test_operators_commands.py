"""What the operator is shown by the `lambent` command, of a server that works."""

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from live_functions import Functions, eventually

WAITS = """
import time
def handler(event, context):
    time.sleep(event.get("s", 0))
"""


def shown(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "lambent", *words, "--data-dir", str(data_dir))
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows_of(data_dir: Path, view: str, function: str) -> list[dict[str, Any]]:
    told = shown(data_dir, view, "--json")
    assert told.returncode == 0, told.stderr
    return [row for row in json.loads(told.stdout) if row["FunctionName"] == function]


def test_environments_are_shown_by_what_they_do_and_with_their_memory(server: Any) -> None:
    made = Functions(server.client("lambda"))
    function = made.create(WAITS, MemorySize=256, Timeout=20)
    with ThreadPoolExecutor(3) as callers:
        calls = [callers.submit(function.invoke, {"s": 3}) for _ in range(2)]
        (row,) = eventually(
            lambda: [one for one in rows_of(server.data_dir, "environments", function.name) if one["Busy"] == 2]
        )
        assert row == {
            "Account": "111122223333",
            "Region": "us-east-1",
            "FunctionName": function.name,
            "Version": "$LATEST",
            "Starting": 0,
            "Idle": 0,
            "Busy": 2,
            "Provisioned": 0,
            "Waiting": 0,
            "MemoryMiB": 512,
        }
        assert [call.result().status for call in calls] == [200, 200]
    (row,) = rows_of(server.data_dir, "environments", function.name)
    assert (row["Idle"], row["Busy"]) == (2, 0)
    table = shown(server.data_dir, "environments").stdout
    assert [line.split() for line in table.splitlines() if function.name in line] == [
        ["111122223333", "us-east-1", function.name, "$LATEST", "0", "2", "0", "0", "0", "512", "MiB"]
    ]
    made.delete_all()


def test_events_are_shown_until_they_are_over(server: Any) -> None:
    made = Functions(server.client("lambda"))
    function = made.create(WAITS, Timeout=20)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for _ in range(3):
        function.invoke({"s": 2}, InvocationType="Event", LogType="None")
    (row,) = eventually(lambda: [one for one in rows_of(server.data_dir, "queue", function.name) if one["InFlight"]])
    assert row["Account"] == "111122223333"
    assert 1 <= row["Queued"] <= 3
    assert row["OldestAgeSeconds"] > 0
    assert function.name in shown(server.data_dir, "queue").stdout
    eventually(lambda: not rows_of(server.data_dir, "queue", function.name), within_s=60)
    made.delete_all()


def test_the_operators_door_is_his_alone_and_not_on_the_port(server: Any, tmp_path: Path) -> None:
    door = server.data_dir / "operator.sock"
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    nobody = shown(tmp_path, "environments", "--json")
    assert nobody.returncode == 4
    assert "no server answers" in json.loads(nobody.stderr)["error"]["message"]

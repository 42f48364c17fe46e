"""Functions under `lambent serve --sandbox oci`, with each OCI runtime that is here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_functions import PROVIDED, Functions, assert_nothing_left

from sandbox_drivers import oci_runtime

ECHO = """
import os, pathlib, signal
def handler(event, context):
    kept = pathlib.Path("/tmp/count")
    count = int(kept.read_text()) + 1 if kept.exists() else 1
    kept.write_text(str(count))
    print("called for the", count)
    if event.get("signal"):
        os.kill(os.getpid(), event["signal"])
    return {"event": event, "count": count, "host": os.uname().nodename, "first": open("/proc/1/comm").read().strip()}
"""


def flags(runtime: str) -> tuple[str, ...]:
    return ("--sandbox", "oci", "--sandbox-oci-runtime", runtime)


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    """The path of an OCI runtime."""
    path = oci_runtime(request.param)
    if not path:
        pytest.skip(f"{request.param} is not here, and `make prerequisites` could not get it")
    return path


@pytest.fixture
def contained(server: Any, runtime: str, data_dir: Path) -> Iterator[Functions]:
    """Functions of a server that runs them in containers. When it is over nothing of them is left on the machine."""
    own = type(server)(data_dir, flags(runtime)).start()
    made = Functions(own.client("lambda"))
    yield made
    made.delete_all()
    assert_nothing_left(data_dir)
    assert own.stop() == 0


def test_a_function_answers_and_is_kept_warm(contained: Functions) -> None:
    function = contained.create(ECHO)
    answers = [function.invoke({"n": number}) for number in range(3)]
    assert [answer.document["event"] for answer in answers] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [answer.document["count"] for answer in answers] == [1, 2, 3]
    assert answers[0].document["host"] == "169-254-100-6"
    assert "Init Duration" in answers[0].report
    assert "Init Duration" not in answers[1].report


def test_a_function_that_dies_by_a_signal_is_told_as_such_and_runs_again(contained: Functions) -> None:
    function = contained.create(ECHO)
    function.invoke({})
    died = function.invoke({"signal": 11})
    assert died.error == "Unhandled"
    assert "signal: segmentation fault" in died.document["errorMessage"]
    assert function.invoke({}).document["event"] == {}


def test_how_a_bootstrap_exits_is_told(contained: Functions) -> None:
    exits = contained.create({"bootstrap": "#!/bin/sh\nexit 7\n"}, PROVIDED).invoke({})
    assert "exit status 7" in exits.document["errorMessage"]


def examined(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code of `lambent doctor`, and what it finds of each subject."""
    command = [sys.executable, "-m", "lambent", "doctor", "--json", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_doctor_tells_of_the_runtime(runtime: str, data_dir: Path) -> None:
    code, found = examined("--data-dir", str(data_dir), *flags(runtime))
    assert code == 0
    assert found["OCI runtime"]["grade"] == "good"
    assert os.path.realpath(runtime) in found["OCI runtime"]["detail"]
    assert found["sandbox"]["grade"] == "good"


def test_without_the_runtime_doctor_says_how_to_get_one_and_the_server_does_not_start(data_dir: Path) -> None:
    code, found = examined("--data-dir", str(data_dir), *flags("/no/such/runtime"))
    assert code == 1
    assert found["OCI runtime"]["grade"] == "missing"
    assert "crun" in found["OCI runtime"]["mend"]
    command = [sys.executable, "-m", "lambent", "serve", "--port", "0", "--data-dir", str(data_dir)]
    done = subprocess.run([*command, *flags("/no/such/runtime")], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "/no/such/runtime can not be found" in done.stderr
    assert "Traceback" not in done.stderr

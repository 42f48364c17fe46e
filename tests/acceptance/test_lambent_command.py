"""The whole life of a function by the `lambent` command, against a running server."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambent.cli.outcome import ExitCode

ECHO = """
import os

def handler(event, context):
    print("seen", event)
    return {"event": event, "variables": {name: os.environ.get(name) for name in ("COLOUR", "SIZE")}}
"""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Lambent = Callable[..., Finished]


@pytest.fixture
def environment(clean_server: Any) -> dict[str, str]:
    """Variables that lead to the server, with nothing of this machine's AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBENT_"))}
    return {**kept, "LAMBENT_ENDPOINT": clean_server.url, "AWS_CONFIG_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def lambent(environment: dict[str, str]) -> Lambent:
    """Runs the command, as a program of its own."""

    def run(*words: str, data: str = "") -> Finished:
        command: Sequence[str] = [sys.executable, "-m", "lambent", *words]
        done = subprocess.run(command, env=environment, input=data, capture_output=True, text=True, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """The folder of a function with a name of its own."""
    folder = tmp_path / f"echo-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    (folder / "app.py").write_text(ECHO)
    return folder


def test_a_function_is_deployed_invoked_changed_and_deleted(lambent: Lambent, function: Path) -> None:
    name = function.name
    created = lambent("deploy", str(function), "--timeout", "10", "--env", "COLOUR=red", "--json")
    assert created.code == ExitCode.OK, created.err
    assert created.document["Action"] == "created"
    assert created.document["State"] == "Active"
    assert (created.document["Handler"], created.document["Timeout"]) == ("app.handler", 10)

    invoked = lambent("invoke", name, "--data", '{"n": 1}')
    assert invoked.code == ExitCode.OK, invoked.err
    assert invoked.document == {"event": {"n": 1}, "variables": {"COLOUR": "red", "SIZE": None}}

    assert lambent("deploy", str(function), "--json").document["Action"] == "unchanged"

    (function / "app.py").write_text(ECHO.replace('"event": event', '"event": "changed"'))
    updated = lambent("deploy", str(function), "--env", "SIZE=9", "--memory", "256", "--json")
    assert updated.code == ExitCode.OK, updated.err
    assert (updated.document["Action"], updated.document["MemorySize"]) == ("updated", 256)
    assert updated.document["Timeout"] == 10
    assert lambent("invoke", name).document == {"event": "changed", "variables": {"COLOUR": None, "SIZE": "9"}}

    assert name in [listed["FunctionName"] for listed in lambent("list", "--json").document]
    assert name in [row.split()[0] for row in lambent("list").out.splitlines()]

    assert lambent("delete", name).out == f"deleted {name}\n"
    gone = lambent("invoke", name)
    assert gone.code == ExitCode.FAILED
    assert "ResourceNotFoundException" in gone.err


def test_a_published_version_goes_on_when_the_function_changes(lambent: Lambent, function: Path) -> None:
    published = lambent("deploy", str(function), "--publish", "--json")
    assert published.code == ExitCode.OK, published.err
    assert published.document["Version"] == "1"
    (function / "app.py").write_text(ECHO.replace('"event": event', '"event": "changed"'))
    lambent("deploy", str(function))
    assert lambent("invoke", function.name, "--qualifier", "1").document["event"] == {}
    assert lambent("invoke", function.name).document["event"] == "changed"


def test_what_a_function_wrote_is_in_its_log_and_in_the_tail(
    lambent: Lambent, function: Path, environment: dict[str, str]
) -> None:
    lambent("deploy", str(function))
    marker = uuid.uuid4().hex
    invoked = lambent("invoke", function.name, "--tail", "--data", json.dumps({"marker": marker}))
    assert marker in invoked.err
    assert "REPORT RequestId" in invoked.err
    # Logs are written behind the answer: --follow waits for them.
    messages = follow_until(environment, function.name, "REPORT")
    assert any(marker in message for message in messages)
    assert any(message.startswith("START RequestId") for message in messages)
    assert marker in lambent("logs", function.name).out
    assert lambent("logs", function.name, "--since", "2001-01-01T00:00").out.count(marker) == 1


def follow_until(environment: dict[str, str], name: str, wanted: str) -> list[str]:
    """The messages that `lambent logs --follow` shows up to the one with the text wanted."""
    command = [sys.executable, "-m", "lambent", "logs", name, "--follow", "--json"]
    messages = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(30, process.kill)
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            messages.append(json.loads(line)["message"])
            if wanted in messages[-1]:
                break
        limit.cancel()
        process.terminate()
    return messages


def test_an_error_of_the_function_has_an_exit_code_of_its_own(lambent: Lambent, function: Path) -> None:
    (function / "app.py").write_text("def handler(event, context):\n    raise ValueError('no good')\n")
    lambent("deploy", str(function))
    failed = lambent("invoke", function.name)
    assert failed.code == ExitCode.FUNCTION_ERROR
    assert failed.document["errorType"] == "ValueError"
    assert "answered with an error" in failed.err
    as_document = lambent("invoke", function.name, "--json")
    assert as_document.code == ExitCode.FUNCTION_ERROR
    assert as_document.document["FunctionError"] == "Unhandled"
    assert as_document.document["Payload"]["errorMessage"] == "no good"


def test_an_answer_is_shown_whatever_it_is(lambent: Lambent, function: Path, environment: dict[str, str]) -> None:
    (function / "app.py").write_text("def handler(event, context):\n    return bytes.fromhex(event)\n")
    lambent("deploy", str(function))
    for given, text in (("706c61696e", "plain"), ("fffe", "\ufffd\ufffd")):
        told = lambent("invoke", function.name, "--data", f'"{given}"', "--json")
        assert (told.code, told.document["Payload"]) == (ExitCode.OK, text), told.err
        command = [sys.executable, "-m", "lambent", "invoke", function.name, "--data", f'"{given}"']
        shown = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert shown.stdout == bytes.fromhex(given) + b"\n"


def test_an_event_is_read_from_a_file_and_from_standard_input(lambent: Lambent, function: Path, tmp_path: Path) -> None:
    lambent("deploy", str(function))
    (tmp_path / "event.json").write_text('{"from": "file"}')
    from_file = lambent("invoke", function.name, "--data", f"@{tmp_path / 'event.json'}")
    assert from_file.document["event"] == {"from": "file"}
    from_input = lambent("invoke", function.name, "--data", "-", data='{"from": "input"}')
    assert from_input.document["event"] == {"from": "input"}


def test_one_file_and_a_ready_archive_are_functions_too(lambent: Lambent, function: Path, tmp_path: Path) -> None:
    alone = lambent("deploy", str(function / "app.py"), "--name", f"{function.name}-file")
    assert alone.code == ExitCode.OK, alone.err
    assert lambent("invoke", f"{function.name}-file", "--data", "1").document["event"] == 1
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", ECHO)
    (tmp_path / "ready.zip").write_bytes(content.getvalue())
    runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    words = ("--runtime", runtime, "--handler", "app.handler", "--name", f"{function.name}-zip")
    ready = lambent("deploy", str(tmp_path / "ready.zip"), *words)
    assert ready.code == ExitCode.OK, ready.err
    assert lambent("invoke", f"{function.name}-zip", "--data", "2").document["event"] == 2


def test_what_the_service_refuses_is_told_in_its_words(lambent: Lambent, function: Path) -> None:
    refused = lambent("deploy", str(function), "--memory", "1", "--json")
    assert refused.code == ExitCode.FAILED
    error = json.loads(refused.err.splitlines()[-1])["error"]
    assert error["code"] == "ValidationException"
    assert "memorySize" in error["message"]


def test_the_log_of_a_function_that_never_ran_is_empty_and_of_none_is_an_error(
    lambent: Lambent, function: Path
) -> None:
    lambent("deploy", str(function))
    silent = lambent("logs", function.name)
    assert (silent.code, silent.out) == (ExitCode.OK, "")
    assert "Nothing was written" in silent.err
    assert lambent("logs", f"{function.name}-other").code == ExitCode.FAILED


def test_what_can_not_be_deployed_is_told_in_a_sentence(lambent: Lambent, function: Path, tmp_path: Path) -> None:
    (tmp_path / "null.py").write_text("x = '\0'\n")
    (tmp_path / "letters").mkdir()
    unnamed = (function / "app.py").rename(tmp_path / "letters" / "app.py").parent.rename(tmp_path / "\u65e5\u672c")
    for path, told in (
        (tmp_path / "null.py", "null.py: source code string cannot contain null bytes"),
        (Path(os.devnull), "/dev/null is neither a file nor a folder"),
        (unnamed, "Give it a --name."),
    ):
        refused = lambent("deploy", str(path))
        assert refused.code == ExitCode.USAGE, refused.err
        assert told in refused.err
        assert "Traceback" not in refused.err


def test_files_in_any_encoding_are_taken(lambent: Lambent, function: Path) -> None:
    (function / ".python-version").write_bytes(f"{sys.version_info[0]}.{sys.version_info[1]}\n# \xff".encode("latin-1"))
    (function / "requirements.txt").write_bytes(b"# \xff\n")
    deployed = lambent("deploy", str(function), "--json")
    assert deployed.code == ExitCode.OK, deployed.err
    assert deployed.document["State"] == "Active"


def test_an_event_that_is_nested_without_end_is_for_the_service_to_refuse(
    lambent: Lambent, function: Path, tmp_path: Path
) -> None:
    lambent("deploy", str(function))
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    refused = lambent("invoke", function.name, "--data", f"@{tmp_path / 'deep.json'}")
    assert refused.code == ExitCode.FAILED
    assert "InvalidRequestContentException" in refused.err


def test_first_deployments_at_once_share_the_role(lambent: Lambent, function: Path, clean_server: Any) -> None:
    roles = clean_server.client("iam", account="test")
    with contextlib.suppress(roles.exceptions.NoSuchEntityException):
        roles.delete_role(RoleName="lambent-function")
    (function / "app.py").rename(function.parent / "app.py")
    with ThreadPoolExecutor(4) as threads:
        names = [f"{function.name}-{number}" for number in range(4)]
        deployed = list(
            threads.map(lambda name: lambent("deploy", str(function.parent / "app.py"), "--name", name), names)
        )
    assert [one.code for one in deployed] == [ExitCode.OK] * 4, [one.err for one in deployed]

"""The whole life of a function by the AWS CLI, version 2, with nothing but the endpoint set."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
ROLE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

WAITERS = (
    *(f"function-{what}" for what in ("active", "active-v2", "updated", "updated-v2", "exists")),
    "published-version-active",
)

Aws = Callable[..., Any]


def version_2() -> str | None:
    """The AWS CLI 2 of this machine; version 1, which has no `logs tail`, may be before it on PATH."""
    for program in (shutil.which("aws"), "/usr/bin/aws", "/usr/local/bin/aws"):
        if program is None or not os.access(program, os.X_OK):
            continue
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if told.stdout.startswith("aws-cli/2"):
            return program
    return None


@pytest.fixture(scope="module")
def program() -> str:
    found = version_2()
    if found is None:
        pytest.skip("the AWS CLI 2 is not installed (tests/prerequisites installs it for root on Debian)")
    return found


@pytest.fixture
def aws(program: str, clean_server: Any, tmp_path: Path) -> Aws:
    """Runs the AWS CLI in a folder of its own; the document that it prints, or its text."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_PAGER": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*words: str, fails_with: str | None = None) -> Any:
        command = [program, "--endpoint-url", clean_server.url, *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        if fails_with is not None:
            assert done.returncode != 0
            assert fails_with in done.stderr
            return None
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    return run


def package(folder: Path, name: str, source: str) -> str:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", source)
    (folder / name).write_bytes(content.getvalue())
    return f"fileb://{name}"


def test_the_aws_cli_drives_the_whole_life_of_a_function(aws: Aws, tmp_path: Path) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    account = aws("sts", "get-caller-identity")["Account"]
    role = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(ROLE))
    assert role["Role"]["Arn"] == f"arn:aws:iam::{account}:role/{name}"

    def greeting(word: str) -> str:
        return f"def handler(event, context):\n    print('{word}', event)\n    return '{word} ' + event['name']\n"

    created = aws(
        *("lambda", "create-function", "--function-name", name, "--runtime", RUNTIME, "--handler", "app.handler"),
        *("--role", role["Role"]["Arn"], "--zip-file", package(tmp_path, "one.zip", greeting("hello"))),
        *("--timeout", "10"),
    )
    assert created["FunctionName"] == name
    aws("lambda", "wait", "function-active-v2", "--function-name", name)

    def invoke(*more: str) -> Any:
        words = ("--cli-binary-format", "raw-in-base64-out", "--payload", '{"name": "Ada"}', *more, "answer.json")
        return aws("lambda", "invoke", "--function-name", name, *words)

    answered = invoke("--log-type", "Tail")
    assert answered["StatusCode"] == 200
    assert json.loads((tmp_path / "answer.json").read_text()) == "hello Ada"
    assert "REPORT RequestId" in base64.b64decode(answered["LogResult"]).decode()

    assert aws("lambda", "publish-version", "--function-name", name)["Version"] == "1"

    new_code = package(tmp_path, "two.zip", greeting("goodbye"))
    aws("lambda", "update-function-code", "--function-name", name, "--zip-file", new_code)
    aws("lambda", "wait", "function-updated-v2", "--function-name", name)
    digest = base64.b64encode(hashlib.sha256((tmp_path / "two.zip").read_bytes()).digest()).decode()
    assert aws("lambda", "get-function", "--function-name", name)["Configuration"]["CodeSha256"] == digest

    aws("lambda", "update-function-configuration", "--function-name", name, "--memory-size", "192")
    aws("lambda", "wait", "function-updated-v2", "--function-name", name)
    assert aws("lambda", "get-function-configuration", "--function-name", name)["MemorySize"] == 192
    invoke()
    assert json.loads((tmp_path / "answer.json").read_text()) == "goodbye Ada"
    invoke("--qualifier", "1")
    assert json.loads((tmp_path / "answer.json").read_text()) == "hello Ada"

    listed = aws("lambda", "list-functions")["Functions"]
    assert name in [function["FunctionName"] for function in listed]
    versions = aws("lambda", "list-versions-by-function", "--function-name", name)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]

    tail = aws("logs", "tail", f"/aws/lambda/{name}", "--format", "short")
    assert "hello {'name': 'Ada'}" in tail
    assert "REPORT RequestId" in tail

    aws("lambda", "delete-function", "--function-name", name)
    aws("lambda", "get-function", "--function-name", name, fails_with="ResourceNotFoundException")
    aws("iam", "delete-role", "--role-name", name)


@pytest.mark.slow
def test_the_aws_cli_awaits_every_change(aws: Aws, tmp_path: Path) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"

    def wait(waiter: str, *more: str) -> None:
        aws("lambda", "wait", waiter, "--function-name", name, *more)

    def code(word: str) -> tuple[str, str]:
        return "--zip-file", package(tmp_path, f"{word}.zip", f"def handler(event, context):\n    return '{word}'\n")

    def answer(*more: str) -> Any:
        aws("lambda", "invoke", "--function-name", name, *more, "answer.json")
        return json.loads((tmp_path / "answer.json").read_text())

    aws(
        *("lambda", "create-function", "--function-name", name, "--runtime", RUNTIME, "--handler", "app.handler"),
        *("--role", "arn:aws:iam::000000000000:role/any", *code("one"), "--publish"),
    )
    for waiter in WAITERS:
        wait(waiter)
        wait(waiter, "--qualifier", "1")
    aws("lambda", "update-function-code", "--function-name", name, *code("two"))
    wait("function-updated-v2")
    assert answer() == "two"
    aws("lambda", "update-function-configuration", "--function-name", name, "--timeout", "9")
    wait("function-updated")
    aws("lambda", "publish-version", "--function-name", name)
    wait("published-version-active", "--qualifier", "2")
    aws("lambda", "create-alias", "--function-name", name, "--name", "live", "--function-version", "1")
    wait("function-active-v2", "--qualifier", "live")
    aws("lambda", "update-alias", "--function-name", name, "--name", "live", "--function-version", "2")
    aws(
        *("lambda", "put-provisioned-concurrency-config", "--function-name", name, "--qualifier", "live"),
        *("--provisioned-concurrent-executions", "1"),
    )
    wait("function-active", "--qualifier", "live")
    assert answer("--qualifier", "live") == "two"

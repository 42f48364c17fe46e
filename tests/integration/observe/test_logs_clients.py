"""boto3 and the AWS CLI read logs."""

import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.exceptions
import pytest
from logs_service import LogsService

from lambent.testing.front_door import ACCOUNT, REGION

GROUP = "/aws/lambda/echo"
STREAM = "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef"
FOLLOW_DEADLINE_S = 30


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def command_line() -> str:
    """The AWS CLI 2, which alone has `logs tail`."""
    for candidate in (shutil.which("aws"), "/usr/bin/aws", "/usr/local/bin/aws"):
        if candidate is None or not Path(candidate).exists():
            continue
        version = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if version.stdout.startswith("aws-cli/2"):
            return candidate
    pytest.skip("the AWS CLI 2 is not installed")


def environment(logs: LogsService) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
        "PYTHONUNBUFFERED": "1",
    }


def aws(logs: LogsService, *arguments: str) -> str:
    done = subprocess.run(
        [command_line(), "--endpoint-url", logs.door.url, *arguments],
        env=environment(logs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def following(logs: LogsService) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [command_line(), "--endpoint-url", logs.door.url, "logs", "tail", GROUP, "--follow", "--format", "short"],
        env=environment(logs),
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    """What the process writes up to the wanted bytes."""
    assert process.stdout is not None
    seen = b""
    deadline = time.monotonic() + FOLLOW_DEADLINE_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while wanted not in seen:
            assert selector.select(deadline - time.monotonic()), f"no {wanted!r} within the deadline, only {seen!r}"
            chunk = os.read(process.stdout.fileno(), 65_536)
            assert chunk, f"the process ended after {seen!r}"
            seen += chunk
    return seen


def test_boto3_pages_through_everything(logs: LogsService) -> None:
    client = logs.door.client("logs")
    for number in range(25):
        logs.put(GROUP, STREAM, (1_700_000_000_000 + number, f"line {number}"))
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 10})
    events = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in events] == [f"line {number}\n" for number in range(25)]
    assert all(event["logStreamName"] == STREAM for event in events)
    (group,) = client.get_paginator("describe_log_groups").paginate().build_full_result()["logGroups"]
    assert group["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"
    (stream,) = client.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True)["logStreams"]
    assert stream["lastEventTimestamp"] == 1_700_000_000_024
    first = client.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True, limit=20)
    second = client.get_log_events(logGroupName=GROUP, logStreamName=STREAM, nextToken=first["nextForwardToken"])
    assert len(first["events"]) == 20
    assert len(second["events"]) == 5


def test_boto3_raises_the_modelled_errors(logs: LogsService) -> None:
    client = logs.door.client("logs")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
        client.filter_log_events(logGroupName="nobody")
    assert raised.value.response["Error"]["Message"] == "The specified log group does not exist."
    logs.put(GROUP, STREAM, (1, "x"))
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.filter_log_events(logGroupName=GROUP, filterPattern="{ nonsense }")
    with pytest.raises(botocore.exceptions.ClientError) as unbuilt:
        client.create_log_group(logGroupName="new")
    assert "docs/compatibility.md" in unbuilt.value.response["Error"]["Message"]


def test_the_command_line_tails_a_group(logs: LogsService) -> None:
    logs.put(GROUP, STREAM, (now_ms() - 3_600_000, "too old"))
    logs.put(GROUP, STREAM, (now_ms(), "START RequestId: 1"), (now_ms(), "it said\tthis"))
    shown = aws(logs, "logs", "tail", GROUP, "--format", "short").splitlines()
    assert [line.split(" ", 1)[1] for line in shown] == ["START RequestId: 1", "it said\tthis"]
    filtered = aws(logs, "logs", "tail", GROUP, "--since", "2h", "--filter-pattern", "old")
    assert filtered.rstrip().endswith(f"{STREAM} too old")


def test_the_command_line_follows_a_group(logs: LogsService) -> None:
    logs.put(GROUP, STREAM, (now_ms(), "one"), (now_ms(), "two"))
    with following(logs) as process:
        seen = read_until(process, b"two")
        logs.put(GROUP, STREAM, (now_ms(), "three"))
        logs.put(GROUP, STREAM.replace("0", "1"), (now_ms(), "four"))
        seen += read_until(process, b"four")
    assert [line.split()[1] for line in seen.splitlines()] == [b"one", b"two", b"three", b"four"]


def test_the_command_line_describes_groups_and_streams(logs: LogsService) -> None:
    logs.put(GROUP, STREAM, (1, "x"))
    groups = json.loads(aws(logs, "logs", "describe-log-groups", "--output", "json"))["logGroups"]
    assert [group["logGroupName"] for group in groups] == [GROUP]
    streams = json.loads(aws(logs, "logs", "describe-log-streams", "--log-group-name", GROUP, "--output", "json"))[
        "logStreams"
    ]
    assert [stream["logStreamName"] for stream in streams] == [STREAM]

"""`lambent logs`: what a function wrote, from CloudWatch Logs."""

import argparse
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from lambent.cli import output
from lambent.cli.connection import Connection
from lambent.cli.outcome import CommandError, ExitCode

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_POLL_S = 1.0
# A line may be stored a little later than one with a younger timestamp; each poll looks back this far.
_OVERLAP_MS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the function")
    parser.add_argument("--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument(
        "--since", metavar="TIME", default="10m", help="how far back: 30s, 10m, 2h, 7d, or a time (default: 10m)"
    )


def run(arguments: argparse.Namespace, connection: Connection) -> int:
    since_ms = since(arguments.since, datetime.now(UTC))
    group = _log_group(connection, arguments.name)
    client = connection.client("logs")
    tail = Tail(since_ms)
    shown = 0
    while True:
        for event in tail.unseen(_events(client, group, tail.start_ms)):
            shown += 1
            _show(event, as_json=arguments.json)
        if not arguments.follow:
            break
        time.sleep(_POLL_S)
    if not shown and not arguments.json:
        output.progress(f"Nothing was written in {group} since {arguments.since}. --since looks further back.")
    return ExitCode.OK


class Tail:
    """Which events of overlapping polls are new, and from when the next poll asks."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self._seen: dict[str, int] = {}

    def unseen(self, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Those of one poll that no earlier one had."""
        youngest = self.start_ms
        for event in events:
            youngest = max(youngest, event["timestamp"])
            if event["eventId"] not in self._seen:
                self._seen[event["eventId"]] = event["timestamp"]
                yield event
        self.start_ms = max(self.start_ms, youngest - _OVERLAP_MS)
        self._seen = {event_id: at for event_id, at in self._seen.items() if at >= self.start_ms}


def since(text: str, now: datetime) -> int:
    """The moment that `--since` names, in milliseconds since 1970. Raises CommandError when it names none."""
    relative = re.fullmatch(r"(\d+)([smhdw])", text)
    try:
        if relative:
            moment = now - timedelta(**{_UNITS[relative[2]]: int(relative[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.astimezone()
        return max(0, round(moment.timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f"{text!r} is not a time",
            exit_code=ExitCode.USAGE,
            hint="Say how long ago (30s, 10m, 2h, 7d) or when (2026-01-31T14:05).",
        ) from error


def _log_group(connection: Connection, name: str) -> str:
    configuration = connection.client("lambda").get_function_configuration(FunctionName=name)
    group: str = (
        configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{configuration['FunctionName']}"
    )
    return group


def _events(client: Any, group: str, start_ms: int) -> Iterator[dict[str, Any]]:
    try:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start_ms):
            yield from page["events"]
    except ClientError as error:
        # The group is made by the first invocation.
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _show(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.line(event)
        return
    moment = datetime.fromtimestamp(event["timestamp"] / 1000).astimezone()
    message = event["message"].rstrip("\n")
    output.result(f"{moment:%H:%M:%S}.{event['timestamp'] % 1000:03d} {message}")

"""`lambent invoke`: one synchronous invocation. The function's answer goes to standard output, as it came."""

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import Any

from lambent.cli import output
from lambent.cli.connection import Connection
from lambent.cli.outcome import CommandError, ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name or ARN of the function")
    parser.add_argument(
        "--data", metavar="JSON", default="{}", help="the event: JSON, @FILE, or - for standard input (default: {})"
    )
    parser.add_argument("--qualifier", metavar="VERSION", help="invoke this version")
    parser.add_argument("--tail", action="store_true", help="show the end of the invocation's log on standard error")


def run(arguments: argparse.Namespace, connection: Connection) -> int:
    chosen = {"Qualifier": arguments.qualifier} if arguments.qualifier else {}
    answer = connection.client("lambda").invoke(
        FunctionName=arguments.name,
        Payload=event_of(arguments.data),
        LogType="Tail" if arguments.tail else "None",
        **chosen,
    )
    payload = answer["Payload"].read()
    function_error = answer.get("FunctionError")
    tail = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    if arguments.json:
        output.document(
            {
                "StatusCode": answer["StatusCode"],
                "ExecutedVersion": answer.get("ExecutedVersion"),
                "FunctionError": function_error,
                "Payload": _document(payload),
                **({"Log": tail} if arguments.tail else {}),
            }
        )
    else:
        if tail:
            output.progress(tail.rstrip("\n"))
        output.raw(payload)
    if function_error is None:
        return ExitCode.OK
    if not arguments.json:
        output.progress(f"lambent: {arguments.name} answered with an error ({function_error})")
    return ExitCode.FUNCTION_ERROR


def _document(payload: bytes) -> Any:
    """The answer in a document: what it is in JSON, or else, since a runtime may send anything, its text."""
    text = payload.decode(errors="replace")
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def event_of(data: str) -> bytes:
    """The event that `--data` stands for. Raises CommandError when it can not be read or is not JSON."""
    try:
        if data == "-":
            event = sys.stdin.buffer.read()
        elif data.startswith("@"):
            event = Path(data[1:]).read_bytes()
        else:
            event = data.encode()
    except OSError as error:
        raise CommandError(f"the event can not be read: {error}", exit_code=ExitCode.USAGE) from error
    try:
        json.loads(event)
    except RecursionError:
        pass  # nested deeper than is read here: the service decides
    except ValueError as error:
        raise CommandError(
            f"the event is not JSON: {error}",
            exit_code=ExitCode.USAGE,
            hint="""A string is written with its quotes: --data '"text"'. A file is named with @: --data @event.json""",
        ) from error
    return event

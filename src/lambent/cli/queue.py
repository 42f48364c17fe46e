"""`lambent queue`: the asynchronous events that a server has, by function."""

import argparse
from typing import Any

from lambent.cli import output
from lambent.cli.outcome import ExitCode

_HEADINGS = ("ACCOUNT", "REGION", "FUNCTION", "QUEUED", "OLDEST", "IN FLIGHT", "TO TELL", "DROPPED", "UNDELIVERED")


def show(arguments: argparse.Namespace, functions: list[dict[str, Any]]) -> int:
    if arguments.json:
        output.document(functions)
    elif functions:
        output.result(output.table(_HEADINGS, [_row(function) for function in functions]))
    else:
        output.progress("No events.")
    return ExitCode.OK


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    return (
        function["Account"],
        function["Region"],
        function["FunctionName"],
        str(function["Queued"]),
        f"{function['OldestAgeSeconds']:.0f} s",
        str(function["InFlight"]),
        str(function["ToTell"]),
        str(function["Dropped"]),
        str(function["Undelivered"]),
    )

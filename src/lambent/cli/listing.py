"""`lambent list`: the functions of the account and region."""

import argparse
from typing import Any

from lambent.cli import output
from lambent.cli.connection import Connection
from lambent.cli.outcome import ExitCode

_HEADINGS = ("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "CHANGED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments of its own."""


def run(arguments: argparse.Namespace, connection: Connection) -> int:
    pages = connection.client("lambda").get_paginator("list_functions").paginate()
    functions = [function for page in pages for function in page["Functions"]]
    if arguments.json:
        output.document(functions)
    elif functions:
        output.result(output.table(_HEADINGS, [_row(function) for function in functions]))
    else:
        output.progress(f"No functions in {connection.region}. `lambent deploy PATH` makes one.")
    return ExitCode.OK


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    return (
        function["FunctionName"],
        function.get("Runtime", "-"),
        f"{function['MemorySize']} MB",
        f"{function['Timeout']} s",
        size(function["CodeSize"]),
        function["LastModified"][:16].replace("T", " "),
    )


def size(count: int) -> str:
    """A number of bytes for people."""
    if count < 1024:
        return f"{count} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KB"
    return f"{count / 1024 / 1024:.1f} MB"

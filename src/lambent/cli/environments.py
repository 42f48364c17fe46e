"""`lambent environments`: the execution environments that a server has, by function and version."""

import argparse
from typing import Any

from lambent.cli import output
from lambent.cli.outcome import ExitCode

_HEADINGS = ("ACCOUNT", "REGION", "FUNCTION", "VERSION", "STARTING", "IDLE", "BUSY", "PROVISIONED", "WAITING", "MEMORY")


def show(arguments: argparse.Namespace, versions: list[dict[str, Any]]) -> int:
    if arguments.json:
        output.document(versions)
    elif versions:
        output.result(output.table(_HEADINGS, [_row(version) for version in versions]))
    else:
        output.progress("No environments.")
    return ExitCode.OK


def _row(version: dict[str, Any]) -> tuple[str, ...]:
    return (
        version["Account"],
        version["Region"],
        version["FunctionName"],
        version["Version"],
        *(str(version[count]) for count in ("Starting", "Idle", "Busy", "Provisioned", "Waiting")),
        f"{version['MemoryMiB']} MiB",
    )

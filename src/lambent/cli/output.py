"""What a command shows: results on standard output, progress and errors on standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lambent.cli.outcome import CommandError


def result(text: str) -> None:
    """Print a result for people."""
    print(text, flush=True)


def raw(data: bytes) -> None:
    """Print a result that is not ours, whatever its bytes are."""
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


def document(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a result for scripts: one JSON document. What JSON has no form for is shown as text."""
    print(json.dumps(value, indent=2, default=str), flush=True)


def line(value: Mapping[str, Any]) -> None:
    """Print one of many results for scripts: JSON on a line of its own."""
    print(json.dumps(value, default=str), flush=True)


def progress(text: str) -> None:
    """Tell what is going on."""
    print(text, file=sys.stderr, flush=True)


def error(failure: CommandError, *, as_json: bool) -> None:
    """Tell why the command failed."""
    if as_json:
        told = {"message": failure.message, "code": failure.error_code or None, "hint": failure.hint or None}
        print(json.dumps({"error": told}), file=sys.stderr, flush=True)
        return
    code = f"{failure.error_code}: " if failure.error_code else ""
    print(f"lambent: {code}{failure.message}", file=sys.stderr)
    if failure.hint:
        print(f"         {failure.hint}", file=sys.stderr)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two blanks apart."""
    lines = [headings, *rows]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines
    )

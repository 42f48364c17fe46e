"""A measurement, its verdict, and the table and the document that show it. Owns no measuring."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OK, MISSED, ABOVE, REPORTED = "ok", "MISSED", "above", ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. A promise about the ratio decides the run's exit code: it holds on any machine. A promise about the
    figure itself is for the project's kind of machine, so elsewhere it is told and not enforced, unless it is made for
    `anywhere`: that nothing is left, say."""

    name: str
    unit: str
    measured: float
    reference: float | None = None
    reference_name: str = ""
    ratio: float | None = None
    ratio_at_most: float | None = None
    ratio_at_least: float | None = None
    promised_at_most: float | None = None
    anywhere: bool = False

    @property
    def verdict(self) -> str:
        if self.ratio_at_most is not None or self.ratio_at_least is not None:
            return OK if self._ratio_holds() else MISSED
        if self.promised_at_most is not None:
            return OK if self.measured <= self.promised_at_most else MISSED if self.anywhere else ABOVE
        return REPORTED

    def _ratio_holds(self) -> bool:
        ratio = self.ratio
        assert ratio is not None, "a promise about a ratio that was not measured"
        return (self.ratio_at_most is None or ratio <= self.ratio_at_most) and (
            self.ratio_at_least is None or ratio >= self.ratio_at_least
        )

    @property
    def promise(self) -> str:
        if self.ratio_at_most is not None:
            return f"ratio ≤ {self.ratio_at_most:g}"
        if self.ratio_at_least is not None:
            return f"ratio ≥ {self.ratio_at_least:g}"
        if self.promised_at_most is not None:
            return f"≤ {self.promised_at_most:g} {self.unit}".rstrip()
        return ""


def row_of(fields: Mapping[str, Any]) -> Row:
    """A row from a part that gives plain mappings; where it gives a reference alone, the ratio is made here."""
    row = Row(**fields)
    if row.ratio is None and row.reference:
        return Row(**{**asdict(row), "ratio": row.measured / row.reference})
    return row


def any_missed(rows: Iterable[Row]) -> bool:
    return any(row.verdict == MISSED for row in rows)


_HEADINGS = ("", "measured", "reference", "ratio", "promise", "")


def lines(rows: Sequence[Row]) -> list[str]:
    """The table as text, and below it what the references are."""
    marks: dict[str, str] = {}
    for row in rows:
        if row.reference is not None:
            marks.setdefault(row.reference_name, f"[{len(marks) + 1}]")
    cells = [_HEADINGS, *(_cells(row, marks) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    table = [_line(line, widths) for line in cells]
    return [*table, "", *(f"{mark} {name}" for name, mark in marks.items())]


def _cells(row: Row, marks: Mapping[str, str]) -> tuple[str, ...]:
    reference = "" if row.reference is None else f"{_figure(row.reference)} {row.unit} {marks[row.reference_name]}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.name, f"{_figure(row.measured)} {row.unit}", reference, ratio, row.promise, row.verdict)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *middle, last = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True))]
    return "  ".join([*padded, last]).rstrip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def write_document(rows: Sequence[Row], directory: Path) -> Path:
    """Keep the run as JSON, with what it ran on. Returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / time.strftime("%Y-%m-%dT%H-%M-%S.json")
    document = {
        "machine": {
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "root": os.geteuid() == 0,
        },
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path

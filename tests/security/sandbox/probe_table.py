"""The table in docs/security.md of what is tried, from the probes themselves.

Run as a program it writes it; test_probe_table.py fails when the page is not what this would write.
"""

import sys
from pathlib import Path

from hostile import PROBES, THEMES
from hostile.trials import TRIALS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "security.md"
BEGIN = "<!-- probes: from here on written by tests/security/sandbox/probe_table.py -->"
END = "<!-- probes: to here -->"


def table() -> str:
    trials = sum(map(len, TRIALS.values()))
    parts = [f"{len(PROBES)} probes, and {trials} trials that take more than one program.", ""]
    for theme, probes in THEMES.items():
        parts += [f"### {theme}", "", "| probe | what it tries | control |", "| --- | --- | --- |"]
        parts += [f"| {probe.name} | {probe.tries} | {probe.control.words} |" for probe in probes]
        parts.append("")
    for theme, tried in TRIALS.items():
        parts += [f"### {theme}", "", "| trial | what it tries | control | test |", "| --- | --- | --- | --- |"]
        parts += [
            f"| {trial.name} | {trial.tries} | {trial.control} | [`{trial.test[1]}`](../{trial.test[0]}) |"
            for trial in tried
        ]
        parts.append("")
    return "\n".join(parts)


def written(page: str) -> str:
    """The page with its table replaced by what is tried now."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} has lost the marks around its probes"
    return f"{before}{begin}\n\n{table()}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(f"wrote {PAGE}\n")

"""The documentation gives the reason for every dependency."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_a_line_that_says_what_it_does_and_what_lost() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    required = {re.match(r"[\w.-]+", dependency)[0] for group in groups for dependency in group}
    lines = re.findall(r"^\| `([\w.-]+)` \| \S.* \| \S.* \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M)
    assert set(lines) == required
    assert len(lines) == len(set(lines))

"""The documentation gives the reason for every dependency, and its links lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]


def test_every_dependency_has_a_line_that_says_what_it_does_and_what_lost() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    required = {re.match(r"[\w.-]+", dependency)[0] for group in groups for dependency in group}
    lines = re.findall(r"^\| `([\w.-]+)` \| \S.* \| \S.* \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M)
    assert set(lines) == required
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_to_another_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []

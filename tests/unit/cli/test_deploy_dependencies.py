"""How the dependencies of a function are asked for. What the installers do with it is in tests/acceptance."""

import os
import sys
from pathlib import Path

import pytest

from lambent.cli.dependencies import install, npm_command, pip_command
from lambent.cli.outcome import CommandError

THIS_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def test_for_this_python_pip_may_build() -> None:
    assert "--only-binary=:all:" not in pip_command(Path("requirements.txt"), THIS_PYTHON, Path("target"))


def test_for_another_python_pip_takes_its_wheels_alone() -> None:
    command = pip_command(Path("requirements.txt"), "python3.9", Path("target"))
    assert command[command.index("--python-version") + 1] == "3.9"
    assert "--only-binary=:all:" in command


@pytest.mark.parametrize(
    ("name", "content", "runtime"),
    [
        ("requirements.txt", "# nothing yet\n\n", THIS_PYTHON),
        ("requirements.txt", "no-such-package-anywhere", "nodejs22.x"),
        ("package.json", '{"type": "module"}', "nodejs22.x"),
        ("package.json", '{"dependencies": {"no-such-package-anywhere": "1"}}', THIS_PYTHON),
    ],
)
def test_nothing_is_installed_where_nothing_is_asked_for(tmp_path: Path, name: str, content: str, runtime: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / name).write_text(content)
    install(source, runtime, target)
    assert list(target.iterdir()) == []


def test_modules_that_are_there_are_not_installed_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "node_modules").mkdir(parents=True)
    target.mkdir()
    (source / "package.json").write_text('{"dependencies": {"no-such-package-anywhere": "1"}}')
    install(source, "nodejs22.x", target)
    assert list(target.iterdir()) == []


def test_an_installer_that_fails_is_quoted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "requirements.txt").write_text("./no-such-folder\n")
    with pytest.raises(CommandError, match="no-such-folder"):
        install(source, THIS_PYTHON, target)


def test_npm_of_the_path_comes_before_the_bundled_one(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    assert npm_command(os.fspath(tmp_path)) == [str(npm)]
    bundled = npm_command("")
    assert bundled is not None
    assert all(Path(part).exists() for part in bundled)

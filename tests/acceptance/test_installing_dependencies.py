"""`lambent deploy` installs what a function asks for, with the real pip and npm and from the real registries."""

import sys
from pathlib import Path

import pytest

from lambent.cli import archive
from lambent.cli.dependencies import install, npm_command

THIS_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
OTHER_PYTHON = "python3.12" if THIS_PYTHON != "python3.12" else "python3.11"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    return source


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    return target


def test_requirements_come_without_the_scripts_of_a_command_line(source: Path, target: Path) -> None:
    (source / "requirements.txt").write_text("httptools\n")
    install(source, THIS_PYTHON, target)
    assert (target / "httptools" / "__init__.py").exists()
    assert not (target / "bin").exists()


def test_requirements_come_in_the_form_that_the_functions_python_needs(source: Path, target: Path) -> None:
    (source / "requirements.txt").write_text("httptools\n")
    install(source, OTHER_PYTHON, target)
    built_for = {part for file in target.rglob("*.so") for part in file.name.split(".") if part.startswith("cpython-")}
    assert {name.split("-")[1] for name in built_for} == {OTHER_PYTHON.removeprefix("python").replace(".", "")}


def test_installing_twice_makes_the_same_package(source: Path, tmp_path: Path) -> None:
    (source / "requirements.txt").write_text("six==1.17.0\n")
    packages = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        install(source, THIS_PYTHON, tmp_path / name)
        packages.append(archive.build(source, tmp_path / name))
    assert packages[0] == packages[1]


@pytest.mark.parametrize("path", ["", None], ids=["bundled npm", "npm of the machine"])
def test_node_modules_come_from_package_json(
    source: Path, target: Path, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path is None and npm_command("/usr/local/bin:/usr/bin:/bin") == npm_command(""):
        pytest.skip("this machine has no npm of its own")
    monkeypatch.setenv("PATH", path if path is not None else "/usr/local/bin:/usr/bin:/bin")
    (source / "package.json").write_text('{"dependencies": {"ms": "2.1.3"}, "devDependencies": {"nanoid": "5"}}')
    install(source, "nodejs22.x", target)
    assert (target / "node_modules" / "ms" / "package.json").exists()
    assert not (target / "node_modules" / "nanoid").exists()
    assert not (source / "node_modules").exists()

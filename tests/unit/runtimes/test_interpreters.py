"""Which interpreters are found where, with programs that only answer the question what they are."""

import json
import os
from pathlib import Path

import pytest

from lambent.worker.runtimes.interpreters import Interpreters
from lambent.worker.runtimes.node import Nodes


def fake_python(
    prefix: Path,
    version: str,
    name: str = "cpython",
    abi: str = "",
    asked: Path | None = None,
    *,
    has_ctypes: bool = True,
) -> Path:
    release = [int(part) for part in version.split(".")]
    executable = prefix / "bin" / f"python3.{release[1]}"
    answer = json.dumps([name, release, abi, str(prefix), has_ctypes])
    count = f"echo >> {asked}\n" if asked else ""
    return _program(executable, f"{count}echo '{answer}'")


def fake_node(executable: Path, version: str) -> Path:
    return _program(executable, f"echo v{version}")


def _program(executable: Path, script: str) -> Path:
    executable.parent.mkdir(parents=True, exist_ok=True)
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return executable


def interpreters(home: Path, search: str = "", **environment: str) -> Interpreters:
    return Interpreters(search, environment, home)


def found_prefix(machine: Interpreters, minor: int) -> Path | None:
    interpreter = machine.find(minor)
    return None if interpreter is None else interpreter.prefix


@pytest.fixture
def minor() -> int:
    """A version that no machine has, so that its own interpreters stay out."""
    return 90


def test_the_newest_of_a_version_in_pyenv_is_found(tmp_path: Path, minor: int) -> None:
    for patch in (2, 10, 9):
        fake_python(tmp_path / f".pyenv/versions/3.{minor}.{patch}", f"3.{minor}.{patch}")
    assert found_prefix(interpreters(tmp_path), minor) == tmp_path / f".pyenv/versions/3.{minor}.10"


def test_variables_tell_where_pyenv_and_uv_keep_theirs(tmp_path: Path, minor: int) -> None:
    fake_python(tmp_path / "uv" / f"cpython-3.{minor}.1-linux", f"3.{minor}.1")
    fake_python(tmp_path / "pyenv" / "versions" / f"3.{minor + 1}.1", f"3.{minor + 1}.1")
    machine = interpreters(tmp_path, PYENV_ROOT=f"{tmp_path}/pyenv", UV_PYTHON_INSTALL_DIR=f"{tmp_path}/uv")
    assert found_prefix(machine, minor) == tmp_path / "uv" / f"cpython-3.{minor}.1-linux"
    assert found_prefix(machine, minor + 1) == tmp_path / "pyenv" / "versions" / f"3.{minor + 1}.1"


def test_the_settings_directories_come_before_path_and_path_before_pyenv(tmp_path: Path, minor: int) -> None:
    fake_python(tmp_path / f".pyenv/versions/3.{minor}.3", f"3.{minor}.3")
    assert found_prefix(interpreters(tmp_path), minor) == tmp_path / f".pyenv/versions/3.{minor}.3"
    fake_python(tmp_path / "onpath", f"3.{minor}.2")
    path = f"{tmp_path}/onpath/bin"
    assert found_prefix(interpreters(tmp_path, PATH=path), minor) == tmp_path / "onpath"
    fake_python(tmp_path / "given", f"3.{minor}.1")
    assert found_prefix(interpreters(tmp_path, f"{tmp_path}/given", PATH=path), minor) == tmp_path / "given"


def test_a_virtual_environment_is_resolved_to_what_it_was_made_from(tmp_path: Path, minor: int) -> None:
    base = fake_python(tmp_path / "base", f"3.{minor}.1")
    venv = tmp_path / "venv" / "bin" / base.name
    venv.parent.mkdir(parents=True)
    venv.symlink_to(base)
    assert found_prefix(interpreters(tmp_path, PATH=str(venv.parent)), minor) == tmp_path / "base"


@pytest.mark.parametrize(("name", "abi"), [("pypy", ""), ("cpython", "t")])
def test_other_implementations_and_abis_are_passed_over(tmp_path: Path, minor: int, name: str, abi: str) -> None:
    fake_python(tmp_path / "odd", f"3.{minor}.1", name, abi)
    fake_python(tmp_path / f".pyenv/versions/3.{minor}.2", f"3.{minor}.2")
    machine = interpreters(tmp_path, PATH=f"{tmp_path}/odd/bin")
    assert found_prefix(machine, minor) == tmp_path / f".pyenv/versions/3.{minor}.2"


def test_a_broken_interpreter_is_passed_over(tmp_path: Path, minor: int) -> None:
    broken = fake_python(tmp_path / "broken", f"3.{minor}.1")
    broken.write_text("#!/bin/sh\nexit 1\n")
    assert interpreters(tmp_path, PATH=str(broken.parent)).find(minor) is None


def test_an_interpreter_is_asked_once(tmp_path: Path, minor: int) -> None:
    asked = tmp_path / "asked"
    fake_python(tmp_path / "one", f"3.{minor}.1", asked=asked)
    machine = interpreters(tmp_path, PATH=f"{tmp_path}/one/bin")
    assert not asked.exists(), "nothing may be asked before it is needed"
    assert machine.find(minor) == machine.find(minor)
    assert asked.read_text() == "\n"


def test_an_interpreter_without_ctypes_is_found_and_known(tmp_path: Path, minor: int) -> None:
    fake_python(tmp_path / "one", f"3.{minor}.1", has_ctypes=False)
    found = interpreters(tmp_path, PATH=f"{tmp_path}/one/bin").find(minor)
    assert found is not None
    assert not found.has_ctypes


def test_node_of_the_wanted_version_wins_and_the_nearest_stands_in(tmp_path: Path) -> None:
    fake_node(tmp_path / "onpath" / "node", "60.1.0")
    fake_node(tmp_path / ".nvm/versions/node/v62.0.1/bin/node", "62.0.1")
    fake_node(tmp_path / ".nvm/versions/node/v62.0.10/bin/node", "62.0.10")
    nodes = Nodes("", {"PATH": f"{tmp_path}/onpath"}, tmp_path)
    picked = {major: node.release for major in (50, 60, 61, 62, 70) if (node := nodes.nearest(major)) is not None}
    assert picked == {50: "60.1.0", 60: "60.1.0", 61: "62.0.10", 62: "62.0.10", 70: "62.0.10"}


def test_the_setting_names_the_only_node(tmp_path: Path) -> None:
    mine = fake_node(tmp_path / "mine", "5.0.0")
    fake_node(tmp_path / "onpath" / "node", "60.1.0")
    nodes = Nodes(str(mine), {"PATH": f"{tmp_path}/onpath"}, tmp_path)
    assert [node.release for node in nodes.all()] == ["5.0.0"]


UNREADABLE = Path("/" + "x" * 300)
"""A name that no file system takes: looking there fails for everybody, root included."""


def test_places_that_can_not_be_read_are_passed_over_and_told(tmp_path: Path, minor: int) -> None:
    fake_python(tmp_path / ".local/share/uv/python/cpython-1", f"3.{minor}.1")
    machine = interpreters(tmp_path, str(UNREADABLE), PYENV_ROOT=str(UNREADABLE))
    assert found_prefix(machine, minor) == tmp_path / ".local/share/uv/python/cpython-1"
    assert machine.search.unreadable == (UNREADABLE, UNREADABLE / "bin", UNREADABLE / "versions")


def test_places_for_node_that_can_not_be_read_are_passed_over_and_told(tmp_path: Path) -> None:
    fake_node(tmp_path / "onpath" / "node", "60.1.0")
    nodes = Nodes("", {"PATH": f"{UNREADABLE}:{tmp_path}/onpath", "NVM_DIR": str(UNREADABLE)}, tmp_path)
    assert "60.1.0" in [node.release for node in nodes.all()]
    assert nodes.search.unreadable == (UNREADABLE, UNREADABLE / "versions" / "node")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_the_directory_of_another_user_is_passed_over_and_told(tmp_path: Path, minor: int) -> None:
    fake_python(tmp_path / "pyenv" / "versions" / f"3.{minor}.2", f"3.{minor}.2")
    fake_python(tmp_path / ".local/share/uv/python/cpython-1", f"3.{minor}.1")
    (tmp_path / "pyenv").chmod(0)
    machine = interpreters(tmp_path, PYENV_ROOT=f"{tmp_path}/pyenv")
    assert found_prefix(machine, minor) == tmp_path / ".local/share/uv/python/cpython-1"
    assert machine.search.unreadable == (tmp_path / "pyenv" / "versions",)
    (tmp_path / "pyenv").chmod(0o755)


def test_places_that_are_not_there_are_not_told(tmp_path: Path, minor: int) -> None:
    (tmp_path / "file").write_text("")
    machine = interpreters(tmp_path, f"{tmp_path}/absent:{tmp_path}/file", PYENV_ROOT=f"{tmp_path}/file")
    assert machine.find(minor) is None
    assert machine.search.unreadable == ()

"""Deployment packages: the same content gives the same bytes, and only what a function needs is in."""

import io
import os
import zipfile
from pathlib import Path

from lambent.cli import archive


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def names(package: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(package)).namelist()


def test_equal_content_gives_equal_bytes_whenever_and_in_whatever_order_it_was_written(tmp_path: Path) -> None:
    content = {"app.py": "one", "lib/two.py": "two", "z": "three"}
    first = make(tmp_path / "first", content)
    second = make(tmp_path / "second", dict(reversed(content.items())))
    os.utime(second / "app.py", (1, 1))
    (second / "z").chmod(0o600)
    assert archive.build(first) == archive.build(second)
    (second / "z").write_text("other")
    assert archive.build(first) != archive.build(second)


def test_files_are_readable_by_all_and_executable_when_they_were(tmp_path: Path) -> None:
    folder = make(tmp_path, {"bootstrap": "#!/bin/sh", "data": ""})
    (folder / "bootstrap").chmod(0o700)
    (folder / "data").chmod(0o600)
    entries = zipfile.ZipFile(io.BytesIO(archive.build(folder))).infolist()
    assert {entry.filename: oct(entry.external_attr >> 16) for entry in entries} == {
        "bootstrap": "0o100755",
        "data": "0o100644",
    }


def test_what_tools_leave_behind_is_left_out(tmp_path: Path) -> None:
    left = {
        ".git/config": "",
        "__pycache__/app.cpython-311.pyc": "",
        "old.pyc": "",
        ".venv/bin/python": "",
        ".npmrc": "",
    }
    assert names(archive.build(make(tmp_path, {"app.py": "", ".env": "", **left}))) == [".env", "app.py"]


def test_the_functions_own_file_wins_over_an_installed_one(tmp_path: Path) -> None:
    own = make(tmp_path / "own", {"shared.py": "own"})
    installed = make(tmp_path / "installed", {"shared.py": "installed", "library/__init__.py": ""})
    package = archive.build(own, installed)
    assert names(package) == ["library/__init__.py", "shared.py"]
    assert zipfile.ZipFile(io.BytesIO(package)).read("shared.py") == b"own"


def test_links_are_followed_once(tmp_path: Path) -> None:
    folder = make(tmp_path / "function", {"app.py": ""})
    outside = make(tmp_path / "outside", {"shared.py": "shared"})
    (folder / "library").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    assert names(archive.build(folder)) == ["app.py", "library/shared.py"]

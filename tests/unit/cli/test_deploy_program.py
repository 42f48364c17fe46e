"""Finding the runtime and handler of a function in its source."""

import sys
from pathlib import Path

import pytest

from lambent.cli.outcome import CommandError, ExitCode
from lambent.cli.program import CUSTOM_RUNTIME, NODE_RUNTIME, exported_names, find, python_names

THIS_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def folder_with(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "my function"
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


@pytest.mark.parametrize(
    "source",
    [
        "def handler(event, context): ...",
        "class App: ...\nhandler = App()",
        "from framework import adapter as handler",
        "try:\n    from fast import handler\nexcept ImportError:\n    handler = None",
        "if True:\n    def handler(event, context): ...",
    ],
)
def test_a_python_handler_is_found_however_it_comes_by_its_name(tmp_path: Path, source: str) -> None:
    found = find(folder_with(tmp_path, app__py=source))
    assert (found.runtime, found.handler) == (THIS_PYTHON, "app.handler")


def test_a_name_inside_another_function_is_no_handler() -> None:
    assert python_names("def main():\n    def handler(): ...\n    lambda_handler = 1", "app.py") == {"main"}


def test_lambda_handler_is_taken_before_handler(tmp_path: Path) -> None:
    assert find(folder_with(tmp_path, main__py="def handler(): ...\ndef lambda_handler(): ...")).handler == (
        "main.lambda_handler"
    )


def test_a_customary_file_name_is_taken_before_another(tmp_path: Path) -> None:
    source = "def handler(event, context): ..."
    assert find(folder_with(tmp_path, a__py=source, lambda_function__py=source)).handler == "lambda_function.handler"


def test_a_file_without_a_handler_does_not_hide_one_that_has_it(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, main__py="print()", zebra__py="def handler(event, context): ...")
    assert find(folder).handler == "zebra.handler"


@pytest.mark.parametrize(
    "source",
    [
        "export const handler = async (event) => event;",
        "export async function handler(event) {}",
        "const run = () => 1;\nexport { run as handler };",
        "const handler = () => 1;\nexport { other, handler };",
        "exports.handler = async () => {};",
        "module.exports.handler = function () {};",
        "module.exports = { handler };",
        "module.exports = { other: 1, handler: async (event) => event };",
        "export const handler = awslambda.streamifyResponse(async () => {});",
    ],
)
def test_a_javascript_handler_is_found_however_it_is_exported(source: str) -> None:
    assert "handler" in exported_names(source)


@pytest.mark.parametrize(
    "source", ["const handler = 1;", "// exports.handler = 1", "/*\nexport const handler = 1\n*/", "handler();"]
)
def test_javascript_that_does_not_export_a_handler_has_none(source: str) -> None:
    assert "handler" not in exported_names(source)


def test_a_node_function_runs_on_what_its_package_asks_for(tmp_path: Path) -> None:
    source = "exports.handler = async () => {};"
    folder = folder_with(tmp_path, index__js=source)
    assert (find(folder).runtime, find(folder).handler) == (NODE_RUNTIME, "index.handler")
    (folder / "package.json").write_text('{"engines": {"node": "^20.1"}}')
    assert find(folder).runtime == "nodejs20.x"
    (folder / "package.json").write_text('{"engines": {"node": ">=16"}}')
    assert find(folder).runtime == NODE_RUNTIME


def test_the_main_module_of_a_package_is_looked_into(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, start__cjs="exports.handler = 1;", package__json='{"main": "start.cjs"}')
    assert find(folder).handler == "start.handler"


def test_a_pinned_python_version_is_kept(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, app__py="def handler(event, context): ...")
    (folder / ".python-version").write_text("3.9.18\n")
    assert find(folder).runtime == "python3.9"


def test_a_bootstrap_is_a_function_when_it_can_be_executed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, bootstrap="#!/bin/sh\n")
    with pytest.raises(CommandError, match="no handler was found"):
        find(folder)
    (folder / "bootstrap").chmod(0o755)
    assert find(folder).runtime == CUSTOM_RUNTIME


def test_one_file_is_a_function_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "resize image.py"
    file.write_text("def handler(event, context): ...")
    found = find(file)
    assert (found.name, found.handler) == ("resize-image", "resize image.handler")


def test_what_is_given_is_not_looked_for(tmp_path: Path) -> None:
    found = find(folder_with(tmp_path), "python3.9", "package.module.run")
    assert (found.runtime, found.handler, found.name) == ("python3.9", "package.module.run", "my-function")


def test_a_given_runtime_leads_to_a_file_of_its_family(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, app__py="def handler(): ...", index__mjs="export const handler = 1;")
    assert find(folder, runtime="nodejs20.x").handler == "index.handler"


def test_a_given_handler_tells_the_runtime_by_its_file(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, app__py="def handler(): ...", work__mjs="export const run = 1;")
    found = find(folder, handler="work.run")
    assert (found.runtime, found.handler) == (NODE_RUNTIME, "work.run")


def test_a_zip_archive_needs_its_runtime_and_handler_named(tmp_path: Path) -> None:
    archive = tmp_path / "ready.zip"
    archive.write_bytes(b"")
    with pytest.raises(CommandError, match="packaged already"):
        find(archive)
    assert find(archive, "python3.12", "app.handler").archive


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"app\.py, line 2"):
        find(folder_with(tmp_path, app__py="x = 1\ndef handler(:\n"))


def test_where_there_is_nothing_the_message_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        find(folder_with(tmp_path, notes__txt="", tool__py="x = 1"))
    assert caught.value.exit_code == ExitCode.USAGE
    assert "looked into tool.py" in caught.value.message
    assert "lambda_function.py" in caught.value.hint
    with pytest.raises(CommandError, match="there is no"):
        find(tmp_path / "missing")

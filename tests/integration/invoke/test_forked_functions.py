"""What functions whose processes are forked from one have in common, and the setting that has none forked."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from live_functions import PYTHON, Function, Functions

TELLS = """
import os, random, ssl, uuid
def handler(event, context):
    return {
        "command": open("/proc/self/cmdline").read().split("\\0"),
        "hash": hash("of a text"),
        "drawn": [random.random(), ssl.RAND_bytes(8).hex(), str(uuid.uuid4()), os.urandom(8).hex()],
        "namespaces": [os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt", "pid", "net", "ipc", "uts")],
    }
"""
HAS = """
import gc, os, sys
def handler(event, context):
    return {
        "modules": sorted(sys.modules),
        "importers": sorted(sys.path_importer_cache),
        "variables": sorted(os.environ),
        "path": sys.path,
        "collects": gc.isenabled(),
    }
"""
FORKED = "/var/runtime/fork.py"


def told_by(made: list[Function]) -> list[dict[str, Any]]:
    """By an environment of each."""
    with ThreadPoolExecutor(len(made)) as callers:
        return [answer.document for answer in callers.map(lambda function: function.invoke({}), made)]


def test_two_that_are_forked_share_no_chance_and_no_namespace(functions: Functions) -> None:
    one, other = told_by([functions.create(TELLS), functions.create(TELLS)])
    assert FORKED in one["command"]
    assert one["hash"] == other["hash"], "they are not of one zygote"
    assert not set(map(str, one["drawn"])) & set(map(str, other["drawn"]))
    assert not set(one["namespaces"]) & set(other["namespaces"])


def test_what_was_rehearsed_before_it_was_wanted_has_left_nothing_behind(new_server: Any) -> None:
    found: list[dict[str, Any]] = []
    for settings in (("--preboot-memory-mib", "0"), ("--preboot-minimum", "2")):
        with new_server(*settings) as server:
            made = Functions(server.client("lambda"))
            # One after the other: the first may have come before there was any.
            found += [made.create(HAS).invoke({}).document for _ in range(3)]
            made.delete_all()
    assert "awslambdaric.bootstrap" in found[0]["modules"]
    assert found == found[:1] * len(found)


@pytest.mark.parametrize("runtime", [f"python3.{minor}" for minor in range(9, 15)])
def test_a_module_of_the_functions_own_is_found_whether_its_process_is_forked_or_not(
    functions: Functions, runtime: str
) -> None:
    """Be there one of its name in the standard library, which the process that others are forked from needs."""
    executed = {"Environment": {"Variables": {"PYTHONHASHSEED": "0"}}}
    try:
        forked, alone = told_by([functions.create(HAS, runtime), functions.create(HAS, runtime, **executed)])
    except botocore.exceptions.WaiterError:
        pytest.skip(f"there is no {runtime} on this machine")
    more = {name for name in forked["modules"] if name.isalpha()} - set(alone["modules"])
    assert "resource" in more
    names = sorted(more)
    code = f"""
import sys
def handler(event, context):
    return {{name: __import__(name).__file__ for name in {names} if name not in sys.builtin_module_names}}
"""
    files = {"app.py": code} | {f"{name}.py": "" for name in names}
    found = functions.create(files, runtime).invoke({}).document
    assert found
    assert found == {name: f"/var/task/{name}.py" for name in found}


@pytest.mark.parametrize("ahead", [(), ("--preboot-memory-mib", "0")], ids=["booted ahead", "booted on demand"])
def test_none_is_forked_where_the_settings_say_so(new_server: Any, ahead: tuple[str, ...]) -> None:
    with new_server("--no-fork-functions", *ahead) as server:
        made = Functions(server.client("lambda"))
        one, other = told_by([made.create(TELLS), made.create(TELLS)])
        assert FORKED not in one["command"]
        assert one["hash"] != other["hash"]
        made.delete_all()


@pytest.fixture
def without_ctypes(data_dir: Path) -> Path:
    """An interpreter's prefix, as it is where that was built without libffi."""
    prefix = data_dir.with_name("python")
    original = Path(sys.base_prefix)
    left_out = shutil.ignore_patterns("ctypes", "*-packages", "test", "idlelib", "tkinter", "config-*", "__pycache__")
    shutil.copytree(original / "lib" / PYTHON, prefix / "lib" / PYTHON, ignore=left_out)
    for library in original.glob("lib/libpython*.so*"):
        shutil.copy(library, prefix / "lib")
    (prefix / "bin").mkdir()
    program = shutil.copy(original / "bin" / PYTHON, prefix / "bin" / PYTHON)
    data_dir.parent.chmod(0o755)
    asked = subprocess.run(
        (program, "-I", "-S", "-c", "import sys; print(sys.base_prefix); import ctypes"),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.stdout.strip() != str(prefix) or "No module named 'ctypes'" not in asked.stderr:
        pytest.skip(f"the interpreter can not be copied: {asked.stdout}{asked.stderr}")
    return prefix


def test_none_is_forked_where_the_interpreter_can_not_be_a_zygote(new_server: Any, without_ctypes: Path) -> None:
    with new_server("--python-search", str(without_ctypes), "--snap-start-on-older-runtimes") as server:
        made = Functions(server.client("lambda"))
        one, other = told_by([made.create(TELLS), made.create(TELLS)])
        assert FORKED not in one["command"]
        assert one["hash"] != other["hash"]
        restored = made.create(TELLS, SnapStart={"ApplyOn": "PublishedVersions"})
        version = {"FunctionName": restored.name, "Qualifier": "1"}
        restored.client.publish_version(FunctionName=restored.name)
        restored.client.get_waiter("published_version_active").wait(**version, WaiterConfig={"Delay": 0.05})
        shown = restored.client.get_function_configuration(**version)
        assert shown["SnapStart"]["OptimizationStatus"] == "Off"
        answer = restored.invoke({}, Qualifier="1")
        assert FORKED not in answer.document["command"]
        assert "Init Duration" in answer.report
        made.delete_all()
        assert "environment lost" not in server.log.read_text()

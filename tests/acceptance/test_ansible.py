"""The Lambda modules of Ansible's collection amazon.aws: what a playbook says is made so once, and then left alone."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PROGRAMS = Path(__file__).parents[2] / ".ansible" / "bin"
PLAYBOOKS = Path(__file__).with_name("playbooks")
ACCOUNT = "111122223333"
ARNS = f"arn:aws:lambda:us-east-1:{ACCOUNT}"
APPLIED = ["function", "alias", "policy", "event of a queue", "event of a stream"]
REMOVED = ["event of a stream", "event of a queue", "policy", "alias", "function", "layer"]

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def play(server: Any, tmp_path: Path) -> Play:
    """Runs a playbook with these variables, `check` or for good; what each of its tasks gave, by name."""
    program = PROGRAMS / "ansible-playbook"
    if not program.exists():
        pytest.skip("Ansible is not installed: tests/prerequisites says why")
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": str(tmp_path),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_PYTHON_INTERPRETER": str(PROGRAMS / "python"),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
    }

    def run(playbook: str, *, check: bool = False, **variables: Any) -> dict[str, Any]:
        command = [str(program), "-i", "localhost,", "-c", "local", "-e", json.dumps(variables)]
        done = subprocess.run(
            [*command, *(["--check"] if check else []), str(PLAYBOOKS / f"{playbook}.yml")],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        tasks = json.loads(done.stdout)["plays"][0]["tasks"]
        return {task["task"]["name"]: task["hosts"]["localhost"] for task in tasks}

    return run


def changed(results: dict[str, Any]) -> list[str]:
    return [task for task, result in results.items() if result["changed"]]


def package(folder: Path, name: str, source: str) -> Path:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", source)
    (folder / name).write_bytes(content.getvalue())
    return folder / name


def sha256(package: Path) -> str:
    return base64.b64encode(hashlib.sha256(package.read_bytes()).digest()).decode()


def mapped(info: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Of each mapping the function, the size of its batches and its state."""
    (function,) = info["functions"]
    return [(one["function_arn"], one["batch_size"], one["state"]) for one in function["mappings"]]


@pytest.mark.slow
def test_playbooks_make_a_function_once_change_it_once_and_remove_it_once(play: Play, tmp_path: Path) -> None:
    name = f"ansible-{uuid.uuid4().hex[:8]}"
    source = "def handler(event, context):\n    return ['{}', event['name'], context.function_version]\n"
    wanted = {
        "name": name,
        "account": ACCOUNT,
        "runtime": RUNTIME,
        "package": str(package(tmp_path, "one.zip", source.format("hello"))),
        "description": "first",
        "tracing": "PassThrough",
        "memory_size": 128,
        "batch_size": 5,
        "enabled": True,
        "version": 1,
    }
    assert play("layer", **wanted)["layer"]["layer_versions"][0]["version"] == 1
    assert changed(play("apply", **wanted)) == APPLIED
    assert changed(play("apply", **wanted)) == []

    seen = play("look", **wanted)
    assert seen["call"]["result"]["output"] == ["hello", "Ada", "1"]
    (function,) = seen["info"]["functions"]
    assert function["function_arn"] == f"{ARNS}:function:{name}"
    assert function["role"] == f"arn:aws:iam::{ACCOUNT}:role/function"
    assert (function["state"], function["last_update_status"]) == ("Active", "Successful")
    assert function["code_sha256"] == sha256(tmp_path / "one.zip")
    assert [version["version"] for version in function["versions"]] == ["$LATEST", "1"]
    assert function["tags"] == {"stage": "first", "first": "only here"}
    (alias,) = function["aliases"]
    assert (alias["name"], alias["function_version"], alias["description"]) == ("live", "1", "first")
    assert mapped(seen["info"]) == [(f"{ARNS}:function:{name}", 500, "Enabled")]
    assert mapped(seen["info of the alias"]) == [(f"{ARNS}:function:{name}:live", 5, "Enabled")]
    assert [layer["version"] for layer in seen["layer info"]["layers_versions"]] == [1]

    wanted |= {
        "package": str(package(tmp_path, "two.zip", source.format("goodbye"))),
        "description": "second",
        "tracing": "Active",
        "memory_size": 192,
        "batch_size": 7,
        "enabled": False,
        "version": 2,
    }
    assert play("layer", **wanted)["layer"]["layer_versions"][0]["version"] == 2
    # The module of policies never foretells a change.
    assert changed(play("apply", check=True, **wanted)) == [task for task in APPLIED if task != "policy"]
    assert changed(play("apply", **wanted)) == APPLIED
    assert changed(play("apply", **wanted)) == []

    seen = play("look", **wanted)
    assert seen["call"]["result"]["output"] == ["goodbye", "Ada", "2"]
    (function,) = seen["info"]["functions"]
    assert (function["memory_size"], function["environment"]) == (192, {"variables": {"GREETING": "second"}})
    assert [layer["arn"] for layer in function["layers"]] == [f"{ARNS}:layer:{name}:2"]
    assert [version["version"] for version in function["versions"]] == ["$LATEST", "1", "2"]
    assert function["tags"] == {"stage": "second", "second": "only here"}
    assert function["tracing_config"] == {"mode": "Active"}
    assert function["dead_letter_config"] == {"target_arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:second"}
    assert function["vpc_config"]["subnet_ids"] == ["subnet-second", "subnet-shared"]
    assert mapped(seen["info"]) == [(f"{ARNS}:function:{name}", 700, "Enabled")]
    assert mapped(seen["info of the alias"]) == [(f"{ARNS}:function:{name}:live", 7, "Disabled")]
    assert [layer["version"] for layer in seen["layer info"]["layers_versions"]] == [2, 1]

    assert changed(play("remove", **wanted)) == REMOVED
    assert changed(play("remove", **wanted)) == []

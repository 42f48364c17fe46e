"""Python functions, by the official client, on every interpreter of this machine."""

from collections.abc import Callable

import pytest
from runtime_conversation import Machine

VERSIONS = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"]
SOME = "python3.11"

ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture(params=VERSIONS)
def every(request: pytest.FixtureRequest, prepared: Callable[[str], Machine]) -> tuple[str, Machine]:
    return request.param, prepared(request.param)


@pytest.fixture
def machine(prepared: Callable[[str], Machine]) -> Machine:
    return prepared(SOME)


def test_one_process_answers_event_after_event(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "import os\n\nseen = []\n\n\n"
        "def handler(event, context):\n    seen.append(event)\n    return [len(seen), event, os.getpid()]\n"
    )
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {"a": 1}, "text")
    assert conversation.exit_code is None
    assert [one.kind for one in conversation.posted] == ["response", "response"]
    first, second = (one.document() for one in conversation.posted)
    assert (first[:2], second[:2]) == ([1, {"a": 1}], [2, "text"])
    assert first[2] == second[2]
    assert [one.request_id for one in conversation.posted] == ["request-1", "request-2"]
    assert conversation.output == ""


def test_the_search_path_is_the_functions_then_its_layers_then_the_clients_then_the_library(
    every: tuple[str, Machine],
) -> None:
    runtime, machine = every
    code = "import sys\n\n\ndef handler(event, context):\n    return sys.path\n"
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {})
    path = conversation.posted[0].document()
    assert path[0].endswith("/var/task")
    assert path[1:3] == [f"/opt/python/lib/{runtime}/site-packages", "/opt/python"]
    assert path[3].endswith("/var/runtime")
    assert path[4].endswith(f"/python{runtime.removeprefix('python').replace('.', '')}.zip")
    assert not [entry for entry in path if entry.endswith("-packages") and not entry.startswith("/opt")]
    assert len(set(path)) == len(path)


def test_boto3_is_there_and_not_imported_until_used(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "import sys\n\nbefore = [n for n in ('boto3', 'botocore', 'urllib3') if n in sys.modules]\nimport boto3\n\n\n"
        "def handler(event, context):\n"
        "    client = boto3.client('lambda')\n"
        "    return [before, boto3.__file__, client.meta.endpoint_url, client.meta.region_name]\n"
    )
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {})
    before, place, endpoint, region = conversation.posted[0].document()
    assert before == []
    assert "/var/runtime/boto3/" in place
    assert (endpoint, region) == ("http://127.0.0.1:9", "eu-west-1")


def test_a_functions_own_packages_come_before_the_platforms(machine: Machine) -> None:
    files = {
        "index.py": (
            "import boto3, bootstrap\n\n\ndef handler(event, context):\n    return [boto3.MINE, bootstrap.MINE]\n"
        )
    }
    files |= {"boto3/__init__.py": "MINE = 1\n", "bootstrap.py": "MINE = 2\n"}
    conversation = machine.run(SOME, files, "index.handler", {})
    assert conversation.posted[0].document() == [1, 2]

"""Environment variables over the life of their keys: on disk they are sealed, and a lost key costs nothing else."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lambda_api import ARNS, clients, make_function, reconfigure, refusal, settle, zipped

SECRET = "correct-horse-battery-staple"
OPEN = "what-everybody-may-read"
TELLS = "import os\ndef handler(event, context):\n    return os.environ.get('PASSWORD')\n"
KEYS = (b"1" * 32, b"2" * 32)


@pytest.fixture
def make_server(server: Any, data_dir: Path) -> Iterator[Callable[..., Any]]:
    """Starts the server on the test's directory with these keys, after the one before has stopped."""
    running: list[Any] = []
    key_file = data_dir.with_name("keys")

    def make(*keys: bytes) -> Any:
        while running:
            assert running.pop().stop() == 0
        if keys:
            key_file.write_bytes(b"".join(base64.b64encode(key) + b"\n" for key in keys))
        running.append(type(server)(data_dir, ("--environment-key-file", str(key_file))).start())
        return running[-1]

    yield make
    for left in running:
        assert left.stop() == 0


def told(api: Any, name: str) -> Any:
    answer = api.invoke(FunctionName=name)
    assert "FunctionError" not in answer
    return json.loads(answer["Payload"].read())


def in_files(directory: Path, text: str) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_no_file_of_the_server_holds_the_value_of_a_variable(make_server: Callable[..., Any], data_dir: Path) -> None:
    server = make_server()
    api = clients(server)
    variables = {"Variables": {"PASSWORD": SECRET}}
    made = {"Code": {"ZipFile": zipped(TELLS)}, "Environment": variables, "Description": OPEN}
    make_function(api, "keeper", **made, Publish=True)
    reconfigure(api, "keeper", Timeout=4)
    assert told(api, "keeper") == SECRET
    assert api.get_function_configuration(FunctionName="keeper")["Environment"] == variables
    assert [path for path in in_files(data_dir, OPEN) if path.startswith("metadata.sqlite")]
    assert in_files(data_dir, SECRET) == []
    server = make_server()
    assert told(clients(server), "keeper:1") == SECRET
    assert in_files(data_dir, SECRET) == []


def test_a_key_is_changed_by_putting_a_new_one_before_it(make_server: Callable[..., Any]) -> None:
    api = clients(make_server(KEYS[0]))
    make_function(
        api, "keeper", Code={"ZipFile": zipped(TELLS)}, Environment={"Variables": {"PASSWORD": SECRET}}, Publish=True
    )
    server = make_server(KEYS[1], KEYS[0])
    assert "environment variables sealed under the first key" in server.log.read_text()
    assert told(clients(server), "keeper") == SECRET
    api = clients(make_server(KEYS[1]))
    assert [told(api, name) for name in ("keeper", "keeper:1")] == [SECRET, SECRET]


def test_a_lost_key_costs_the_variables_alone_and_they_come_back_with_it(make_server: Callable[..., Any]) -> None:
    api = clients(make_server(KEYS[0]))
    variables = {"Variables": {"PASSWORD": SECRET}}
    for name in ("keeper", "mended"):
        make_function(api, name, Code={"ZipFile": zipped(TELLS)}, Environment=variables)
    make_function(api, "bare", Code={"ZipFile": zipped(TELLS)})

    server = make_server(KEYS[1])
    api = clients(server)
    log = server.log.read_text()
    assert "environment variables can not be read" in log
    assert ARNS + "keeper" in log
    assert ARNS + "mended" in log
    assert ARNS + "bare" not in log
    shown = api.get_function_configuration(FunctionName="keeper")
    assert shown["State"] == "Active"
    error = shown["Environment"].pop("Error")
    assert shown["Environment"] == {}
    assert error["ErrorCode"] == "KMSNotFoundException"
    assert error["Message"].startswith("Lambda was unable to decrypt the environment variables of the function")
    assert len(api.list_functions()["Functions"]) == 3
    refused = refusal(api.invoke, FunctionName="keeper")
    assert (refused.status, refused.code, refused.message) == (502, "KMSNotFoundException", error["Message"])
    reconfigure(api, "keeper", Description="changed without the key")
    refused = refusal(api.publish_version, FunctionName="keeper")
    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
    assert told(api, "bare") is None
    reconfigure(api, "mended", Environment={"Variables": {"PASSWORD": "another"}})
    assert told(api, "mended") == "another"

    api = clients(make_server(KEYS[1], KEYS[0]))
    settle(api, "keeper")
    shown = api.get_function_configuration(FunctionName="keeper")
    assert (shown["Environment"], shown["Description"]) == (variables, "changed without the key")
    assert [told(api, name) for name in ("keeper", "mended")] == [SECRET, "another"]

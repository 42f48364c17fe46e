"""Python functions, by the official client, on every interpreter of this machine."""

import json
import re
from collections.abc import Callable

import pytest
from runtime_conversation import ARN, Event, Machine

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
    customers = {"LAMBENT_ROOT": "/elsewhere"}  # a name that would be ours, if it could not be a customer's
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {}, variables=customers)
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


def test_what_the_client_needs_is_not_the_functions_own(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    names = ("json", "simplejson", "awslambdaric")
    imports = f"import {', '.join(names)}\n\n\n"
    code = imports + f"def handler(event, context):\n    return [one.__file__ for one in ({', '.join(names)})]\n"
    files = {"index.py": code} | {f"{name}.py": "raise OSError\n" for name in names}
    conversation = machine.run(runtime, files, "index.handler", {})
    places = conversation.posted[0].document()
    assert len(places) == len(names)
    assert not [place for place in places if "/var/task" in place]


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.py": "def handler(e, c):\n    return 'here'\n"}, "index.handler"),
        ({"a/b/index.py": "def handler(e, c):\n    return 'here'\n"}, "a/b/index.handler"),
        ({"a/__init__.py": "", "a/index.py": "def handler(e, c):\n    return 'here'\n"}, "a.index.handler"),
        ({"index/__init__.py": "def handler(e, c):\n    return 'here'\n"}, "index.handler"),
    ],
)
def test_a_handler_is_found_in_every_form(machine: Machine, files: dict[str, str | bytes], handler: str) -> None:
    assert machine.run(SOME, files, handler, {}).posted[0].document() == "here"


@pytest.mark.parametrize(
    ("code", "handler", "error_type", "message"),
    [
        (ECHO, "index.other", "Runtime.HandlerNotFound", "Handler 'other' missing on module 'index'"),
        (
            ECHO,
            "absent.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'absent': No module named 'absent'",
        ),
        ("import absent\n", "index.handler", "Runtime.ImportModuleError", "module 'index': No module named 'absent'"),
        ("def (\n", "index.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'index': "),
        (ECHO, "index", "Runtime.MalformedHandlerName", "Bad handler 'index': not enough values to unpack"),
        (ECHO, "sys.handler", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        ("raise LookupError('at load')\n", "index.handler", "LookupError", "at load"),
    ],
)
def test_what_can_not_be_loaded_is_an_init_error(
    every: tuple[str, Machine], code: str, handler: str, error_type: str, message: str
) -> None:
    runtime, machine = every
    conversation = machine.run(runtime, {"index.py": code}, handler, {})
    (posted,) = conversation.posted
    document = posted.document()
    assert (posted.kind, document["errorType"], document["requestId"]) == ("init/error", error_type, "")
    assert message in document["errorMessage"]
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == error_type
    assert conversation.exit_code == 1
    warning, error = conversation.output.splitlines(keepends=True)[:1], conversation.output.split("\n")[-2]
    assert warning[0].startswith("[WARNING]\t")
    assert "LAMBDA_WARNING: Unhandled exception." in warning[0]
    assert f"[ERROR] {error_type}: " in error


def test_an_exception_is_told_to_caller_and_log_without_frames_of_the_client(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "def handler(event, context):\n    raise LookupError('no')\n"
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {}, {})
    first, second = conversation.posted
    assert (first.kind, second.kind) == ("error", "error")
    document = first.document()
    assert list(document) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (document["errorMessage"], document["errorType"]) == ("no", "LookupError")
    assert document["requestId"] == "request-1"
    (frame,) = document["stackTrace"]
    assert frame.endswith("/var/task/index.py\", line 2, in handler\n    raise LookupError('no')\n")
    assert conversation.output.count("\n") == 2
    assert conversation.output.startswith(
        "[ERROR] LookupError: no\rTraceback (most recent call last):\r\u00a0\u00a0File "
    )


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("None", b"null", "application/json"),
        ("{'d': __import__('decimal').Decimal('1.10')}", b'{"d": 1.10}', "application/json"),
        ("float('nan')", b"NaN", "application/json"),
        ("b'\\x00\\xff'", b"\x00\xff", "application/unknown"),
    ],
)
def test_answers_have_the_bytes_of_the_official_client(
    machine: Machine, returned: str, body: bytes, content_type: str
) -> None:
    code = f"def handler(event, context):\n    return {returned}\n"
    (posted,) = machine.run(SOME, {"index.py": code}, "index.handler", {}).posted
    assert (posted.body, posted.headers["Content-Type"]) == (body, content_type)


def test_text_is_escaped_by_older_runtimes_and_kept_by_newer(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    (posted,) = machine.run(runtime, {"index.py": ECHO}, "index.handler", "é").posted
    newer = int(runtime.removeprefix("python3.")) >= 12
    assert posted.body == ('"é"'.encode() if newer else b'"\\u00e9"')


def test_what_is_no_json_is_a_marshal_error(machine: Machine) -> None:
    code = "def handler(event, context):\n    return object()\n"
    (posted,) = machine.run(SOME, {"index.py": code}, "index.handler", {}).posted
    assert posted.document()["errorType"] == "Runtime.MarshalError"


def test_the_context_has_all_its_members(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "import os\n\n\ndef handler(event, c):\n"
        "    return [c.aws_request_id, c.function_name, c.function_version, c.invoked_function_arn, "
        "c.memory_limit_in_mb, c.log_group_name, c.log_stream_name, c.client_context.custom, "
        "c.identity.cognito_identity_id, c.get_remaining_time_in_millis() > 1000000, os.environ['_X_AMZN_TRACE_ID']]\n"
    )
    headers = {
        "Lambda-Runtime-Client-Context": '{"custom": {"a": 1}}',
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}',
        "Lambda-Runtime-Trace-Id": "Root=1-2-3",
    }
    (posted,) = machine.run(runtime, {"index.py": code}, "index.handler", Event(b"{}", headers)).posted
    assert posted.document() == [
        *("request-1", "probe", "$LATEST", ARN, "256", "/aws/lambda/probe"),
        *("2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef", {"a": 1}, "i", True, "Root=1-2-3"),
    ]


def test_output_arrives_line_by_line_in_order(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = (
        "import logging, os, sys\n\nprint('load')\n\n\n"
        "def handler(event, context):\n"
        "    print('a')\n    os.write(1, b'b\\n')\n    print('c', file=sys.stderr)\n"
        "    logging.getLogger().warning('d %s', 1)\n    os._exit(3)\n"
    )
    conversation = machine.run(runtime, {"index.py": code}, "index.handler", {})
    lines = conversation.output.splitlines()
    assert lines[:4] == ["load", "a", "b", "c"]
    assert re.fullmatch(r"\[WARNING\]\t\d{4}-\d\d-\d\dT[\d:.]{12}Z\trequest-1\td 1", lines[4])
    assert conversation.exit_code == 3


def test_json_logs_are_one_object_a_line(machine: Machine) -> None:
    code = (
        "import logging\n\n\n"
        "def handler(e, c):\n    logging.getLogger().info('a')\n    logging.getLogger().debug('b')\n"
    )
    conversation = machine.run(
        SOME, {"index.py": code}, "index.handler", {}, log_format="JSON", application_log_level="INFO"
    )
    (record,) = (json.loads(line) for line in conversation.output.splitlines())
    assert (record["level"], record["message"], record["requestId"]) == ("INFO", "a", "request-1")


def test_exit_and_its_kin_are_builtins(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "def handler(event, context):\n    assert help and quit and copyright\n    exit(4)\n"
    assert machine.run(runtime, {"index.py": code}, "index.handler", {}).exit_code == 4


def test_nothing_is_compiled_into_the_package(machine: Machine) -> None:
    code = "import os, other\n\n\ndef handler(event, context):\n    return sorted(os.listdir())\n"
    (posted,) = machine.run(SOME, {"index.py": code, "other.py": ""}, "index.handler", {}).posted
    assert posted.document() == ["index.py", "other.py"]


def test_a_wrapper_gets_the_command_line_with_the_script_last(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    wrapper = '#!/bin/sh\nfor last in "$@"; do :; done\nexport WRAPPED="$last"\nexec "$@"\n'
    code = "import os\n\n\ndef handler(event, context):\n    return os.environ['WRAPPED']\n"
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
    files: dict[str, str | bytes] = {"index.py": code, "wrapper": wrapper}
    (posted,) = machine.run(runtime, files, "index.handler", {}, variables=variables).posted
    assert posted.document().endswith("/var/runtime/bootstrap.py")
    missing = machine.run(runtime, {"index.py": ECHO}, "index.handler", {}, variables=variables)
    assert (missing.exit_code, missing.output) == (127, "/var/task/wrapper: does not exist\n")


def test_the_clients_json_has_its_compiled_part(every: tuple[str, Machine]) -> None:
    runtime, machine = every
    code = "import simplejson\n\n\ndef handler(event, context):\n    return bool(simplejson.encoder.c_make_encoder)\n"
    (posted,) = machine.run(runtime, {"index.py": code}, "index.handler", {}).posted
    assert posted.document() is True

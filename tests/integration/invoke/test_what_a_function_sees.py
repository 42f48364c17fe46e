"""The user, the files and the variables that a function finds, as on AWS: each by a function that looks for itself."""

import re
from typing import Any

import pytest
from live_functions import PROVIDED, PYTHON, Functions, assert_booted_as_told

NODE = "nodejs20.x"
LOOK = {
    PYTHON: "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
    NODE: "exports.handler = async () => process.env;\n",
    PROVIDED: """#!/usr/bin/env python3
import json, os, urllib.request
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as event:
        request_id = event.headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(api + request_id + "/response", json.dumps(dict(os.environ)).encode()).close()
""",
}
OF_MANAGED = {"PWD": "/var/task", "SHLVL": "0"}
OF_RUNTIME = {
    PYTHON: OF_MANAGED | {"AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}", "PYTHONPATH": "/var/runtime"},
    NODE: OF_MANAGED
    | {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{NODE}",
        "NODE_PATH": "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:"
        "/var/task",
    },
    PROVIDED: {"PWD": "/var/task"},
}
VARYING = {
    "AWS_ACCESS_KEY_ID": r"ASIA[A-Z0-9]{16}",
    "AWS_SECRET_ACCESS_KEY": r"[A-Za-z0-9+/]{40}",
    "AWS_SESSION_TOKEN": r"\S{100,}",
    "AWS_ENDPOINT_URL": r"http://[\d.]+:\d+",
    "AWS_LAMBDA_RUNTIME_API": r"[\d.]+:\d+",
    "AWS_LAMBDA_LOG_STREAM_NAME": r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}",
}
TRACE = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01].*"
OF_THE_LOCALE = "LC_CTYPE"
"""Python sets it itself where the machine has no en_US.UTF-8, as AWS's newer runtimes have none."""


@pytest.mark.parametrize("runtime", LOOK)
def test_the_variables_are_those_of_aws_and_no_others(functions: Functions, runtime: str) -> None:
    function = functions.create(
        LOOK[runtime],
        runtime=runtime,
        MemorySize=256,
        Timeout=10,
        Environment={"Variables": {"STAGE": "test", "TZ": "Europe/Paris"}},
    )
    seen: dict[str, str] = function.invoke({}).document
    seen.pop(OF_THE_LOCALE, None)
    trace_id = seen.pop("_X_AMZN_TRACE_ID", None)
    assert (trace_id is None) == (runtime == PROVIDED), "the runtime's client sets it, for each invocation"
    for name, form in (VARYING | ({} if trace_id is None else {"_X_AMZN_TRACE_ID": TRACE})).items():
        value = trace_id if name == "_X_AMZN_TRACE_ID" else seen.pop(name)
        assert re.fullmatch(form, value or ""), name
    assert seen == OF_RUNTIME[runtime] | {
        "STAGE": "test",
        "TZ": "Europe/Paris",
        "_HANDLER": "app.handler",
        "LANG": "en_US.UTF-8",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:"
        "/opt/lib",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
    }


def test_each_invocation_has_a_trace_of_its_own_and_all_of_an_environment_the_same_credentials(
    functions: Functions,
) -> None:
    function = functions.create(LOOK[PYTHON])
    seen = [function.invoke({}).document for _ in range(4)]
    function.update(Description="other environments")
    seen += [function.invoke({}).document for _ in range(4)]
    assert len({one["_X_AMZN_TRACE_ID"] for one in seen}) == 8
    keys = {one["AWS_LAMBDA_LOG_STREAM_NAME"]: one["AWS_ACCESS_KEY_ID"] for one in seen}
    assert 2 <= len(keys) < 8, "a busy machine may have had more than one of each"
    assert len(set(keys.values())) == len(keys)
    assert all(keys[one["AWS_LAMBDA_LOG_STREAM_NAME"]] == one["AWS_ACCESS_KEY_ID"] for one in seen)


WHO = """
import grp, os, pwd, socket

def attempt(do):
    try:
        do()
    except OSError:
        return "refused"
    return "done"

def handler(event, context):
    user = pwd.getpwuid(os.getuid())
    return {
        "user": [user.pw_name, *os.getresuid()],
        "group": [grp.getgrgid(os.getgid()).gr_name, *os.getresgid()],
        "directory": os.getcwd(),
        "root": [attempt(lambda: os.setuid(0)), attempt(lambda: os.seteuid(0)), attempt(lambda: os.setgid(0))],
        "names": [socket.gethostbyname(name) for name in ("localhost", "sandbox.localdomain", "sandbox")],
        "host": socket.gethostname(),
    }
"""


def test_it_runs_as_the_user_of_aws_in_its_code_and_is_root_never(functions: Functions) -> None:
    seen = functions.create(WHO).invoke({}).document
    assert seen["user"] == ["sbx_user1051", 993, 993, 993]
    assert seen["group"][1:] == [990, 990, 990]
    assert seen["directory"] == "/var/task"
    assert seen["root"] == ["refused"] * 3
    assert seen["names"] == ["127.0.0.1"] * 3
    assert re.fullmatch(r"169-254-\d+-\d+", seen["host"])


FILES = """
import os, stat

def state(path):
    try:
        os.close(os.open(path + "/new", os.O_CREAT | os.O_WRONLY))
        os.unlink(path + "/new")
        writable = True
    except OSError:
        writable = False
    return [oct(stat.S_IMODE(os.stat(path).st_mode)), writable]

def writable_places():
    # Of all mounts, and of all directories down to the third level.
    places = {line.split()[1] for line in open("/proc/self/mounts")}
    for place, directories, _ in os.walk("/"):
        places.add(place)
        if place.count("/") > 2 or place == "/proc":
            directories.clear()
    return sorted(place for place in places if state(place)[1])

def handler(event, context):
    return {
        "states": {path: state(path) for path in ("/var/task", "/opt", "/var/runtime", "/var/lang", "/tmp")},
        "writable": writable_places(),
        "devices": sorted(os.listdir("/dev")),
        "absent": [path for path in ("/dev/shm", "/home", "/root", "/mnt", "/run", "/sys", "/boot", "/var/tmp")
                   if not os.path.exists(path)],
        "task": os.listdir("/var/task"),
        "tmp": os.listdir("/tmp"),
    }
"""


def test_the_places_are_those_of_aws_and_only_tmp_can_be_written_to(functions: Functions) -> None:
    seen = functions.create(FILES, Timeout=60, MemorySize=512).invoke({}).document
    assert seen["states"] == {
        "/var/task": ["0o755", False],
        "/opt": ["0o755", False],
        "/var/runtime": ["0o755", False],
        "/var/lang": ["0o755", False],
        "/tmp": ["0o1777", True],
    }
    assert seen["writable"] == ["/tmp"]
    assert set(seen["devices"]) <= {*("fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero")}
    assert "/dev/shm" in seen["absent"]
    assert seen["absent"] == ["/dev/shm", "/home", "/root", "/mnt", "/run", "/sys", "/boot", "/var/tmp"]
    assert (seen["task"], seen["tmp"]) == (["app.py"], [])


SHARED = """
import multiprocessing, os

def name_of(make):
    try:
        make()
    except Exception as error:
        return type(error).__name__
    return "made"

def child(connection):
    connection.send(os.getpid())

def handler(event, context):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=child, args=(theirs,))
    process.start()
    said = ours.recv()
    process.join()
    return [said == process.pid, name_of(multiprocessing.Queue), name_of(lambda: multiprocessing.Pool(1))]
"""


def test_processes_talk_by_pipes_and_have_no_shared_memory(functions: Functions) -> None:
    assert functions.create(SHARED, Timeout=20).invoke({}).document in (
        [True, "FileNotFoundError", "FileNotFoundError"],
        [True, "OSError", "OSError"],
    )


def test_files_named_as_modules_that_the_client_needs_are_in_nobodys_way(functions: Functions) -> None:
    code = "import json, simplejson\ndef handler(event, context): return [json.__file__, simplejson.__file__]\n"
    names = ("json.py", "simplejson.py", "logging.py", "awslambdaric.py")
    function = functions.create({"app.py": code} | dict.fromkeys(names, "raise OSError\n"))
    library, client = function.invoke({}).document
    assert library.endswith(f"/{PYTHON}/json/__init__.py")
    assert client == "/var/runtime/simplejson/__init__.py"


def test_the_clients_context_agrees_with_the_variables(functions: Functions) -> None:
    function = functions.create(
        "import os\n"
        "def handler(event, context):\n"
        "    left = context.get_remaining_time_in_millis()\n"
        "    told = [context.function_name, context.function_version, context.memory_limit_in_mb,\n"
        "            context.log_group_name, context.log_stream_name]\n"
        "    names = ['FUNCTION_NAME', 'FUNCTION_VERSION', 'FUNCTION_MEMORY_SIZE',\n"
        "             'LOG_GROUP_NAME', 'LOG_STREAM_NAME']\n"
        "    return [told == [os.environ['AWS_LAMBDA_' + name] for name in names], context.invoked_function_arn,\n"
        "            context.aws_request_id, left]\n",
        Timeout=7,
    )
    answer = function.invoke({})
    agrees, arn, request_id, left_ms = answer.document
    assert agrees
    assert arn == f"arn:aws:lambda:us-east-1:111122223333:function:{function.name}"
    assert request_id == answer.request_id
    assert 0 < left_ms <= 7000


def test_variables_of_the_machine_do_not_come_through(functions: Functions, data_dir: Any, server: Any) -> None:
    variables = {"MARK_OF_THE_MACHINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    marked = type(server)(data_dir, server.arguments, variables).start()
    try:
        mine = Functions(marked.client("lambda"))
        seen = mine.create(LOOK[PYTHON]).invoke({}).document
        assert not {"MARK_OF_THE_MACHINE", "PYTHONDONTWRITEBYTECODE", "HOME", "USER"} & seen.keys()
        assert_booted_as_told(marked, server)
        mine.delete_all()
    finally:
        assert marked.stop() == 0

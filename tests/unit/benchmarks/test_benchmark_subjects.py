import os
import subprocess
import sys
from pathlib import Path

from benchmarks import load, processes, subjects
from benchmarks.parts import cold

from lambent.wire.http import HttpRequest
from lambent.wire.parse import parse
from lambent.wire.routes import Router


def request_in(data: bytes) -> HttpRequest:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    return HttpRequest(method, path, query, {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body)


def test_the_prepared_request_is_an_invoke_of_the_function():
    request = request_in(subjects.invoke_request("echo"))
    routed = Router(["lambda", "sts"]).route(request)
    assert routed.operation.name == "Invoke"
    assert parse(routed, request) == {"FunctionName": "echo", "Payload": subjects.PAYLOAD}
    assert len(request.body) == int(request.headers["content-length"])


def test_a_prepared_request_that_reads_is_of_the_path_and_query_that_it_is_given():
    request = request_in(subjects.get_request("/2015-03-31/functions/?MaxItems=50&FunctionVersion=ALL"))
    routed = Router(["lambda", "sts"]).route(request)
    assert routed.operation.name == "ListFunctions"
    assert parse(routed, request) == {"MaxItems": 50, "FunctionVersion": "ALL"}
    assert "content-length" not in request.headers


def test_the_payload_is_a_kilobyte():
    assert len(subjects.PAYLOAD) == 1024


def test_the_reference_serves_the_same_handler():
    with subjects.uvicorn() as address:
        result = load.run(address, subjects.plain_request(), callers=1, calls=3, warm_up=0)
    assert result.p50_us > 0


def test_a_plain_process_gives_its_first_answer(tmp_path):
    """With a client of three lines in the official one's place."""
    (tmp_path / "awslambdaric.py").write_text(
        "import http.client, os\n"
        "api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "api.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "event = api.getresponse()\n"
        "api.request('POST', '/response', event.read())\n"
        "api.getresponse()\n"
    )
    assert cold.plain_first_answer(Path(os.path.realpath(sys.executable)), tmp_path) == subjects.PAYLOAD


def test_what_a_process_costs_is_read_from_the_kernel():
    script = "import sys; sum(range(10**7)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in processes.descendants(os.getpid())
        assert processes.cpu_s([child.pid]) > 0
        assert 1 < processes.proportional_mb(child.pid) <= processes.resident_mb(child.pid) < 1000
        child.communicate()
    assert processes.cpu_s([child.pid]) == 0

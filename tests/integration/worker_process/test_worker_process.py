"""The worker in a process of its own, over its Unix socket: nothing else joins it to the server."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from live_functions import Functions, assert_nothing_left, descendants, eventually, leftovers, living, package
from live_worker import Worker

FUNCTION = """
import json, os, time, boto3

def handler(event, context):
    print("its own line")
    if event.get("crash"):
        os._exit(1)
    if event.get("call"):
        told = boto3.client("lambda").invoke(FunctionName=event["call"], Payload=json.dumps(event["with"]).encode())
        return {"told": json.load(told["Payload"]), "arn": boto3.client("sts").get_caller_identity()["Arn"]}
    time.sleep(event.get("sleep", 0))
    return event
"""


@dataclass(frozen=True)
class Pair:
    server: Any
    worker: Worker
    functions: Functions


@pytest.fixture
def pair(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Pair]:
    worker = Worker(data_dir).start()
    server = type(request.getfixturevalue("server"))(
        data_dir, ("--worker-socket", str(worker.socket), "--snap-start-on-older-runtimes")
    ).start()
    yield Pair(server, worker, Functions(server.client("lambda")))
    assert server.stop() == 0
    assert worker.end(signal.SIGTERM) == 0
    assert_nothing_left(data_dir)


def test_functions_run_log_fail_and_call_lambent_from_a_worker_of_its_own(pair: Pair) -> None:
    function = pair.functions.create(FUNCTION, Timeout=30)
    answer = function.invoke({"a": 1})
    assert answer.document == {"a": 1}
    assert answer.lines[:2] == [f"START RequestId: {answer.request_id} Version: $LATEST", "its own line"]
    assert answer.report.startswith(f"REPORT RequestId: {answer.request_id}\t")
    assert function.invoke({"crash": 1}).document["errorType"] == "Runtime.ExitError"
    echo = pair.functions.create(FUNCTION)
    big = {"text": "x" * 3_000_000}
    called = function.invoke({"call": echo.name, "with": big})
    assert called.error is None, (called.body, called.tail)
    told = called.document
    assert told["told"] == big
    assert told["arn"].endswith(f":assumed-role/function/{function.name}")
    # They are the worker's processes, not the server's.
    assert leftovers(pair.server.data_dir)
    assert len(descendants(pair.server.process.pid)) == 1


def test_a_worker_of_its_own_lays_the_layers_of_a_function_over_each_other(pair: Pair) -> None:
    publish = pair.functions.client.publish_layer_version
    layers = [
        publish(LayerName=name, Content={"ZipFile": package({"both": name, name: name})})["LayerVersionArn"]
        for name in ("first", "second")
    ]
    reads = "import os\ndef handler(event, context): return {n: open('/opt/' + n).read() for n in os.listdir('/opt')}\n"
    function = pair.functions.create(reads, Layers=layers)
    assert function.invoke({}).document == {"first": "first", "second": "second", "both": "second"}


def test_what_a_killed_worker_was_doing_is_answered_and_its_environments_are_gone(pair: Pair) -> None:
    function = pair.functions.create(FUNCTION, Timeout=60)
    function.invoke({})
    everything = descendants(pair.worker.process.pid)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(function.invoke, {"sleep": 50})
        eventually(lambda: began(pair.server.data_dir) == 2)
        pair.worker.end(signal.SIGKILL)
        with pytest.raises(botocore.exceptions.ClientError) as lost:
            waiting.result(timeout=20)
    assert lost.value.response["Error"]["Code"] == "ServiceException"
    assert lost.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    with pytest.raises(botocore.exceptions.ClientError) as none:
        function.invoke({})
    assert none.value.response["Error"]["Code"] == "ServiceException"
    pair.worker.start()
    assert eventually(lambda: answer_or_none(function)) == {"a": 1}
    assert living(everything) == {}


def test_provisioned_environments_are_lost_with_a_worker_and_initialised_in_the_next(pair: Pair) -> None:
    function = pair.functions.create(FUNCTION)
    client = pair.functions.client
    client.publish_version(FunctionName=function.name)
    which = {"FunctionName": function.name, "Qualifier": "1"}

    def progress() -> tuple[str, int, int]:
        found = client.get_provisioned_concurrency_config(**which)
        counts = [found[f"{what}ProvisionedConcurrentExecutions"] for what in ("Allocated", "Available")]
        return found["Status"], counts[0], counts[1]

    client.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=2, **which)
    eventually(lambda: progress() == ("READY", 2, 2))
    pair.worker.end(signal.SIGKILL)
    eventually(lambda: progress()[2] == 0)
    pair.worker.start()
    eventually(lambda: progress() == ("READY", 2, 2))


def test_a_server_that_is_killed_takes_its_environments_along_and_the_worker_serves_the_next(pair: Pair) -> None:
    function = pair.functions.create(FUNCTION)
    function.invoke({})
    assert leftovers(pair.server.data_dir)
    pair.server.kill()
    assert_nothing_left(pair.server.data_dir)
    pair.server.start()
    assert function.invoke({"a": 2}, client=pair.server.client("lambda")).document == {"a": 2}


def began(data_dir: Path) -> int:
    return sum(file.read_text().count('"entry":"began"') for file in (data_dir / "ledger").glob("*"))


def answer_or_none(function: Any) -> Any:
    """None as long as the server has not found its worker again."""
    try:
        return function.invoke({"a": 1}).document
    except botocore.exceptions.ClientError:
        return None


SNAPPED = """
import os, uuid
MADE = uuid.uuid4().hex
def handler(event, context):
    return {"made": MADE, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"""


def test_a_template_is_lost_with_a_worker_and_made_again_in_the_next(pair: Pair) -> None:
    function = pair.functions.create(SNAPPED, SnapStart={"ApplyOn": "PublishedVersions"})
    client = pair.functions.client
    client.publish_version(FunctionName=function.name)
    client.get_waiter("published_version_active").wait(
        FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200}
    )
    before = function.invoke({}, Qualifier="1").document
    assert before["type"] == "snap-start"
    pair.worker.end(signal.SIGKILL)
    pair.worker.start()

    def served() -> Any:
        try:
            return function.invoke({}, Qualifier="1").document
        except client.exceptions.ServiceException:
            return None  # the link is not there again

    after = eventually(served)
    assert after["type"] == "snap-start"
    assert after["made"] != before["made"]
    pair.functions.delete_all()

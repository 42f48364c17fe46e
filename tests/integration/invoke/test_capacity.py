"""What becomes of invocations when the machine has no memory for more environments, or a function no concurrency."""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from live_functions import Answer, Function, Functions, eventually

from lambent.observe.ledger import Began, entries

WAITS = """
import os, time
ENVIRONMENT = os.urandom(8).hex()
def handler(event, context):
    began = time.time()
    time.sleep(event)
    return {"environment": ENVIRONMENT, "began": began, "ended": time.time()}
"""
NO_ROOM = ("ConcurrentInvocationLimitExceeded", "1")
PLACES = 16
WAIT_S = 3
SMALL = (
    "--memory-mib", "1280", "--memory-reserve-mib", "256", "--memory-overcommit", "2",
    "--wait-for-memory-s", str(WAIT_S), "--waiting-for-memory", "64",
)  # fmt: skip
"""So much that sixteen environments of 128 MB have a place."""
HALF = {"MemorySize": PLACES * 128 // 2, "Timeout": 30}


@pytest.fixture(scope="module")
def small(new_server: Any) -> Iterator[Any]:
    with new_server(*SMALL) as running:
        yield running


@pytest.fixture
def functions(small: Any) -> Iterator[Functions]:
    made = Functions(small.client("lambda"))
    yield made
    made.delete_all()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


def call(function: Function, seconds: float, **parameters: Any) -> Answer:
    return function.invoke(seconds, LogType="None", **parameters)


def refusal(function: Function, seconds: float, **parameters: Any) -> Any:
    """Reason and Retry-After of an invocation that is refused; None if it is not."""
    try:
        call(function, seconds, **parameters)
    except function.client.exceptions.TooManyRequestsException as error:
        return error.response["Reason"], error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]
    return None


def most_at_once(answers: list[Any]) -> int:
    edges = sorted([(answer["began"], 1) for answer in answers] + [(answer["ended"], -1) for answer in answers])
    at_once = [0]
    for _, change in edges:
        at_once.append(at_once[-1] + change)
    return max(at_once)


def attempts(server: Any) -> Counter[str]:
    """How many events the functions had so far, with those that have only begun."""
    return Counter(entry.function for entry in entries(server.data_dir / "ledger") if isinstance(entry, Began))


def test_sixty_four_functions_all_make_progress_in_the_memory_of_sixteen_environments(
    new_server: Any, callers: ThreadPoolExecutor
) -> None:
    answers: list[Any] = []
    with new_server(*SMALL, "--wait-for-memory-s", "60") as patient:  # however slow the machine is
        functions = Functions(patient.client("lambda"))
        many = [functions.create(WAITS, Timeout=30) for _ in range(4 * PLACES)]
        for _ in range(2):
            answers += callers.map(lambda function: call(function, 0.01).document, many)
        for function in many:
            function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=b"0.01")
        eventually(lambda: set(attempts(patient).values()) == {3})
    assert len({answer["environment"] for answer in answers}) > len(many), "each had to give way to others"
    assert most_at_once(answers) <= PLACES


def test_a_function_that_is_called_without_end_gives_way_to_another(
    functions: Functions, callers: ThreadPoolExecutor, small: Any
) -> None:
    greedy, other = functions.create(WAITS, Timeout=30), functions.create(WAITS, Timeout=30)
    is_over = False

    def go_on(_: int) -> None:
        while not is_over:
            call(greedy, 0.3)

    calling = [callers.submit(go_on, number) for number in range(2 * PLACES)]
    eventually(lambda: greedy.name in attempts(small))
    try:
        assert refusal(other, 0) is None
    finally:
        is_over = True
    for one in calling:
        one.result()


def test_a_call_has_the_memory_of_an_environment_that_is_done_and_is_refused_when_it_waits_for_too_long(
    functions: Functions, callers: ThreadPoolExecutor, small: Any
) -> None:
    short, long, late, later = (functions.create(WAITS, **HALF) for _ in range(4))
    first = callers.submit(call, long, 2.5 * WAIT_S), callers.submit(call, short, 1)
    eventually(lambda: {short.name, long.name} <= attempts(small).keys())
    waits = callers.submit(call, late, 2 * WAIT_S)
    eventually(lambda: late.name in attempts(small))
    # Now both are at work for longer than anybody waits.
    assert refusal(later, 0) == NO_ROOM
    assert not first[0].done()
    assert later.name not in attempts(small)
    assert first[1].result().document["ended"] <= waits.result().document["began"]
    assert first[0].result().error is None


def test_an_idle_environment_of_another_function_gives_way_and_a_provisioned_one_does_not(functions: Functions) -> None:
    client = functions.client
    provisioned, idle, other = (functions.create(WAITS, **HALF) for _ in range(3))
    version = client.publish_version(FunctionName=provisioned.name)["Version"]
    client.put_provisioned_concurrency_config(
        FunctionName=provisioned.name, Qualifier=version, ProvisionedConcurrentExecutions=1
    )
    eventually(
        lambda: (
            client.get_provisioned_concurrency_config(FunctionName=provisioned.name, Qualifier=version)["Status"]
            == "READY"
        )
    )
    initialised = call(provisioned, 0, Qualifier=version).document["environment"]
    seen = [call(idle, 0).document["environment"] for _ in range(2)]
    assert len(set(seen)) == 1
    for _ in range(2):
        seen += [call(other, 0).document["environment"], call(idle, 0).document["environment"]]
    assert len(set(seen)) == 5, "each is gone when the other is called"
    assert call(provisioned, 0, Qualifier=version).document["environment"] == initialised


def test_what_can_never_have_a_place_is_refused_at_once_or_failed(functions: Functions) -> None:
    large = functions.create(WAITS, MemorySize=PLACES * 128 + 1)
    assert refusal(large, 0) == NO_ROOM
    version = large.client.publish_version(FunctionName=large.name)["Version"]
    named = {"FunctionName": large.name, "Qualifier": version}
    large.client.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    found = eventually(
        lambda: (told := large.client.get_provisioned_concurrency_config(**named))["Status"] == "FAILED" and told
    )
    assert "memory" in found["StatusReason"]


def test_two_hundred_callers_of_a_reservation_of_five_never_have_a_sixth_at_once(functions: Functions) -> None:
    function = functions.create(WAITS, Timeout=30)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=5)
    answers: list[Any] = []

    def one(_: int) -> Any:
        try:
            answers.append(call(function, 5).document)
        except function.client.exceptions.TooManyRequestsException as error:
            return error.response["Reason"], error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]
        return None

    with ThreadPoolExecutor(200) as threads:
        refusals = list(threads.map(one, range(200)))
    assert most_at_once(answers) == len(answers) == 5
    assert refusals.count(("ReservedFunctionConcurrentInvocationLimitExceeded", "1")) == 195


def test_what_clients_make_the_server_hold_has_half_of_the_reserve(small: Any) -> None:
    """Two uploads that do not end: each could be a deployment package."""
    address = urlsplit(small.url)
    host = (address.hostname, address.port)
    upload = b"POST / HTTP/1.1\r\nHost: lambent\r\nContent-Length: 70000000\r\n\r\n" + bytes(69_000_000)
    with socket.create_connection(host, timeout=30) as first, socket.create_connection(host, timeout=30) as second:
        first.sendall(upload)
        answer = b""
        with contextlib.suppress(ConnectionError):  # it is not read to its end
            second.sendall(upload)
            answer = second.recv(100)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503")
        assert small.client("lambda").list_functions()["ResponseMetadata"]["HTTPStatusCode"] == 200

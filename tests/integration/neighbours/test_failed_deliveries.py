"""Deliveries to what does not answer as it should, over real sockets: what may pass, and whom it holds up."""

import asyncio
import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from aws_services import free_port
from msgspec.structs import replace
from outcomes import ACCOUNT, FAILED, PAYLOAD, SECRET, attempt, deliveries_to, nobody, outcome, run

from lambent.core.function import FunctionName
from lambent.endpoint import Endpoint
from lambent.neighbours.deliveries import REQUESTS_AT_A_TIME, Deliveries
from lambent.server import operator_log
from lambent.testing.clock import ManualClock

QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:results"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:results"
BUS = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/results"
BUCKET = "arn:aws:s3:::results"
OF_ANOTHER = replace(FAILED, function=FunctionName("444455556666", "us-east-1", "orders"))
TAKEN = '{"MessageId": "1"}'
PAGE = "<html><p>Welcome!</html>"


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers as the first folder of the path has it in `answers`, or as a queue. In `held` it waits before that."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, tuple[int, str]]] = {}
    release: ClassVar[threading.Event]
    arrived: ClassVar[threading.Semaphore]
    requests: ClassVar[list[str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        folder = self.path.split("/")[1]
        self.requests.append(folder)
        if folder == "held":
            self.arrived.release()
            self.release.wait()
        status, text = self.answers.get(folder, (200, TAKEN))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_POST  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[str]:
    Odd.release, Odd.arrived, Odd.requests = threading.Event(), threading.Semaphore(0), []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        Odd.release.set()
        server.shutdown()
        thread.join()


def json_error(code: str) -> str:
    return json.dumps({"__type": code, "message": "no"})


def refused_entry(code: str) -> str:
    return json.dumps({"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "no"}]})


@pytest.mark.parametrize(
    ("target", "status", "text", "is_transient"),
    [
        (QUEUE, 500, json_error("InternalFailure"), True),
        (QUEUE, 503, PAGE, True),
        (QUEUE, 400, json_error("com.amazonaws.sqs#RequestThrottled"), True),
        (QUEUE, 400, json_error("KMS.ThrottlingException"), True),
        (QUEUE, 403, json_error("AccessDeniedException"), False),
        (QUEUE, 400, json_error("com.amazonaws.sqs#InvalidMessageContents"), False),
        (QUEUE, 200, PAGE, True),
        (TOPIC, 200, PAGE, True),
        (BUS, 200, PAGE, True),
        (BUS, 200, refused_entry("ThrottlingException"), True),
        (BUS, 200, refused_entry("InternalException"), True),
        (BUS, 200, refused_entry("MalformedDetail"), False),
        (BUCKET, 200, PAGE, True),
        (BUCKET, 503, "<Error><Code>SlowDown</Code></Error>", True),
        (BUCKET, 400, "<Error><Code>RequestTimeout</Code></Error>", True),
        (BUCKET, 403, "<Error><Code>AccessDenied</Code></Error>", False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(
    odd: str, target: str, status: int, text: str, is_transient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Odd.answers, "odd", (status, text))
    failure = attempt(deliveries_to(f"{odd}/odd"), target)
    assert failure is not None
    assert failure.is_transient is is_transient
    assert len(Odd.requests) == 1


def test_a_port_where_nobody_listens_may_be_listened_at_later() -> None:
    failure = attempt(deliveries_to(f"http://127.0.0.1:{free_port()}"), QUEUE)
    assert failure is not None
    assert failure.is_transient


@pytest.mark.parametrize(
    ("target", "dead_letter"),
    [
        ("results", False),
        ("arn:aws:dynamodb:us-east-1:111122223333:table/results", False),
        ("arn:aws:lambda:us-east-1:111122223333:function:after", True),
        (BUS, True),
        (BUCKET, True),
    ],
)
def test_what_can_not_be_sent_to_is_told_at_once(odd: str, target: str, dead_letter: bool) -> None:
    failure = attempt(deliveries_to(odd), target, dead_letter=dead_letter)
    assert failure is not None
    assert not failure.is_transient
    assert Odd.requests == []


MORE = 3 * REQUESTS_AT_A_TIME


def test_an_endpoint_that_does_not_answer_holds_up_no_other_and_has_a_bound(odd: str) -> None:
    places = {ACCOUNT: Endpoint(f"{odd}/well"), OF_ANOTHER.function.account: Endpoint(f"{odd}/held")}
    deliveries = Deliveries(lambda service, account: places[account], nobody, ManualClock())

    async def work() -> None:
        held = [asyncio.create_task(outcome(deliveries.deliver(QUEUE, OF_ANOTHER))) for _ in range(MORE)]
        for _ in range(REQUESTS_AT_A_TIME):
            await asyncio.to_thread(Odd.arrived.acquire)
        assert await outcome(deliveries.deliver(QUEUE, FAILED)) is None
        assert Odd.requests.count("held") == REQUESTS_AT_A_TIME
        Odd.release.set()
        assert await asyncio.gather(*held) == [None] * MORE

    run(deliveries, work)


def test_deliveries_wait_for_each_other_where_they_go_to_one_endpoint(odd: str) -> None:
    one, other = Endpoint(f"{odd}/one"), Endpoint(f"{odd}/other")
    endpoints = {("sqs", "1"): one, ("sqs", "2"): one, ("sqs", "3"): other, ("sns", "1"): one}
    deliveries = Deliveries(lambda service, account: endpoints.get((service, account)), nobody, ManualClock())
    first = deliveries.place("sqs", "1")
    assert first.at_a_time == REQUESTS_AT_A_TIME
    assert deliveries.place("sqs", "2") == first
    others = [deliveries.place(*where) for where in (("sqs", "3"), ("sns", "1"), ("lambda", "1"), ("", "1"))]
    assert len({place.name for place in (first, *others)}) == 5


def test_what_waits_when_deliveries_are_closed_may_be_done_later(odd: str) -> None:
    deliveries = deliveries_to(f"{odd}/held")

    async def work() -> None:
        waiting = [asyncio.create_task(outcome(deliveries.deliver(QUEUE, FAILED))) for _ in range(MORE)]
        for _ in range(REQUESTS_AT_A_TIME):
            await asyncio.to_thread(Odd.arrived.acquire)
        deliveries.close()
        stopped = await waiting[-1]
        assert stopped is not None
        assert stopped.is_transient
        Odd.release.set()
        await asyncio.gather(*waiting)

    run(deliveries, work)
    assert len(Odd.requests) == REQUESTS_AT_A_TIME


def test_what_is_not_done_by_the_deadline_may_be_done_later_and_the_wait_for_it_is_no_attempt(odd: str) -> None:
    deliveries = deliveries_to(f"{odd}/held", deadline_s=3)

    async def work() -> None:
        failures = await asyncio.gather(
            *(outcome(deliveries.deliver(QUEUE, FAILED)) for _ in range(REQUESTS_AT_A_TIME))
        )
        assert all(failure is not None and failure.is_transient for failure in failures)
        # The threads are not free yet: two more wait, and one of them is not waited for.
        waits, given_up = [asyncio.create_task(outcome(deliveries.deliver(QUEUE, FAILED))) for _ in range(2)]
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait((given_up,))
        assert not waits.done()
        Odd.release.set()
        assert await waits is None
        assert await outcome(deliveries.deliver(QUEUE, FAILED)) is None

    run(deliveries, work)
    assert len(Odd.requests) == REQUESTS_AT_A_TIME + 2


def test_a_service_that_is_nowhere_is_told_to_the_operator_once_a_minute_for_each_target(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    deliveries = deliveries_to(None, clock=clock)
    for target in (QUEUE, QUEUE, TOPIC):
        failure = attempt(deliveries, target)
        assert failure is not None
        assert not failure.is_transient
    assert [(told.target, told.setting, told.account) for told in caplog.records] == [
        (QUEUE, "sqs_endpoint", ACCOUNT),
        (TOPIC, "sns_endpoint", ACCOUNT),
    ]
    clock.advance_ms(60_000)
    attempt(deliveries, QUEUE)
    assert len(caplog.records) == 3


@pytest.fixture
def operators_log(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """The operator's log on standard error, from its lowest level up."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    operator_log.configure("debug")
    yield capsys
    root.handlers[:] = before
    root.setLevel(level)


def test_neither_a_secret_nor_what_is_sent_gets_into_the_log_or_a_failure(
    odd: str, operators_log: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_back = json.dumps({"__type": "Invalid", "message": f"{SECRET} no stock"})
    monkeypatch.setitem(Odd.answers, "echo", (400, told_back))
    logging.getLogger("lambent").debug("it is debugged")
    places = (f"{odd}/echo", f"{odd}/well", f"http://127.0.0.1:{free_port()}", "http://my_queues", None)
    failures = [attempt(deliveries_to(url), QUEUE, dead_letter=True) for url in places]
    assert [failure is None for failure in failures] == [False, True, False, False, False]
    told = operators_log.readouterr().err + "".join(map(repr, failures))
    assert "it is debugged" in told
    for word in (SECRET, "AKIAEXAMPLE", "żółw", json.dumps(PAYLOAD), "no stock"):
        assert word not in told

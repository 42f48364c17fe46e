"""An event that was answered with 202 is run, whatever is killed in between."""

import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from live_functions import Functions
from live_worker import Worker

from lambent.testing.event_senders import RECORDING, Senders, await_recorded

EVENTS = 400
CLIENTS = 8
KILLS = 2


OPTIONS = ("--sandbox", "process", "--preboot-memory-mib", "0")
Kill = Callable[[], object]


@pytest.fixture
def second(server: Any, data_dir: Path) -> Iterator[tuple[Any, Kill]]:
    """A server, and what kills it and starts it again."""
    made = type(server)(data_dir, OPTIONS).start()

    def kill() -> None:
        made.kill()
        made.start()

    yield made, kill
    made.stop()


@pytest.fixture
def with_worker(server: Any, data_dir: Path) -> Iterator[tuple[Any, Kill]]:
    """A server, and what kills its worker, which is in a process of its own, and starts that again."""
    worker = Worker(data_dir, OPTIONS).start()
    made = type(server)(data_dir, (*OPTIONS, "--worker-socket", str(worker.socket))).start()

    def kill() -> None:
        worker.end(signal.SIGKILL)
        worker.start()

    yield made, kill
    made.stop()
    worker.end(signal.SIGTERM)


@pytest.mark.parametrize("struck", ["second", "with_worker"], ids=["the server", "its worker"])
def test_every_accepted_event_is_run_though_one_of_its_processes_is_killed_twice(
    request: pytest.FixtureRequest, struck: str, data_dir: Path, record_property: Any
) -> None:
    second, kill = request.getfixturevalue(struck)
    record = data_dir.with_name("record")
    function = Functions(second.client("lambda")).create(RECORDING)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=4)

    def address() -> tuple[str, int]:
        url = urlsplit(second.url)
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    body = json.dumps({"record": str(record)}).encode()
    senders = Senders(address, "111122223333", function.name, body, count=EVENTS, clients=CLIENTS)
    senders.start()
    draw = random.Random()
    for number in range(KILLS):
        senders.wait_for((number + 1) * EVENTS // (KILLS + 1) - draw.randrange(EVENTS // 10))
        kill()
    senders.join()
    ran = await_recorded(record, senders.accepted, within_s=60)
    lost = set(senders.accepted) - ran.keys()
    assert not lost
    assert not senders.refused
    duplicates = ran.total() - len(ran)
    record_property("duplicates", duplicates)
    print(f"{duplicates} of {len(ran)} events ran more than once")

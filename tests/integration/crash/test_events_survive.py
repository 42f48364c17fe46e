"""An event that was answered with 202 is run, whatever is killed in between."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from live_functions import Functions

from lambent.testing.event_senders import RECORDING, Senders, await_recorded

EVENTS = 400
CLIENTS = 8
KILLS = 2


@pytest.fixture
def second(server: Any, data_dir: Path) -> Iterator[Any]:
    made = type(server)(data_dir, ("--sandbox", "process", "--preboot-memory-mib", "0")).start()
    yield made
    made.stop()


def test_every_accepted_event_is_run_though_the_server_is_killed_twice(
    second: Any, data_dir: Path, record_property: Any
) -> None:
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
        second.kill()
        second.start()
    senders.join()
    ran = await_recorded(record, senders.accepted, within_s=60)
    lost = set(senders.accepted) - ran.keys()
    assert not lost
    assert not senders.refused
    duplicates = ran.total() - len(ran)
    record_property("duplicates", duplicates)
    print(f"{duplicates} of {len(ran)} events ran more than once")

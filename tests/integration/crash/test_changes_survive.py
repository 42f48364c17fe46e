"""A server that is killed again and again in a stream of changes: what it answered stays, nothing stays in between."""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from changing_account import Stream
from live_functions import Function, assert_nothing_left

CHANGES = 1000
KILLS = 6
STREAMS = 4
SEED = 4711
"""Of each stream's changes and of the moments of the kills; what is under way at one is the machine's chance."""
INVOKED = 12


class Acknowledged:
    """How many changes were answered, by all streams."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def one_more(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def reach(self, count: int, streams: dict[Future[None], Stream]) -> None:
        """Wait until so many were. A stream does not end before the server does."""
        with self._changed:
            while self._count < count:
                answered = self._changed.wait(60)
                ended = [(stream.doing, run.exception()) for run, stream in streams.items() if run.done()]
                assert ended == []
                assert answered, f"no answer for 60 s, after {self._count}: {[one.doing for one in streams.values()]}"


def archives(data_dir: Path) -> set[str]:
    """The digests of the packages that the server keeps."""
    return {path.parent.name for path in (data_dir / "packages").glob("*/package.zip")}


@pytest.mark.slow
def test_kill_9_in_a_thousand_changes_loses_none_and_leaves_nothing_in_between(server: Any, data_dir: Path) -> None:
    chance = random.Random(SEED)
    acknowledged = Acknowledged()
    streams = [
        Stream(f"s{number}", random.Random(f"{SEED} {number}"), acknowledged.one_more) for number in range(STREAMS)
    ]
    moments = sorted(chance.sample(range(CHANGES // 20, CHANGES), KILLS - 1))
    killed_within = 0
    lambent = type(server)(data_dir).start()
    try:
        for moment in [*moments, CHANGES]:
            with ThreadPoolExecutor(STREAMS) as threads:
                running = {threads.submit(stream.go_on, lambent.client("lambda")): stream for stream in streams}
                try:
                    acknowledged.reach(moment, running)
                    time.sleep(chance.uniform(0, 0.02))  # somewhere within the changes that follow
                finally:
                    lambent.kill()
            for run in running:
                assert isinstance(run.exception(), botocore.exceptions.BotoCoreError), run.exception()
            killed_within += sum(stream.under_way is not None for stream in streams)
            lambent.start()
            client = lambent.client("lambda")
            for stream in streams:
                stream.judge(client)
            assert list((data_dir / "packages" / "incoming").iterdir()) == []
        assert killed_within, "the kills met changes that were under way"
        for stream in streams:
            for name in chance.sample(sorted(stream.model["functions"]), INVOKED // STREAMS):
                word = stream.words[stream.model["functions"][name]["code"]]
                assert Function(name, client).invoke().document == word
        assert lambent.stop() == 0
        # What an update that was torn had served until it was finished is not served any more.
        lambent.start()
        assert archives(data_dir) == set().union(*(stream.packages() for stream in streams))
        assert lambent.stop() == 0
    finally:
        lambent.kill()
    assert_nothing_left(data_dir)

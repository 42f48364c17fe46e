"""That no accepted event is lost, whatever is killed: the server, or a worker in a process of its own.

Events are sent all the time by callers that try again; five times, at random, one of the two is killed (SIGKILL) and
started again. Each event that was answered with 202 must have run, which the function itself writes down.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from benchmarks import subjects
from benchmarks.table import Row
from lambent.testing.event_senders import RECORDING, Senders, await_recorded

EVENTS = 20_000
CLIENTS = 16
KILLS = 5
RUN_WITHIN_S = 600
ACCOUNT = "000000000000"


class Process:
    """A part of Lambent that is killed and started again. `said` is the last word of the line that it is ready with."""

    def __init__(self, *arguments: str) -> None:
        self._command = (sys.executable, "-m", "lambent", *arguments)
        self.said = ""

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise subjects.NotReady(f"{' '.join(self._command)} did not become ready")
        self.said = line.split(" on ")[1].split()[0]

    def end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def address(self) -> tuple[str, int]:
        url = urlsplit(self.said)
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port


@contextmanager
def started(process: Process) -> Iterator[Process]:
    process.start()
    try:
        yield process
    finally:
        process.end(signal.SIGTERM)


def run(share: float) -> list[Row]:
    events = max(CLIENTS * KILLS * 4, round(EVENTS * share))
    return [*_rows(events, "server"), *_rows(events, "worker")]


def _rows(events: int, killed: str) -> list[Row]:
    accepted, lost, duplicates, took_s = _kill(events, killed)
    what = f"of {accepted:,} events, the {killed} killed {KILLS} times"
    return [
        Row(f"events: lost {what}", "", measured=lost, promised_at_most=0, anywhere=True),
        Row(f"events: run more than once {what}", "", measured=duplicates),
        Row(f"events: until the last was run, {killed} killed", "s", measured=took_s),
    ]


def _kill(events: int, killed: str) -> tuple[int, int, int, float]:
    """Events accepted, those of them lost, attempts beyond the first, and how long it took."""
    with subjects.data_directory() as directory, ExitStack() as stack:
        data, record, socket = directory / "data", directory / "record", directory / "worker.sock"
        sandbox = ("--sandbox=process", f"--data-dir={data}")
        ours = ("serve", "--port=0", "--log-level=error", *sandbox)
        if killed == "worker":
            worker = stack.enter_context(started(Process("worker", f"--socket={socket}", *sandbox)))
            server = stack.enter_context(started(Process(*ours, f"--worker-socket={socket}")))
        else:
            server = worker = stack.enter_context(started(Process(*ours)))
        _create(server)
        began = time.monotonic()
        body = json.dumps({"record": str(record)}).encode()
        senders = Senders(server.address, ACCOUNT, "recording", body, count=events, clients=CLIENTS)
        senders.start()
        for at in sorted(random.sample(range(events // 20, events - events // 20), KILLS)):
            senders.wait_for(at)
            worker.end(signal.SIGKILL)
            worker.start()
        senders.join()
        ran = await_recorded(record, senders.accepted, RUN_WITHIN_S)
        took_s = time.monotonic() - began
        lost = set(senders.accepted) - ran.keys()
        return len(senders.accepted), len(lost), ran.total() - len(ran), took_s


def _create(server: Process) -> None:
    client = subjects.Server(0, server.address(), 0).client()
    subjects.create(client, "recording", subjects.zipped({"recording.py": RECORDING}), module="recording")

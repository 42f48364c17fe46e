"""A dispatcher without a worker: a test plays that, and sees what the dispatcher sends."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from lambent.core.admission import Limits
from lambent.core.function import Configuration, FunctionName, FunctionVersion, Logging, Package, Status
from lambent.core.network import Networks
from lambent.core.placement import Policy
from lambent.core.provisioned_concurrency import Progress
from lambent.invoke.configuration import Serving
from lambent.invoke.dispatcher import Dispatcher
from lambent.observe.ledger import Ledger
from lambent.testing.clock import ManualClock
from lambent.testing.simulation.timeline import Timeline
from lambent.worker.messages import (
    PROVISIONED,
    Available,
    Command,
    Credentials,
    Initialised,
    Start,
)

VERSION = FunctionVersion(
    function=FunctionName("111122223333", "us-east-1", "f"),
    version="1",
    configuration=Configuration("role", "python3.13", "app.handler", logging=Logging("/aws/lambda/f")),
    package=Package("0" * 64, 1),
    architectures=("x86_64",),
    revision_id="r",
    config_revision="c",
    last_modified_ms=0,
    state=Status("Active"),
    last_update=None,
)
SERVING = Serving(VERSION, "pool", "arn")


class NoLogs:
    def append(self, *_):
        pass


class Sessions:
    def issue(self, *_):
        return Credentials("id", "secret", "token")

    def revoke(self, access_key_id):
        pass


class Bench:
    """A dispatcher and what it has sent to its worker."""

    def __init__(self, ledger: Ledger, timeline: Timeline | None = None, scale_out_per_10_s: int = 1000) -> None:
        numbers = itertools.count(1)
        self.dispatcher = Dispatcher(
            clock=timeline or ManualClock(),
            timers=timeline or asyncio.get_running_loop(),
            ledger=ledger,
            logs=NoLogs(),
            credentials=Sessions(),
            networks=Networks(),
            new_id=lambda: f"e{next(numbers)}",
            limits=Limits(concurrency=10, scale_out_per_10_s=scale_out_per_10_s),
            policy=Policy(),
            idle_timeout_s=1,
            maximal_life_s=3600,
        )
        self.sent: list[Command] = []
        self.dispatcher.send = self.sent.append

    def started(self) -> list[str]:
        """The environments that were started since the last look, all of them ahead."""
        starts = [command for command in self.sent if isinstance(command, Start)]
        assert all(start.spec.initialization_type == PROVISIONED for start in starts)
        self.sent.clear()
        return [start.environment_id for start in starts]

    def initialised(self, *environments: str) -> None:
        for environment in environments:
            self.dispatcher.on_event(Initialised(environment))
            self.dispatcher.on_event(Available(environment))

    def progress(self) -> Progress:
        return self.dispatcher.progress("pool")

    async def looks_again(self) -> None:
        """Wait for the next command to the worker."""
        sent = asyncio.Event()

        def send(command: Command) -> None:
            self.sent.append(command)
            sent.set()

        self.dispatcher.send = send
        async with asyncio.timeout(10):
            await sent.wait()


def on_bench(
    data_dir: Path,
    test: Callable[[Bench], object],
    timeline: Timeline | None = None,
    scale_out_per_10_s: int = 1000,
) -> None:
    """In simulated time, where there is a timeline."""

    async def run() -> None:
        ledger = Ledger(data_dir / "ledger")
        bench = Bench(ledger, timeline, scale_out_per_10_s)
        outcome = test(bench)
        if asyncio.iscoroutine(outcome):
            await outcome
        await bench.dispatcher.close(grace_s=0)
        ledger.close()

    asyncio.run(run())

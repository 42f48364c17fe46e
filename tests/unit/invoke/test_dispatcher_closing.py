"""The dispatcher leaves when what runs is over and measured, not when its callers have their answers."""

import asyncio
from pathlib import Path

from lambent.core.admission import Limits
from lambent.core.function import Configuration, FunctionName, FunctionVersion, Logging, Package, Status
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.network import Networks
from lambent.core.placement import Policy
from lambent.invoke.configuration import Serving
from lambent.invoke.dispatcher import Completed, Dispatcher
from lambent.observe.ledger import Ended, Ledger, entries
from lambent.testing.clock import ManualClock
from lambent.worker import messages

FUNCTION = FunctionName("111122223333", "us-east-1", "f")
VERSION = FunctionVersion(
    function=FUNCTION,
    version="$LATEST",
    configuration=Configuration("role", "python3.13", "app.handler", logging=Logging("/aws/lambda/f")),
    package=Package("0" * 64, 1),
    architectures=("x86_64",),
    revision_id="r",
    config_revision="c",
    last_modified_ms=0,
    state=Status("Active"),
    last_update=None,
)


class NoLogs:
    def append(self, *_):
        pass


class Sessions:
    def issue(self, *_):
        return messages.Credentials("id", "secret", "token")

    def revoke(self, access_key_id):
        pass


def test_an_answered_invocation_is_waited_for_until_it_is_written_down(data_dir: Path):
    async def run():
        ledger = Ledger(data_dir / "ledger")
        dispatcher = Dispatcher(
            clock=ManualClock(),
            timers=asyncio.get_running_loop(),
            ledger=ledger,
            logs=NoLogs(),
            credentials=Sessions(),
            networks=Networks(),
            new_id=lambda: "e1",
            limits=Limits(concurrency=1),
            policy=Policy(),
            idle_timeout_s=1,
            maximal_life_s=3600,
        )
        dispatcher.send = lambda command: None
        told = []
        dispatcher.invoke(Serving(VERSION, "pool", "arn"), Invocation("r1", "arn", b"{}"), told.append)
        dispatcher.on_event(messages.Available("e1"))
        dispatcher.on_event(messages.Answered("e1", "r1", Answer(b"1")))
        assert told == [Completed(Answer(b"1"))]
        closing = asyncio.ensure_future(dispatcher.close(grace_s=60))
        done, _ = await asyncio.wait((closing,), timeout=0.05)
        assert not done, "left while its environment was at work"
        dispatcher.on_event(messages.Finished("e1", "r1", Report(Outcome.SUCCESS, 1, 1)))
        async with asyncio.timeout(5):
            await closing
        ledger.close()

    asyncio.run(run())
    ended = [entry for entry in entries(data_dir / "ledger") if isinstance(entry, Ended)]
    assert [entry.outcome for entry in ended] == ["success"]

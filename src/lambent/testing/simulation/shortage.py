"""A machine with less memory than its functions need at once, and none of them is ever done: each has its turn, whether
it is called or sent events, and however many events another one has queued; and a caller is refused when it has waited
for its time."""

from random import Random

from lambent.core.admission import Limits
from lambent.core.errors import ModelledError
from lambent.core.event_invoke import QueuedEvent, Trials
from lambent.core.function import LATEST
from lambent.core.invocation import Invocation
from lambent.core.placement import Policy
from lambent.invoke.configuration import Serving, ServingConfiguration, serving_of
from lambent.invoke.dispatcher import Completed
from lambent.invoke.events import EventInvocations, Tell
from lambent.testing.simulation.checks import hold
from lambent.testing.simulation.events import EventChecks, MemoryQueue, Neighbours, run_at_once
from lambent.testing.simulation.functions import named, version_of
from lambent.testing.simulation.nature import FAULTLESS
from lambent.testing.simulation.partition import Partition, Rules
from lambent.testing.simulation.worker import MEASURED_EACH_US

WAIT_US = 6_000_000
"""A little longer than a function waits for its turn, as what has left is seen only when memory is measured."""
RULES = Rules(
    Limits(), Policy(overcommit=1.0, reserve_mib=0, wait_us=WAIT_US), idle_timeout_s=300, maximal_life_s=14_400
)
EVENT_PLACES, EVENT_RETRY_DELAY_S = 64, 5
ENVIRONMENTS, MEMORY_MIB = 4, 128
CALLED, SENT, BACKLOG = 6, 6, 100
"""Functions that have two callers and an event, functions that have an event, and the events that one more has at each
time."""
RUN_US, INIT_US = 100_000, 150_000
LATE_US = 1_000_000
"""What a caller may wait beyond its time: while an environment was about to serve it that serves another."""
TURN_US = 30_000_000
"""Within which each has one: several times what all of them take together."""


class Shortage:
    """Whoever has an answer calls again, and what is over is sent again."""

    def __init__(self, seed: int) -> None:
        self._partition = partition = Partition(
            Random(seed),  # noqa: S311
            RULES,
            FAULTLESS,
            latency_us=0,
            memory_mib=ENVIRONMENTS * MEMORY_MIB,
        )
        self._timeline = timeline = partition.timeline
        event_checks = EventChecks()
        self._events = EventInvocations(
            store=MemoryQueue(timeline, partition.nature, event_checks),
            configuration=ServingConfiguration(),
            deliveries=Neighbours(partition.nature, event_checks),
            clock=timeline,
            timers=timeline,
            places=EVENT_PLACES,
            retry_delay_s=EVENT_RETRY_DELAY_S,
        )
        self._events.attempt = self._attempt
        self._events.begin(run_at_once)
        self._servings: dict[str, Serving] = {}
        self._had_a_turn_us: dict[str, int] = {}
        """When each function has last answered its callers, and an event of its queue."""

    def run(self, seconds: int) -> None:
        """Raises Violation."""
        self._partition.run_until(2 * MEASURED_EACH_US)  # by then it is known what memory there is
        backlog = self._add("backlog")
        for _ in range(BACKLOG):
            self._send(backlog)
        for number in range(CALLED):
            called = self._add(f"called{number}")
            self._send(called)
            for _ in range(2):
                self._call(called)
        for number in range(SENT):
            self._send(self._add(f"sent{number}"))
        self._partition.run_until(seconds * 1_000_000)
        for who in self._had_a_turn_us:
            self._has_a_turn(who)

    def _add(self, name: str) -> Serving:
        revision = len(self._servings)
        version = version_of(named(name), LATEST, revision, timeout_s=60, memory_mib=MEMORY_MIB)
        self._partition.nature.means[name] = (RUN_US, INIT_US)
        self._servings[name] = serving_of(version)
        return self._servings[name]

    def _has_a_turn(self, who: str) -> None:
        now_us = self._timeline.now_us
        waited_us = now_us - self._had_a_turn_us[who]
        hold(waited_us <= TURN_US, f"{who} has had no turn for {waited_us / 1_000_000:.1f} s")
        self._had_a_turn_us[who] = now_us

    def _call(self, serving: Serving) -> None:
        called_us = self._timeline.now_us
        who = f"who calls {serving.version.function.name}"
        self._had_a_turn_us.setdefault(who, self._timeline.now_us)

        def told(result: Completed | ModelledError) -> None:
            if isinstance(result, Completed):
                self._has_a_turn(who)
            else:
                waited_us = self._timeline.now_us - called_us
                late_us = waited_us - WAIT_US
                hold(0 <= late_us <= LATE_US, f"{who} is refused after {waited_us / 1_000_000:.2f} s")
            self._timeline.call_soon(self._call, serving)

        invocation = Invocation(self._partition.new_id(), serving.arn, b"{}")
        self._partition.checks.invoke(serving, invocation, told)

    def _send(self, serving: Serving) -> None:
        self._had_a_turn_us.setdefault(_queue_of(serving), self._timeline.now_us)
        trials = Trials(self._timeline.wall_ms())
        event = QueuedEvent(self._partition.new_id(), serving.version.function, None, "", trials, b"{}")
        self._events.accept(event, lambda error: hold(error is None, f"not accepted: {error}"))

    def _attempt(self, event: QueuedEvent, tell: Tell) -> None:
        """As `invoke.frontend` does."""
        serving = self._servings[event.function.name]

        def told(result: Completed | ModelledError) -> None:
            if isinstance(result, Completed):
                self._has_a_turn(_queue_of(serving))
                self._send(serving)
            tell(serving, result)

        self._partition.checks.invoke(
            serving, Invocation(event.request_id, serving.arn, event.payload), told, queued=True
        )


def _queue_of(serving: Serving) -> str:
    return f"the queue of {serving.version.function.name}"

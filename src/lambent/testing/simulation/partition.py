"""A dispatcher with everything around it, in simulated time."""

from random import Random

from lambent.core.admission import Limits
from lambent.core.network import Networks
from lambent.core.placement import Policy
from lambent.core.record import Record
from lambent.invoke.dispatcher import Dispatcher
from lambent.testing.simulation.checks import Checks
from lambent.testing.simulation.link import Link
from lambent.testing.simulation.nature import Faults, Nature
from lambent.testing.simulation.timeline import Timeline
from lambent.testing.simulation.worker import Worker
from lambent.worker.messages import Command, Event, Hello

AUDIT_EACH = 1_000
"""Steps between two full audits."""


class Rules(Record, frozen=True):
    """The settings of the dispatcher."""

    limits: Limits
    policy: Policy
    idle_timeout_s: int
    maximal_life_s: int


class _Logs:
    def append(self, *_: object) -> None:
        pass


class Partition:
    """A dispatcher, its worker and what watches them. `random` decides everything."""

    def __init__(self, random: Random, rules: Rules, faults: Faults, *, latency_us: int, memory_mib: int) -> None:
        self.timeline = Timeline()
        self.nature = Nature(random, faults)
        self.checks = Checks(self.timeline, rules.limits, rules.policy, memory_mib)
        self._ids = 0
        self.dispatcher = Dispatcher(
            clock=self.timeline,
            timers=self.timeline,
            ledger=self.checks,
            logs=_Logs(),
            credentials=self.checks,
            networks=Networks(),
            new_id=self.new_id,
            limits=rules.limits,
            policy=rules.policy,
            idle_timeout_s=rules.idle_timeout_s,
            maximal_life_s=rules.maximal_life_s,
        )
        self.checks.dispatcher = self.dispatcher
        self.link = Link(self.timeline, latency_us)
        self.worker = Worker(self.timeline, self.nature, self.link.emit, memory_mib)
        self.link.to_worker = self.worker.handle
        self.link.to_dispatcher = self._on_event
        self.dispatcher.send = self._send
        self.steps = 0
        self.digest = 0
        self.worker.measure()
        self.dispatcher.start()

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:032x}"

    def _send(self, command: Command) -> None:
        self.checks.command(command)
        if not isinstance(command, Hello):
            self.digest = hash((self.digest, self.timeline.now_us, int(command.environment_id, 16)))
        self.link.send(command)

    def _on_event(self, event: Event) -> None:
        self.checks.event(event)
        self.dispatcher.on_event(event)

    def kill_worker(self) -> None:
        self.worker.die()
        self.link.lose()

    def step(self) -> None:
        self.timeline.advance()
        self.steps += 1
        if self.steps % AUDIT_EACH == 0:
            self.checks.audit()

    def run_until(self, at_us: int) -> None:
        reached: list[bool] = []
        self.timeline.call_at(at_us, reached.append, True)
        while not reached:
            self.step()

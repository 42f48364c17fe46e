"""An hour of a population of functions under a policy: how many starts it costs, how much memory, how many refusals."""

from collections.abc import Callable
from random import Random

from lambent.core.admission import Limits
from lambent.core.errors import TooManyRequestsException
from lambent.core.function import LATEST
from lambent.core.invocation import Invocation
from lambent.core.placement import Policy
from lambent.core.record import Record
from lambent.invoke.configuration import Serving, serving_of
from lambent.testing.simulation.functions import named, version_of
from lambent.testing.simulation.nature import FAULTLESS
from lambent.testing.simulation.partition import Partition, Rules
from lambent.testing.simulation.population import HOUR_S, LONGEST_S, Drawn, population

MEMORY_MIB = 256 * 1024
_RULES = Rules(Limits(), Policy(), idle_timeout_s=300, maximal_life_s=14_400)


def _as_it_is(_partition: Partition) -> None:
    pass


def _makes_no_room(partition: Partition) -> None:
    """What is idle stays until its time is over, whoever waits."""
    partition.dispatcher._placing._take_idle = lambda: None


POLICIES: dict[str, tuple[int, Callable[[Partition], None]]] = {
    "Lambent: kept for 5 minutes, or until others need the memory": (300, _as_it_is),
    "kept for 10 minutes, whoever needs the memory": (600, _makes_no_room),
    "ended within a second": (0, _as_it_is),
}
"""By what they do: the idle time after which an environment ends, and what else is different."""


class Outcome(Record, frozen=True):
    """`memory_gib_h` is the MemorySize of environments by the time that they were there."""

    invocations: int
    cold_share: float
    memory_gib_h: float
    throttled: int


def run(policy: str, seed: int, *, functions: int, seconds: int = HOUR_S) -> Outcome:
    """The same calls under each policy. Raises Violation."""
    idle_timeout_s, change = POLICIES[policy]
    rules = Rules(_RULES.limits, _RULES.policy, idle_timeout_s, _RULES.maximal_life_s)
    partition = Partition(Random(seed), rules, FAULTLESS, latency_us=0, memory_mib=MEMORY_MIB)  # noqa: S311
    change(partition)
    calls = _Calls(partition, Random(seed), seconds * 1_000_000)  # noqa: S311
    for number, drawn in enumerate(population(Random(seed), functions)):  # noqa: S311
        calls.expect(_serving(number, drawn), drawn)
    partition.run_until(seconds * 1_000_000)
    checks = partition.checks
    memory_gib_h = checks.memory_gib_h()
    partition.run_until(partition.timeline.now_us + int(2 * LONGEST_S + 1_000) * 1_000_000)
    checks.rest()
    return Outcome(
        calls.made,
        checks.cold / max(1, checks.attempts),
        memory_gib_h,
        calls.throttled,
    )


class _Calls:
    """The callers: they draw from a random generator of their own, so that each policy has the same."""

    def __init__(self, partition: Partition, random: Random, until_us: int) -> None:
        self._partition = partition
        self._random = random
        self._until_us = until_us
        self.made = self.throttled = 0

    def expect(self, serving: Serving, drawn: Drawn) -> None:
        name = serving.version.function.name
        self._partition.nature.means[name] = (int(drawn.mean_s * 1_000_000), int(drawn.init_s * 1_000_000))
        interval_us = int(1_000_000 / drawn.rate_per_s)
        at_us = self._random.randrange(interval_us) if drawn.by_timer else self._apart(interval_us)
        while at_us < self._until_us:
            self._partition.timeline.call_at(at_us, self._call, serving)
            at_us += interval_us if drawn.by_timer else self._apart(interval_us)

    def _apart(self, interval_us: int) -> int:
        return 1 + int(self._random.expovariate(1 / interval_us))

    def _call(self, serving: Serving) -> None:
        self.made += 1
        invocation = Invocation(self._partition.new_id(), serving.arn, b"{}")
        try:
            self._partition.checks.invoke(serving, invocation, self._told)
        except TooManyRequestsException:
            self.throttled += 1

    def _told(self, result: object) -> None:
        self.throttled += isinstance(result, TooManyRequestsException)


def _serving(number: int, drawn: Drawn) -> Serving:
    name = named(f"f{number}")
    return serving_of(version_of(name, LATEST, number, timeout_s=int(LONGEST_S), memory_mib=drawn.memory_mib))

"""Carries out what `core.placement` decides: environments are begun when the worker has memory for them.

Owns the placement's state and its timer. It knows nothing of invocations: the dispatcher says how an environment is
begun, how one is retired, and what is done about one that has waited for too long.
"""

import logging
from collections.abc import Callable, Iterable

from lambent.clock import Clock, Timer, Timers
from lambent.core.placement import Placement, Policy
from lambent.invoke.configuration import Serving

_log = logging.getLogger(__name__)


class Placing:
    """`take_idle` takes an idle environment out of the assignment, one of `idle`; `retire` tells the worker to end it;
    `give_up` is told of an environment that is not to be had. `stays` is as `core.placement` has it."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        policy: Policy,
        *,
        take_idle: Callable[[], str | None],
        retire: Callable[[str], None],
        give_up: Callable[[str], None],
        idle: Callable[[], Iterable[str]],
        stays: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._policy = policy
        self._placement = Placement(policy, stays)
        self._take_idle = take_idle
        self._idle = idle
        self._retire = retire
        self._give_up = give_up
        self._begin: dict[str, Callable[[], None]] = {}
        """Of those that wait."""
        self._timer: Timer | None = None
        self._looks_us = 0
        """When it is due."""
        self.leaves = self._placement.leaves
        self.placed = self._placement.placed
        self.gives_way = self._placement.gives_way
        self.not_needed = self._placement.not_needed
        self.is_for = self._placement.is_for
        self.goes_last = self._placement.goes_last

    @property
    def is_waited_for(self) -> bool:
        return self._placement.is_waited_for

    def __contains__(self, environment_id: str) -> bool:
        """Whether it waits."""
        return environment_id in self._placement

    def ask(
        self, serving: Serving, environment_id: str, begin: Callable[[], None], until_us: int, *, queued: bool
    ) -> bool:
        """Have an environment begun, for an invocation that waits until then for it, when there is room, which `settle`
        looks for. False if it is not to be had."""
        return self._ask(serving, environment_id, begin, serving.pool_id, until_us, queued=queued)

    def ask_ahead(self, serving: Serving, environment_id: str, begin: Callable[[], None]) -> None:
        """The same where no invocation waits for it. One that is not to be had is given up."""
        until_us = self._clock.monotonic_us() + self._policy.wait_us
        if not self._ask(serving, environment_id, begin, "", until_us, queued=False):
            self._give_up(environment_id)

    def _ask(
        self,
        serving: Serving,
        environment_id: str,
        begin: Callable[[], None],
        pool_id: str,
        until_us: int,
        *,
        queued: bool,
    ) -> bool:
        size_mib = serving.version.configuration.memory_mib
        now = self._clock.monotonic_us()
        if not self._placement.ask(environment_id, serving.arn, pool_id, size_mib, now, until_us, queued=queued):
            return False
        self._begin[environment_id] = begin
        return True

    def waiting(self) -> set[str]:
        """The environments that are begun when there is room."""
        return set(self._begin)

    def is_held_up(self, environment_id: str) -> bool:
        """Whether it waits for memory that nobody is about to give."""
        return environment_id in self._placement and not self._placement.is_promised(environment_id)

    def gone(self, environment_id: str) -> None:
        self._begin.pop(environment_id, None)
        self._placement.gone(environment_id)

    def measured(self, memory_mib: int, available_mib: int) -> None:
        was_short = self._placement.is_short
        self._placement.measured(memory_mib, available_mib)
        if self._placement.is_short and not was_short:
            _log.warning("memory is short: nothing is started", extra={"available_mib": available_mib})
        self.settle()

    def settle(self) -> None:
        """Do what can be done now."""
        plan = self._placement.plan(self._take_idle, self._idle, self._clock.monotonic_us())
        for environment_id in plan.retire:
            self._retire(environment_id)
        for environment_id in plan.start:
            self._begin.pop(environment_id)()
        self._watch()

    def refuse(self) -> None:
        """Give up all that waits."""
        self._give_up_each(list(self._begin))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        due_us = self._placement.looks_us()
        if due_us is None or (self._timer is not None and self._looks_us <= due_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, due_us - self._clock.monotonic_us()) / 1_000_000
        self._timer, self._looks_us = self._timers.call_later(delay_s, self._look), due_us

    def _look(self) -> None:
        self._timer = None
        self._give_up_each(self._placement.overdue(self._clock.monotonic_us()))
        self.settle()

    def _give_up_each(self, environment_ids: list[str]) -> None:
        for environment_id in environment_ids:
            if environment_id in self._placement:  # what another one left may have made room for it
                self._give_up(environment_id)

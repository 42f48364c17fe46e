"""Carries out what `core.provisioned_concurrency` decides: environments are started ahead of need, and go when they are
needed no more.

Owns the goals, and the versions that they are for. Which of these environments an invocation gets is the assignment's
to say; how one is started and retired, the dispatcher's.
"""

from collections.abc import Callable
from functools import partial

from lambent.clock import Clock
from lambent.core.assignment import Assignment
from lambent.core.provisioned_concurrency import Goals
from lambent.invoke.configuration import Serving
from lambent.invoke.placing import Placing
from lambent.worker.messages import PROVISIONED, Initialised


class StartingAhead:
    """`start` is called with version, id and kind of an environment when there is room for it; `retire` tells the
    worker to end one. Nothing is started before `open`, nor after `close`."""

    def __init__(
        self,
        clock: Clock,
        assignment: Assignment,
        placing: Placing,
        *,
        new_id: Callable[[], str],
        start: Callable[[Serving, str, str], None],
        retire: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._assignment = assignment
        self._placing = placing
        self._new_id = new_id
        self._start = start
        self._retire = retire
        self._goals = Goals()
        self._servings: dict[str, Serving] = {}
        """What is to be started, by pool."""
        self._is_open = False
        self.progress = self._goals.progress
        self.outlived = self._goals.outlived

    def __contains__(self, environment_id: str) -> bool:
        """Whether it was started ahead, and counts."""
        return environment_id in self._goals

    def open(self) -> None:
        self._is_open = True
        for pool_id in self._goals.pools():
            self._start_missing(pool_id)

    def close(self) -> None:
        self._is_open = False

    def want(self, serving: Serving, count: int) -> None:
        """From now on there are to be so many environments of the version."""
        if count:
            self._servings[serving.pool_id] = serving
        else:
            self._servings.pop(serving.pool_id, None)
        for environment_id in self._goals.want(serving.pool_id, count):
            self._release(environment_id)
        self._start_missing(serving.pool_id)

    def look_after(self) -> None:
        """Start anew what is to be there and is not."""
        for pool_id in self._goals.pools():
            self._start_missing(pool_id)

    def initialised(self, event: Initialised) -> None:
        """Also told of environments that were not started ahead."""
        if event.environment_id not in self._goals:
            return
        if event.failed:
            self._goals.failed(event.environment_id, self._clock.monotonic_us())
            self._release(event.environment_id)
        else:
            pool_id = self._goals.initialised(event.environment_id)
            for environment_id in self._goals.replaced(pool_id):
                self._release(environment_id)
            self._start_missing(pool_id)

    def replace(self, environment_id: str) -> None:
        """The environment is not initialised any more: another one takes its place, at the next look."""
        self._goals.gone(environment_id, "")
        self._release(environment_id)

    def gone(self, environment_id: str, reason: str) -> None:
        """The environment is no more, or never was; also told of environments that were not started ahead."""
        if environment_id in self._goals:
            self._goals.gone(environment_id, reason)

    def _start_missing(self, pool_id: str) -> None:
        if not self._is_open:
            return
        now = self._clock.monotonic_us()
        for environment_id in self._goals.to_start(pool_id, self._new_id, now):
            serving = self._servings[pool_id]
            if serving.version.configuration.unreadable is not None:
                self._goals.failed(environment_id, now)  # it is not to run without its environment variables
                continue
            self._assignment.start_ahead(pool_id, environment_id, now)
            self._placing.ask_ahead(serving, environment_id, partial(self._start, serving, environment_id, PROVISIONED))
        self._placing.settle()

    def _release(self, environment_id: str) -> None:
        """The environment need not stay: it goes now, or when its invocation is over."""
        if self._assignment.unprovision(environment_id):
            self._retire(environment_id)

"""Provisioned concurrency: how many environments of which version are to be initialised ahead of need.

A *goal* is a number of environments of one pool (`core.assignment`). Its state here is fed with what becomes of real
environments, and tells which ones to start next. A few are started at a time, so that a function which can not be
initialised shows it before the machine is full of its attempts, and others can start environments meanwhile. It is
tried again, ever more rarely: what it depends on may be back.

Source: developer guide, "Configuring provisioned concurrency for a function"; API reference,
GetProvisionedConcurrencyConfig.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from lambent.core.alias import Alias
from lambent.core.function import FunctionName
from lambent.core.record import Record

PARALLEL_STARTS = 4
"""Of one goal."""
FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 300_000_000
"""After a failure of the function, and after many in a row: the time is twice as long with each."""
FUNCTION_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
"""The `StatusReason` where the function's own initialisation fails."""


class ProvisionedConcurrency(Record, frozen=True):
    """The setting: `count` environments for a version or an alias."""

    function: FunctionName
    qualifier: str
    count: int
    last_modified_ms: int


class Progress(Record, frozen=True):
    """How many environments there are, and how many of them are initialised. `failure` tells why there are no more."""

    allocated: int = 0
    available: int = 0
    failure: str | None = None


def status(count: int, progress: Progress) -> str:
    """`Status` of a setting of so many environments."""
    if progress.failure is not None:
        return "FAILED"
    return "READY" if progress.available >= count else "IN_PROGRESS"


def shares(count: int, qualifier: str, alias: Alias | None) -> dict[str, int]:
    """The environments by version. An alias with weights has them for both of its versions, in that proportion."""
    if alias is None:
        return {qualifier: count}
    if alias.routing is None:
        return {alias.version: count}
    second = round(count * alias.routing.weight)
    return {alias.version: count - second, alias.routing.version: second}


@dataclass(slots=True)
class _Goal:
    count: int = 0
    starting: dict[str, None] = field(default_factory=dict)
    """As the others, in order: the oldest goes first."""
    initialised: dict[str, None] = field(default_factory=dict)
    outlived: dict[str, None] = field(default_factory=dict)
    """Of the initialised ones: those that others are to take the place of."""
    failure: str | None = None
    """Why the last one that failed did, until one is initialised."""
    failures: int = 0
    """Of the function, since one was initialised; those that came while others were tried count once."""
    resumes_us: int = 0
    """Before that none is started."""


class Goals:
    """Goals by pool, and the environments that serve them. Times are microseconds of the owner's monotonic clock."""

    def __init__(self) -> None:
        self._goals: dict[str, _Goal] = {}
        self._pool_of: dict[str, str] = {}

    def __contains__(self, environment_id: str) -> bool:
        return environment_id in self._pool_of

    def pools(self) -> list[str]:
        return list(self._goals)

    def want(self, pool_id: str, count: int) -> list[str]:
        """Set the goal anew; what has failed may be tried again. Returns the environments that it needs no more."""
        goal = self._goals.setdefault(pool_id, _Goal())
        goal.count = count
        goal.failure, goal.failures, goal.resumes_us = None, 0, 0
        surplus = []
        for environments in (goal.starting, goal.outlived, goal.initialised):
            while environments and len(goal.starting) + len(goal.initialised) > count:
                environment_id = next(iter(environments))
                self._leave(environment_id)
                surplus.append(environment_id)
        if count == 0:
            del self._goals[pool_id]
        return surplus

    def to_start(self, pool_id: str, new_environment_id: Callable[[], str], now: int) -> list[str]:
        """The environments, of these ids, that are to be started now."""
        goal = self._goals.get(pool_id)
        if goal is None or now < goal.resumes_us:
            return []
        missing = goal.count - len(goal.starting) - len(goal.initialised) + len(goal.outlived)
        started = [new_environment_id() for _ in range(min(missing, PARALLEL_STARTS - len(goal.starting)))]
        goal.starting.update(dict.fromkeys(started))
        self._pool_of.update(dict.fromkeys(started, pool_id))
        return started

    def initialised(self, environment_id: str) -> str:
        """Returns the pool, which may have more to start."""
        pool_id = self._pool_of[environment_id]
        goal = self._goals[pool_id]
        goal.starting.pop(environment_id, None)
        goal.initialised[environment_id] = None
        goal.failure, goal.failures, goal.resumes_us = None, 0, 0
        return pool_id

    def outlived(self, environment_id: str) -> None:
        """The environment has lived for too long: another one is to be started in its place."""
        goal = self._goals[self._pool_of[environment_id]]
        if environment_id in goal.initialised:
            goal.outlived[environment_id] = None

    def replaced(self, pool_id: str) -> list[str]:
        """The environments that others have taken the place of. They count no more."""
        goal = self._goals[pool_id]
        replaced = []
        while goal.outlived and len(goal.initialised) > goal.count:
            environment_id = next(iter(goal.outlived))
            self._leave(environment_id)
            replaced.append(environment_id)
        return replaced

    def failed(self, environment_id: str, now: int) -> None:
        """The function could not be initialised. The environment counts no more, and the next one is tried later."""
        goal = self._leave(environment_id)
        goal.failure = FUNCTION_FAILED
        if now >= goal.resumes_us:
            goal.resumes_us = now + min(FIRST_RETRY_US << goal.failures, LAST_RETRY_US)
            goal.failures = min(goal.failures + 1, LAST_RETRY_US.bit_length())

    def gone(self, environment_id: str, reason: str) -> None:
        """The environment is no more, or is not initialised any more. Where it never was, the machine is at fault, and
        the next one may be started at once."""
        starting = environment_id in self._goals[self._pool_of[environment_id]].starting
        goal = self._leave(environment_id)
        if starting and goal.failure != FUNCTION_FAILED:
            goal.failure = reason

    def progress(self, pool_id: str) -> Progress:
        goal = self._goals.get(pool_id)
        if goal is None:
            return Progress()
        available = len(goal.initialised)
        return Progress(min(goal.count, available + len(goal.starting)), available, goal.failure)

    def _leave(self, environment_id: str) -> _Goal:
        goal = self._goals[self._pool_of.pop(environment_id)]
        goal.starting.pop(environment_id, None)
        goal.initialised.pop(environment_id, None)
        goal.outlived.pop(environment_id, None)
        return goal

"""The placement service: whether a worker has memory for a new execution environment, and who has it first.

Functions use a part of their MemorySize, so that environments may have more of it together than the worker has memory:
the overcommit ratio tells how much. What they really use is another thing, and is measured: nothing is placed unless
that leaves the reserve, which is Lambent's own.

Where there is no room, an idle environment gives way, the one that was used longest ago; if none is idle, the new one
waits. Functions take turns, so that one which has many waiting does not hold up another, and whoever's turn it is has
the next memory that comes free, so that a large one is not passed by small ones for ever. It is kept free for it for a
few seconds: where so much does not come free in that time, others go before it for a while, and nothing idle is ended
in vain. What can not have room as long as those stay that are to stay is not to be had. An environment that is done
with an event and could have the next one of its function gives way as well when another function has waited for long
enough: not at once, as each change of hands costs a start.

Pure: times are microseconds of the owner's monotonic clock, ids are any unique strings, sizes are in MiB. An
environment counts from when it is placed until it is gone from the machine.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lambent.core.record import Record

STARTING_MIB = 64
"""What an environment is taken to use before the next measurement sees it, unless it may have less."""
PATIENCE_US = 200_000
"""A few cold starts: for so long a function goes on in its environments while another one waits for memory."""
HOLD_US = 5_000_000
"""For so long a function keeps the others back while it waits for memory in its turn."""
PASSED_US = 5_000_000
"""For so long the others go before it then."""
EVENT_WAIT_US = 300_000_000
"""How long an environment waits that is for an event of a queue. As long as a function pauses at most that was refused:
where nothing comes free for so long, the event's place in the queue is for others."""


class Policy(Record, frozen=True):
    """`reserve_mib` is taken out of the worker's memory. No more than `waiting` environments wait that are for callers,
    and a caller no longer than `wait_us`."""

    overcommit: float = 4.0
    reserve_mib: int = 256
    waiting: int = 1000
    wait_us: int = 10_000_000


class Plan(Record, frozen=True):
    """What to do now: environments to start, which have their memory, and idle ones to retire, which are taken out."""

    start: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Placed:
    function: str
    size_mib: int

    @property
    def starting_mib(self) -> int:
        return min(self.size_mib, STARTING_MIB)


@dataclass(slots=True)
class _Waiting:
    environment: _Placed
    pool_id: str
    since_us: int
    until_us: int
    queued: bool


@dataclass(slots=True)
class _Worker:
    memory_mib: int
    available_mib: int


@dataclass(slots=True)
class Placement:
    """One worker's. Everything fits until the worker has told what it has. `stays` tells of an environment whether it
    has its memory for as long as the settings are what they are."""

    policy: Policy
    stays: Callable[[str], bool] = lambda _: False
    _worker: _Worker | None = None
    _placed: dict[str, _Placed] = field(default_factory=dict)
    _placed_mib: int = 0
    _leaving: dict[str, _Placed] = field(default_factory=dict)
    """Of those that are placed: they are on their way out."""
    _leaving_mib: int = 0
    _unseen_mib: int = 0
    """Of those that were placed since the worker was measured."""
    _relief_mib: int = 0
    """Of those that have been told to go since then: not to be given away before it is seen."""
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    """The one that has waited longest comes first."""
    _overdue_us: int | None = None
    """Before that none of them has waited for too long."""
    _turns: dict[str, deque[str]] = field(default_factory=dict)
    """Those that wait, by function; the function whose turn it is comes first, but for those that are passed."""
    _passed: dict[str, int] = field(default_factory=dict)
    """Until when others go before a function."""
    _holder: str | None = None
    """The function that keeps others back,"""
    _holds_since_us: int = 0

    @property
    def is_waited_for(self) -> bool:
        return bool(self._waiting)

    @property
    def is_short(self) -> bool:
        """Whether the reserve is in use."""
        return self._free_mib() < 0

    def __contains__(self, environment_id: str) -> bool:
        """Whether it waits."""
        return environment_id in self._waiting

    def placed(self) -> dict[str, int]:
        """The environments that have their memory, with their MemorySize in MiB."""
        return {environment_id: placed.size_mib for environment_id, placed in self._placed.items()}

    # What happens -------------------------------------------------------------------------------------------------

    def measured(self, memory_mib: int, available_mib: int) -> None:
        """The worker may have so much memory in all, and so much of it is not in use."""
        self._worker = _Worker(memory_mib, available_mib)
        self._unseen_mib = self._relief_mib = 0

    def ask(
        self,
        environment_id: str,
        function: str,
        pool_id: str,
        size_mib: int,
        now: int,
        until_us: int,
        *,
        queued: bool = False,
    ) -> bool:
        """An environment is to be started, for a caller or an event of a queue, which waits until then. False if it is
        not, as too many callers wait already or it can not fit."""
        callers = sum(not waiting.queued for waiting in self._waiting.values())
        if (callers >= self.policy.waiting and not queued) or not self._could_fit(size_mib):
            return False
        self._waiting[environment_id] = _Waiting(_Placed(function, size_mib), pool_id, now, until_us, queued)
        self._turns.setdefault(function, deque()).append(environment_id)
        self.is_for(environment_id, until_us)
        return True

    def is_for(self, environment_id: str, until_us: int) -> None:
        """If the environment still waits: it is for somebody who waits until then."""
        waiting = self._waiting.get(environment_id)
        if waiting is not None:
            waiting.until_us = until_us
            self._overdue_us = until_us if self._overdue_us is None else min(self._overdue_us, until_us)

    def leaves(self, environment_id: str) -> None:
        """It was told to go."""
        placed = self._placed.get(environment_id)
        if placed is not None and environment_id not in self._leaving:
            self._leaving[environment_id] = placed
            self._leaving_mib += placed.size_mib
            self._relief_mib += placed.starting_mib

    def gone(self, environment_id: str) -> None:
        """It is no more, or is not wanted any more while it waits."""
        if environment_id in self._waiting:
            self._no_longer_waits(environment_id)
            return
        self.leaves(environment_id)
        placed = self._placed.pop(environment_id, None)
        if placed is not None:
            del self._leaving[environment_id]
            self._leaving_mib -= placed.size_mib
            self._placed_mib -= placed.size_mib

    def overdue(self, now: int) -> list[str]:
        """Those that have waited for too long. They wait until `gone` is told of them."""
        until_us = {environment_id: waiting.until_us for environment_id, waiting in self._waiting.items()}
        self._overdue_us = min((until for until in until_us.values() if until > now), default=None)
        return [environment_id for environment_id, until in until_us.items() if until <= now]

    def looks_us(self) -> int | None:
        """When to look for those, and to plan, if nothing happens before."""
        if self._overdue_us is None or not self._waiting:
            return None
        if self._holder is None:
            return self._overdue_us
        return min(self._overdue_us, self._holds_since_us + HOLD_US)

    # What is to be done -------------------------------------------------------------------------------------------

    def plan(self, take_idle: Callable[[], str | None], idle: Callable[[], Iterable[str]], now: int) -> Plan:
        """To be made after each of these. `take_idle` takes out the idle environment that was used longest ago, and
        `idle` tells of all that it could take."""
        start: list[str] = []
        retire: list[str] = []
        self._passed = {function: until_us for function, until_us in self._passed.items() if until_us > now}
        while self._turns:
            function, environment_id = self._first()
            environment = self._waiting[environment_id].environment
            if not self._fits(environment):
                if self._has_held_for_long(function, now):
                    self._passed[function] = now + PASSED_US
                    self.goes_last(function)
                    continue
                self._make_room(environment, take_idle, idle, retire)
                break
            self._no_longer_waits(environment_id)
            self.goes_last(function)
            self._placed[environment_id] = environment
            self._placed_mib += environment.size_mib
            self._unseen_mib += environment.starting_mib
            start.append(environment_id)
        while self._free_mib() + self._relief_mib < 0 and self._retire(take_idle, retire):
            pass
        return Plan(tuple(start), tuple(retire))

    def gives_way(self, environment_id: str, now: int) -> bool:
        """Whether the environment, which could take an event, is to go because another function's turn has come."""
        placed = self._placed.get(environment_id)
        if placed is None or not self._turns:
            return False
        function, waiting = self._first()
        first = self._waiting[waiting]
        return (
            function != placed.function
            and first.since_us + PATIENCE_US <= now
            and not self._will_fit(first.environment)
        )

    def is_promised(self, environment_id: str) -> bool:
        """Whether the environment that waits has its turn, and room as soon as what leaves is gone."""
        return (
            environment_id in self._waiting
            and self._first()[1] == environment_id
            and self._will_fit(self._waiting[environment_id].environment)
        )

    def not_needed(self, pool_id: str) -> str | None:
        """Of the pool's environments that wait, the one that has waited longest."""
        return next((one for one, waiting in self._waiting.items() if waiting.pool_id == pool_id), None)

    # Arithmetic ---------------------------------------------------------------------------------------------------

    def _capacity_mib(self) -> float:
        if self._worker is None:
            return float("inf")
        return self.policy.overcommit * max(0, self._worker.memory_mib - self.policy.reserve_mib)

    def _free_mib(self) -> float:
        """What may be put to use beyond what is, as far as is known."""
        if self._worker is None:
            return float("inf")
        return self._worker.available_mib - self.policy.reserve_mib - self._unseen_mib

    def _fits(self, environment: _Placed) -> bool:
        return (
            self._placed_mib + environment.size_mib <= self._capacity_mib()
            and environment.starting_mib <= self._free_mib()
        )

    def _will_fit(self, environment: _Placed, gained_mib: int = 0, relief_mib: int = 0) -> bool:
        """When what leaves is gone, and so much more."""
        placed_mib = self._placed_mib - self._leaving_mib - gained_mib
        return (
            placed_mib + environment.size_mib <= self._capacity_mib()
            and environment.starting_mib <= self._free_mib() + self._relief_mib + relief_mib
        )

    def _could_fit(self, size_mib: int) -> bool:
        """Whether there is a time at which the environment fits, as long as those stay that are to stay."""
        capacity_mib = self._capacity_mib()
        if self._placed_mib + size_mib <= capacity_mib:
            return True
        staying = (placed.size_mib for one, placed in self._placed.items() if self.stays(one))
        return size_mib <= capacity_mib - sum(staying)

    def _make_room(
        self,
        environment: _Placed,
        take_idle: Callable[[], str | None],
        idle: Callable[[], Iterable[str]],
        retire: list[str],
    ) -> None:
        if self._will_fit(environment):
            return
        gained = [self._placed[one] for one in idle() if one in self._placed and one not in self._leaving]
        if self._will_fit(environment, sum(one.size_mib for one in gained), sum(one.starting_mib for one in gained)):
            while not self._will_fit(environment) and self._retire(take_idle, retire):
                pass

    def _retire(self, take_idle: Callable[[], str | None], retire: list[str]) -> bool:
        environment_id = take_idle()
        if environment_id is None:
            return False
        self.leaves(environment_id)
        retire.append(environment_id)
        return True

    # Turns --------------------------------------------------------------------------------------------------------

    def _first(self) -> tuple[str, str]:
        """The function whose turn it is, and the environment that it is to have."""
        function = next((one for one in self._turns if one not in self._passed), None) or next(iter(self._turns))
        return function, self._turns[function][0]

    def _has_held_for_long(self, function: str, now: int) -> bool:
        """It counts from when there is another that could pass it."""
        if function in self._passed or len(self._turns) == 1:
            self._holder = None
            return False
        if self._holder != function:
            self._holder, self._holds_since_us = function, now
        return now - self._holds_since_us >= HOLD_US

    def goes_last(self, function: str) -> None:
        """Its turn is over, if it was its turn: it has an environment, or goes on in those that it has."""
        if self._holder == function:
            self._holder = None
        if function in self._turns:
            self._turns[function] = self._turns.pop(function)

    def _no_longer_waits(self, environment_id: str) -> None:
        """Its function keeps its turn if it has others that wait."""
        function = self._waiting.pop(environment_id).environment.function
        waiting = self._turns[function]
        waiting.remove(environment_id)
        if not waiting:
            del self._turns[function]
            self._passed.pop(function, None)
            if self._holder == function:
                self._holder = None

"""The assignment service: which execution environment serves an invocation.

Environments of one version of a function, in one revision of its configuration, are a *pool*; where a function keeps
its tenants apart, each tenant of the version has a pool of its own. An environment never leaves its pool. All mutable
state is here; every method is synchronous, decides, and returns what the caller must do.

The policy: an idle environment, the one used last first (the rest grow idle and go; and its memory is warm); else
wait, and start one environment for each invocation that waits beyond what is about to become available. An
environment whose invocation is answered but not over (DRAINING) is about to become available for a short grace:
a client that calls again as soon as it has its answer must not cause a cold start.

An environment of provisioned concurrency is used before those that were started on demand, and stays when it is idle.
While it starts nobody waits for it, for it may take long; whoever waits when it is done has it.

An environment lives for so long and no longer, whatever it does: `outlived` takes out those that are older, a busy one
as well, which ends after its invocation. One that stays is only named: it serves until another one has its place.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lambent.core.record import Record

DRAINING_GRACE_US = 100_000
"""About what a cold start takes: waiting longer than that would be worse than starting one."""

_OF_TENANT = "#"
"""In no name, version or revision, so that the first one in a pool's id ends the version's part of it."""


def tenant_pool(pool_id: str, tenant_id: str) -> str:
    """The pool of one tenant, where `pool_id` is the version's."""
    return f"{pool_id}{_OF_TENANT}{tenant_id}"


def version_pool(pool_id: str) -> str:
    """The version's own pool, where it may be one of its tenants'."""
    return pool_id.partition(_OF_TENANT)[0]


@dataclass(slots=True)
class _Pool:
    idle: list[str] = field(default_factory=list)
    """Stack: the environment used last is at the end."""
    idle_since: dict[str, int] = field(default_factory=dict)
    starting: dict[str, str] = field(default_factory=dict)
    """With the invocation that each is started for, though it may serve another."""
    busy: set[str] = field(default_factory=set)
    draining: dict[str, int] = field(default_factory=dict)
    """Of the busy ones: answered, with the time until which that counts as nearly available."""
    waiting: deque[str] = field(default_factory=deque)
    recheck_us: int | None = None
    """When the caller was told to call `recheck`, until it has."""
    superseded: bool = False
    ahead: set[str] = field(default_factory=set)
    """Those that start without anybody who waits for them."""
    provisioned: dict[str, None] = field(default_factory=dict)
    """Those that stay, whatever they are doing."""
    idle_provisioned: list[str] = field(default_factory=list)
    surplus: set[str] = field(default_factory=set)
    """Those that stayed, and are to go as soon as they are idle."""
    leaving: set[str] = field(default_factory=set)
    """Of the busy ones: retired while they started or worked, so that they may still say that they are available."""

    def without_own(self) -> str | None:
        """Of the invocations that wait and that no environment is started for, the one that has waited longest."""
        started_for = set(self.starting.values())
        return next((request_id for request_id in self.waiting if request_id not in started_for), None)

    def is_empty(self) -> bool:
        return not (self.idle or self.starting or self.busy or self.waiting or self.ahead or self.idle_provisioned)


class Use(Record, frozen=True):
    """The environment is the invocation's now."""

    environment_id: str


class StartOne(Record, frozen=True):
    """An invocation waits, and a new environment, of this id, is to be started for it."""

    environment_id: str
    request_id: str


class Wait(Record, frozen=True):
    """The invocation waits for an environment that is about to become available. If `recheck_us` is set, `recheck`
    must be called at that time; it is asked for once, for all that wait in the pool."""

    recheck_us: int | None = None


Decision = Use | StartOne | Wait


class PoolCensus(Record, frozen=True):
    """How many environments of a pool do what, and how many invocations wait for one. Those of provisioned concurrency
    are counted once more."""

    pool_id: str
    starting: int
    idle: int
    busy: int
    provisioned: int
    waiting: int


class HandedOn(Record, frozen=True):
    """An environment that starts is for another invocation than before."""

    environment_id: str
    request_id: str


class Outlived(Record, frozen=True):
    """Environments that have lived for too long: those that are to be retired, and those that stay until another one
    has their place."""

    retired: tuple[str, ...]
    staying: tuple[str, ...]


class Assignment:
    """Environments by pool, and the invocations that wait for one. Ids are any unique strings, made by the caller."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}
        self._tenants: dict[str, set[str]] = {}
        """The pools of tenants, by their version's."""
        self._pool_of: dict[str, str] = {}
        self._started: dict[str, int] = {}
        """When an environment was started, by environment that was not taken out; the oldest come first."""

    def arrive(self, pool_id: str, request_id: str, new_environment_id: Callable[[], str], now: int) -> Decision:
        """An invocation needs an environment of the pool. `new_environment_id` makes the id for StartOne."""
        pool = self._pools.get(pool_id)
        if pool is None:
            pool = self._open(pool_id)
        if pool.idle_provisioned:
            environment_id = pool.idle_provisioned.pop()
            pool.busy.add(environment_id)
            return Use(environment_id)
        if pool.idle:
            environment_id = pool.idle.pop()
            del pool.idle_since[environment_id]
            pool.busy.add(environment_id)
            return Use(environment_id)
        pool.waiting.append(request_id)
        return self._supply(pool_id, pool, request_id, new_environment_id, now)

    def _open(self, pool_id: str) -> _Pool:
        pool = self._pools[pool_id] = _Pool()
        version_pool_id, of_tenant, _ = pool_id.partition(_OF_TENANT)
        if of_tenant:
            self._tenants.setdefault(version_pool_id, set()).add(pool_id)
        return pool

    def _close(self, pool_id: str) -> None:
        del self._pools[pool_id]
        version_pool_id, of_tenant, _ = pool_id.partition(_OF_TENANT)
        if of_tenant:
            tenants = self._tenants[version_pool_id]
            tenants.remove(pool_id)
            if not tenants:
                del self._tenants[version_pool_id]

    def environments(self) -> set[str]:
        """All that there are, whatever they do."""
        return set(self._pool_of)

    def pool_of(self, environment_id: str) -> str | None:
        return self._pool_of.get(environment_id)

    def idle(self) -> list[str]:
        """Those that `take_least_recent` may take."""
        return [environment_id for pool in self._pools.values() for environment_id in pool.idle]

    def stays(self, environment_id: str) -> bool:
        """Whether it is one of provisioned concurrency."""
        pool_id = self._pool_of.get(environment_id)
        return pool_id is not None and environment_id in self._pools[pool_id].provisioned

    def is_waited_for(self, pool_id: str) -> bool:
        """Whether an invocation waits for an environment of the pool."""
        pool = self._pools.get(pool_id)
        return pool is not None and bool(pool.waiting)

    def census(self) -> list[PoolCensus]:
        return [
            PoolCensus(
                pool_id,
                starting=len(pool.starting) + len(pool.ahead),
                idle=len(pool.idle) + len(pool.idle_provisioned),
                busy=len(pool.busy),
                provisioned=len(pool.provisioned),
                waiting=len(pool.waiting),
            )
            for pool_id, pool in self._pools.items()
        ]

    def recheck(self, pool_id: str, new_environment_id: Callable[[], str], now: int) -> Decision:
        """The grace of an answered environment may be over: Wait, or StartOne; after that, ask once more."""
        pool = self._pools.get(pool_id)
        if pool is None:
            return Wait()
        pool.recheck_us = None
        return self._supply(pool_id, pool, pool.without_own() or "", new_environment_id, now)

    def _supply(
        self, pool_id: str, pool: _Pool, request_id: str, new_environment_id: Callable[[], str], now: int
    ) -> Decision:
        missing = len(pool.waiting) - len(pool.starting)
        if missing <= 0:
            return Wait()
        nearly = [until for until in pool.draining.values() if until > now]
        if missing <= len(nearly):
            if pool.recheck_us is not None:
                return Wait()  # one look ahead serves all who wait
            pool.recheck_us = min(nearly)
            return Wait(pool.recheck_us)
        environment_id = new_environment_id()
        pool.starting[environment_id] = request_id
        self._pool_of[environment_id] = pool_id
        self._started[environment_id] = now
        return StartOne(environment_id, request_id)

    def withdraw(self, environment_id: str) -> None:
        """The environment is not to be had, and the invocation that has just arrived, and got StartOne, does not wait
        for another."""
        pool_id = self._pool_of.pop(environment_id)
        del self._started[environment_id]
        pool = self._pools[pool_id]
        pool.waiting.remove(pool.starting.pop(environment_id))
        if pool.is_empty():
            self._close(pool_id)

    def start_ahead(self, pool_id: str, environment_id: str, now: int) -> None:
        """An environment of provisioned concurrency, with this id, is being started."""
        pool = self._pools.get(pool_id)
        if pool is None:
            pool = self._open(pool_id)
        pool.ahead.add(environment_id)
        pool.provisioned[environment_id] = None
        self._pool_of[environment_id] = pool_id
        self._started[environment_id] = now

    def unprovision(self, environment_id: str) -> bool:
        """The environment need not stay. True if it serves nobody and is taken out, to be retired; else it goes by
        `expired` once it is idle."""
        pool = self._pools[self._pool_of[environment_id]]
        pool.provisioned.pop(environment_id, None)
        if environment_id in pool.idle_provisioned:
            pool.idle_provisioned.remove(environment_id)
            del self._started[environment_id]
            pool.busy.add(environment_id)
            return True
        if environment_id in pool.ahead:
            pool.ahead.remove(environment_id)
            del self._started[environment_id]
            pool.busy.add(environment_id)
            pool.leaving.add(environment_id)
            return True
        pool.surplus.add(environment_id)
        return False

    def answered(self, environment_id: str, now: int) -> None:
        """The environment's caller is answered; it is expected to become available at once."""
        pool = self._pools[self._pool_of[environment_id]]
        if environment_id in pool.busy and environment_id not in pool.leaving:
            pool.draining[environment_id] = now + DRAINING_GRACE_US

    def ends(self, environment_id: str) -> None:
        """A busy environment is to end, and nobody waits for it any more."""
        pool = self._pools[self._pool_of[environment_id]]
        self._started.pop(environment_id, None)
        pool.draining.pop(environment_id, None)
        pool.leaving.add(environment_id)

    def available(self, environment_id: str, now: int) -> str | None:
        """The environment takes an event: the request that it serves now, or None when there is none."""
        pool = self._pools[self._pool_of[environment_id]]
        if environment_id in pool.leaving:
            return None
        pool.starting.pop(environment_id, None)
        pool.ahead.discard(environment_id)
        pool.draining.pop(environment_id, None)
        if pool.waiting:
            pool.busy.add(environment_id)
            return pool.waiting.popleft()
        pool.busy.discard(environment_id)
        if environment_id in pool.provisioned:
            pool.idle_provisioned.append(environment_id)
        else:
            pool.idle.append(environment_id)
            pool.idle_since[environment_id] = now
        return None

    def hand_on(self, environment_id: str, request_id: str) -> HandedOn | None:
        """The environment serves the request. Another one that starts for that is, from now on, for one that waits and
        has none, if there is such a one."""
        pool = self._pools[self._pool_of[environment_id]]
        own = next((one for one, started_for in pool.starting.items() if started_for == request_id), None)
        heir = None if own is None else pool.without_own()
        if own is None or heir is None:
            return None
        pool.starting[own] = heir
        return HandedOn(own, heir)

    def gone(self, environment_id: str) -> str | None:
        """The environment is no more. Returns the request that waits in vain for its start, if any: the one that it was
        started for, or the one that has waited longest of those that none is started for."""
        pool_id = self._pool_of.pop(environment_id, None)
        if pool_id is None:
            return None
        self._started.pop(environment_id, None)
        pool = self._pools[pool_id]
        started_for = pool.starting.pop(environment_id, None)
        pool.busy.discard(environment_id)
        pool.draining.pop(environment_id, None)
        pool.ahead.discard(environment_id)
        pool.provisioned.pop(environment_id, None)
        pool.surplus.discard(environment_id)
        pool.leaving.discard(environment_id)
        if environment_id in pool.idle_provisioned:
            pool.idle_provisioned.remove(environment_id)
        if environment_id in pool.idle_since:
            pool.idle.remove(environment_id)
            del pool.idle_since[environment_id]
        stranded = None
        if started_for is not None and len(pool.waiting) > len(pool.starting):
            stranded = started_for if started_for in pool.waiting else pool.without_own()
        if stranded is not None:
            pool.waiting.remove(stranded)
        if pool.is_empty():
            self._close(pool_id)
        return stranded

    def supersede(self, pool_id: str) -> list[str]:
        """No new invocation will come for the version's pool, nor for those of its tenants. Takes out what nobody has,
        to be retired; the busy ones go by `expired` once they are idle, and an invocation that still waits is served
        first."""
        return [environment_id for pool in self._of_version(pool_id) for environment_id in self._supersede(pool)]

    def started_for(self, environment_id: str) -> str | None:
        """The invocation that it starts for, where that still waits."""
        pool_id = self._pool_of.get(environment_id)
        if pool_id is None:
            return None
        pool = self._pools[pool_id]
        request_id = pool.starting.get(environment_id)
        return request_id if request_id in pool.waiting else None

    def _of_version(self, pool_id: str) -> list[_Pool]:
        pool_ids = (pool_id, *sorted(self._tenants.get(pool_id, ())))
        return [self._pools[each] for each in pool_ids if each in self._pools]

    def _supersede(self, pool: _Pool) -> list[str]:
        pool.superseded = True
        not_needed = [environment_id for environment_id in list(pool.provisioned) if self.unprovision(environment_id)]
        return not_needed + self._take_idle(pool, list(pool.idle))

    def expired(self, idle_since_before: int) -> list[str]:
        """Take out, to be retired, what is idle since before the given time, or superseded."""
        stale: list[str] = []
        for pool in self._pools.values():
            stale += self._take_idle(
                pool,
                [
                    environment_id
                    for environment_id in pool.idle
                    if pool.superseded
                    or environment_id in pool.surplus
                    or pool.idle_since[environment_id] < idle_since_before
                ],
            )
        return stale

    def outlived(self, started_before: int) -> Outlived:
        """What was started before the given time and has been available since. What need not stay is taken out, to be
        retired; a busy one may serve its invocation to the end, and nobody waits for it any more."""
        retired: list[str] = []
        staying: list[str] = []
        for environment_id, started in self._started.items():
            if started >= started_before:
                break
            pool = self._pools[self._pool_of[environment_id]]
            if environment_id in pool.starting or environment_id in pool.ahead:
                continue
            if environment_id in pool.provisioned:
                staying.append(environment_id)
            else:
                retired.append(environment_id)
        for environment_id in retired:
            self._retire(environment_id)
        return Outlived(tuple(retired), tuple(staying))

    def take_least_recent(self) -> str | None:
        """Take out, to be retired, the idle environment that was used longest ago, of those that need not stay."""
        idle = [
            (pool.idle_since[pool.idle[0]], pool_id) for pool_id, pool in self._pools.items() if pool.idle
        ]  # the first on a stack is the one that was used longest ago
        if not idle:
            return None
        pool = self._pools[min(idle)[1]]
        return self._take_idle(pool, [pool.idle[0]])[0]

    def give_up(self, environment_id: str) -> bool:
        """The environment could take an event. Take it out, to be retired, whoever waits for it, if it has served one
        and need not stay."""
        pool = self._pools[self._pool_of[environment_id]]
        if environment_id in pool.starting or environment_id in pool.ahead or environment_id in pool.provisioned:
            return False
        self.ends(environment_id)
        return True

    def starts_too_many(self, environment_id: str) -> str | None:
        """The environment's pool, if more start in it than there are invocations that wait."""
        pool_id = self._pool_of[environment_id]
        pool = self._pools[pool_id]
        return pool_id if len(pool.starting) > len(pool.waiting) else None

    def _retire(self, environment_id: str) -> None:
        pool = self._pools[self._pool_of[environment_id]]
        if environment_id in pool.idle_since:
            self._take_idle(pool, [environment_id])
        else:
            self.ends(environment_id)

    def _take_idle(self, pool: _Pool, environment_ids: list[str]) -> list[str]:
        for environment_id in environment_ids:
            pool.idle.remove(environment_id)
            del pool.idle_since[environment_id]
            del self._started[environment_id]
            pool.busy.add(environment_id)
        return environment_ids

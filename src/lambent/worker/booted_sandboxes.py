"""The sandboxes that are booted ahead of need: boots, hands out and discards what `core.prebooting` decides.

A kind there is here a template, of which functions of a runtime are given sandboxes, or a snapshot, from which those of
one version are restored. Nothing waits for any of this: what is not ready when it is wanted is made then.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from lambent.clock import Clock
from lambent.core.limits import EPHEMERAL_MIB_DEFAULT, MEMORY_MIB_MAX
from lambent.core.prebooting import Prebooting
from lambent.worker.sandbox.driver import Booted, Driver, Sandbox, SandboxError, SandboxSpec, Template
from lambent.worker.sandbox.launched import template_key

_log = logging.getLogger(__name__)

BOOTS_AT_ONCE = 2
BOOTED_WITHIN_S = 6.0
"""One that takes longer is given up: what it is restored from is a customer's, and may not do as it is told."""
PUT_OFF_S, PUT_OFF_AT_MOST_S = 0.02, 0.25
"""How long after a cold start the next boot comes; more cold starts put it off further."""


@dataclass(slots=True)
class _Pool:
    spec: SandboxSpec
    snapshot: Sandbox | None = None
    ready: list[Booted] = field(default_factory=list)


class BootedSandboxes:
    """The pools of one worker. `minimum` is of each template that was ever asked for; `memory_bytes` bounds all of
    them."""

    def __init__(
        self, driver: Driver, clock: Clock, tasks: asyncio.TaskGroup, *, minimum: int, memory_bytes: int
    ) -> None:
        self._driver = driver
        self._clock = clock
        self._tasks = tasks
        self._policy = Prebooting(minimum=minimum, memory_bytes=memory_bytes, boots_at_once=BOOTS_AT_ONCE)
        self._pools: dict[str, _Pool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._put_off_since: float | None = None
        self._closed = False

    def know(self, template: Template) -> None:
        """Sandboxes of this template may be wanted: keep the minimum."""
        if not self._is_idle:
            self._pool_of(template)
            self._act()

    def take(self, spec: SandboxSpec) -> Sandbox | None:
        """One of the spec's template, if there is one; the caller's from here on."""
        return None if self._is_idle else self._take(spec, *self._pool_of(spec.template))

    def take_restored(self, name: str, spec: SandboxSpec, snapshot: Sandbox) -> Sandbox | None:
        """One that is restored from the snapshot of this name, until that is forgotten."""
        if self._is_idle:
            return None
        return self._take(spec, name, self._pools.setdefault(name, _Pool(spec, snapshot)))

    def forget(self, name: str) -> None:
        """The snapshot is gone, or about to go."""
        pool = self._pools.pop(name, None)
        if pool is not None:
            self._policy.forget(name)
            for booted in pool.ready:
                self._tasks.create_task(self._discard(booted))

    def close(self) -> None:
        """Boot no more. What is there goes with the driver."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _is_idle(self) -> bool:
        return self._closed or not self._driver.forks

    def _pool_of(self, template: Template) -> tuple[str, _Pool]:
        kind = template_key(template)
        if kind not in self._pools:
            self._pools[kind] = _Pool(_of_any_function(template))
            self._policy.know(kind)
        return kind, self._pools[kind]

    def _take(self, spec: SandboxSpec, kind: str, pool: _Pool) -> Sandbox | None:
        sandbox = self._driver.claim(pool.ready.pop(), spec) if pool.ready else None
        self._policy.taken(kind, self._clock.monotonic_us(), had_one=sandbox is not None)
        self._act_later()
        return sandbox

    def _act_later(self) -> None:
        """Boot when the cold starts are over, which would wait for the launcher and the kernel's locks meanwhile; or
        when they have gone on for a while."""
        loop = asyncio.get_running_loop()
        if self._put_off_since is None:
            self._put_off_since = loop.time()
        elif loop.time() - self._put_off_since > PUT_OFF_AT_MOST_S:
            return
        self._set_timer(PUT_OFF_S)

    def _act(self) -> None:
        if self._closed:
            return
        self._put_off_since = None
        now = self._clock.monotonic_us()
        plan = self._policy.plan(now)
        for kind in plan.retire:
            self._tasks.create_task(self._discard(self._pools[kind].ready.pop(0)))
        for kind in plan.boot:
            self._tasks.create_task(self._boot(kind, self._pools[kind]))
        if plan.look_again_us is not None:
            self._set_timer((plan.look_again_us - now) / 1_000_000)

    def _set_timer(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._act)

    async def _boot(self, kind: str, pool: _Pool) -> None:
        booted, reason = None, ""
        try:
            async with asyncio.timeout(BOOTED_WITHIN_S):
                booted = await self._driver.boot(pool.spec, lambda name: self._lose(kind, pool, name), pool.snapshot)
        except (SandboxError, TimeoutError) as error:
            reason = str(error) or "it takes too long"
        if self._pools.get(kind) is not pool:  # forgotten meanwhile
            if booted is not None:
                await self._discard(booted)
            return
        if booted is None:
            _log.warning("no sandbox booted ahead", extra={"reason": reason})
            self._policy.failed(kind, self._clock.monotonic_us())
        else:
            pool.ready.append(booted)
            self._policy.booted(kind)
            self._policy.measured(kind, booted.memory_bytes)
        self._act()

    def _lose(self, kind: str, pool: _Pool, name: str) -> None:
        """One has ended that nobody has taken."""
        lost = next((booted for booted in pool.ready if booted.sandbox.sandbox_id == name), None)
        if lost is None or self._pools.get(kind) is not pool:
            return
        pool.ready.remove(lost)
        self._policy.lost(kind, self._clock.monotonic_us())
        self._tasks.create_task(self._discard(lost))
        self._act()

    async def _discard(self, booted: Booted) -> None:
        with contextlib.suppress(SandboxError):  # what the launcher could not take away, its end takes away
            await booted.sandbox.destroy()


def _of_any_function(template: Template) -> SandboxSpec:
    return SandboxSpec("", template, (), memory_mib=MEMORY_MIB_MAX, ephemeral_mib=EPHEMERAL_MIB_DEFAULT)

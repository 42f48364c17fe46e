"""The sandboxes that are booted ahead of need: boots, hands out and discards what `core.prebooting` decides.

A kind there is a template here. Nothing waits for any of this: what is not ready when it is wanted is made then.
"""

import asyncio
import contextlib
import logging

from lambent.clock import Clock
from lambent.core.prebooting import Prebooting
from lambent.worker.sandbox.driver import Booted, Driver, SandboxError, Template
from lambent.worker.sandbox.launched import template_key

_log = logging.getLogger(__name__)

BOOTS_AT_ONCE = 2
PUT_OFF_S, PUT_OFF_AT_MOST_S = 0.02, 0.25
"""How long after a cold start the next boot comes; more cold starts put it off further."""


class BootedSandboxes:
    """The pools of one worker. `minimum` is of each kind that was ever asked for; `memory_bytes` bounds all of them."""

    def __init__(
        self, driver: Driver, clock: Clock, tasks: asyncio.TaskGroup, *, minimum: int, memory_bytes: int
    ) -> None:
        self._driver = driver
        self._clock = clock
        self._tasks = tasks
        self._policy = Prebooting(minimum=minimum, memory_bytes=memory_bytes, boots_at_once=BOOTS_AT_ONCE)
        self._templates: dict[str, Template] = {}
        self._ready: dict[str, list[Booted]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._put_off_since: float | None = None
        self._closed = False

    def know(self, template: Template) -> None:
        """Sandboxes of this template may be wanted: keep the minimum."""
        if self._driver.forks and not self._closed:
            self._policy.know(self._kind(template))
            self._act()

    def take(self, template: Template) -> Booted | None:
        """One of the template, if there is one; the caller's from here on."""
        if not self._driver.forks or self._closed:
            return None
        kind = self._kind(template)
        ready = self._ready[kind]
        booted = ready.pop() if ready else None
        self._policy.taken(kind, self._clock.monotonic_us(), had_one=booted is not None)
        self._act_later()
        return booted

    def _act_later(self) -> None:
        """Boot when the cold starts are over, which would wait for the launcher and the kernel's locks meanwhile; or
        when they have gone on for a while."""
        loop = asyncio.get_running_loop()
        if self._put_off_since is None:
            self._put_off_since = loop.time()
        elif loop.time() - self._put_off_since > PUT_OFF_AT_MOST_S:
            return
        self._set_timer(PUT_OFF_S)

    def close(self) -> None:
        """Boot no more. What is there goes with the driver."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _kind(self, template: Template) -> str:
        kind = template_key(template)
        if kind not in self._templates:
            self._templates[kind] = template
            self._ready[kind] = []
        return kind

    def _act(self) -> None:
        if self._closed:
            return
        self._put_off_since = None
        now = self._clock.monotonic_us()
        plan = self._policy.plan(now)
        for kind in plan.retire:
            self._tasks.create_task(self._discard(self._ready[kind].pop(0)))
        for kind in plan.boot:
            self._tasks.create_task(self._boot(kind))
        if plan.look_again_us is not None:
            self._set_timer((plan.look_again_us - now) / 1_000_000)

    def _set_timer(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._act)

    async def _boot(self, kind: str) -> None:
        try:
            booted = await self._driver.boot(self._templates[kind], lambda name: self._lose(kind, name))
        except SandboxError as error:
            _log.warning("no sandbox booted ahead", extra={"reason": str(error)})
            self._policy.failed(kind, self._clock.monotonic_us())
        else:
            self._ready[kind].append(booted)
            self._policy.booted(kind)
            self._policy.measured(kind, booted.memory_bytes)
        self._act()

    def _lose(self, kind: str, name: str) -> None:
        """One has ended that nobody has taken."""
        lost = next((booted for booted in self._ready[kind] if booted.name == name), None)
        if lost is not None:
            self._ready[kind].remove(lost)
            self._policy.lost(kind)
            self._tasks.create_task(self._discard(lost))
            self._act()

    async def _discard(self, booted: Booted) -> None:
        with contextlib.suppress(SandboxError):  # what the launcher could not take away, its end takes away
            await self._driver.discard(booted)

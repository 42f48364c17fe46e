"""Carries out what `core.snap_start` decides: templates of versions with SnapStart are made and given up, and
environments are restored from them.

Owns the templates, what is restored from one, and who waits to hear what came of one. An environment that waits for a
template has its memory already; a template has its own, and no invocation ever runs in it.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from lambent.core.errors import ModelledError
from lambent.core.snap_start import Hold, Initialise, NotKept, RestoreFrom, Snapshot, Templates
from lambent.invoke.configuration import Serving
from lambent.invoke.launching import Launching
from lambent.invoke.placing import Placing
from lambent.invoke.refusals import not_regenerated
from lambent.worker.messages import ON_DEMAND, TemplateFailed, TemplateMade, TemplateRefused

_log = logging.getLogger(__name__)


class Strand(Protocol):
    def __call__(self, environment_id: str, error: ModelledError, *, try_again: bool = False) -> None:
        """The environment is not to be had: `error` is for whoever waits for it, and has, `try_again`, waited in vain
        before."""


class Restoring:
    """`is_waited_for` says whether an invocation waits for an environment of a pool; `retire` tells the worker to end a
    template; `strand` is told of an environment that is not to be had, and why; `supersede` gives up a version. Nothing
    is made for nobody in particular before `open`, nor after `close`."""

    def __init__(
        self,
        placing: Placing,
        launching: Launching,
        *,
        new_id: Callable[[], str],
        is_waited_for: Callable[[str], bool],
        retire: Callable[[str], None],
        strand: Strand,
        supersede: Callable[[str], None],
    ) -> None:
        self._placing = placing
        self._launching = launching
        self._new_id = new_id
        self._is_waited_for = is_waited_for
        self._retire = retire
        self._strand = strand
        self._supersede = supersede
        self._templates = Templates()
        self._servings: dict[str, Serving] = {}
        """What is to have a template, by pool."""
        self._restored: set[str] = set()
        """The environments that were restored from one."""
        self._outgoing: dict[str, None] = {}
        """The pools that are superseded, and have a template as long as somebody waits."""
        self._wishes: dict[str, asyncio.Future[Snapshot]] = {}
        """Of those that wait to hear what came of a template, by pool."""
        self._is_open = False
        self.pool_of = self._templates.pool_of
        self.held = self._templates.held

    def __contains__(self, pool_id: str) -> bool:
        """Whether environments of the pool are restored from a template."""
        return pool_id in self._templates

    def has_restored(self, environment_id: str) -> bool:
        return environment_id in self._restored

    def open(self) -> None:
        self._is_open = True
        self.make_missing()

    def close(self) -> None:
        self._is_open = False

    # Versions -----------------------------------------------------------------------------------------------------

    def want(self, serving: Serving) -> None:
        """From now on environments of the version are restored from a template."""
        self._templates.want(serving.pool_id)
        self._servings[serving.pool_id] = serving
        self.make_missing()

    async def snapshot(self, serving: Serving) -> Snapshot:
        """Make a template of the version, from which its environments are restored then. What the machine fails at is
        tried again. If the function can not be initialised, or the caller gives up, nothing of it stays. Raises
        NotKept, and nothing stays then."""
        pool_id = serving.pool_id
        known = self._templates.want(pool_id)
        self._servings[pool_id] = serving
        if known is not None:
            return known
        wish: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._wishes[pool_id] = wish
        template_id = self._templates.make(pool_id, self._new_id)
        if template_id is not None:
            self._make(pool_id, template_id)
        try:
            snapshot = await wish
        except (asyncio.CancelledError, NotKept):
            self._supersede(pool_id)
            raise
        if snapshot is Snapshot.FAILED:
            self._supersede(pool_id)
        return snapshot

    def superseded(self, pool_id: str) -> None:
        """No new invocation will come for the version. Who waits is served by what is restored from its template."""
        if self._is_waited_for(pool_id) and self._templates.snapshot_of(pool_id) is Snapshot.MADE:
            self._outgoing[pool_id] = None
        else:
            self._release(pool_id)

    def release_outgoing(self) -> None:
        """Give up the templates that somebody has waited for, and nobody waits for any more."""
        for pool_id in [one for one in self._outgoing if not self._is_waited_for(one)]:
            self._release(pool_id)

    def _release(self, pool_id: str) -> None:
        self._outgoing.pop(pool_id, None)
        released = self._templates.release(pool_id)
        if released.template_id is not None:
            self._retire(released.template_id)
        for environment_id in released.held:
            self._launching.initialise(self._servings[pool_id], environment_id, ON_DEMAND)
        self._servings.pop(pool_id, None)
        self._wishes.pop(pool_id, None)

    # Templates and environments -----------------------------------------------------------------------------------

    def start(self, serving: Serving, environment_id: str, initialization_type: str) -> None:
        """Start an environment of a pool that is in here, or have it wait for its template."""
        match self._templates.start(serving.pool_id, environment_id, self._new_id):
            case Initialise():
                self._launching.initialise(serving, environment_id, initialization_type)
            case RestoreFrom(template_id):
                self._restore(serving, environment_id, template_id)
            case Hold(make):
                if make is not None:
                    self._make(serving.pool_id, make)

    def make_missing(self) -> None:
        """Make some of the templates that are to be there, and are not."""
        if not self._is_open:
            return
        for pool_id, template_id in self._templates.to_make(self._new_id):
            self._make(pool_id, template_id)

    def came(self, event: TemplateMade | TemplateFailed | TemplateRefused) -> None:
        """What has come of a template. Its credentials end with its initialisation: nothing that is restored from it is
        to have them."""
        template_id = event.environment_id
        self._launching.revoke(template_id)
        pool_id = self._templates.pool_of(template_id)
        if pool_id is None:
            return  # it is not wanted any more, and was told so
        serving = self._servings[pool_id]
        match event:
            case TemplateMade():
                _log.info("template made", extra={"pool": pool_id, "memory_bytes": event.memory_bytes})
                for environment_id in self._templates.made(template_id):
                    self._restore(serving, environment_id, template_id)
                self._fulfil(pool_id, Snapshot.MADE)
            case TemplateRefused():
                self._placing.gone(template_id)
                for environment_id in self._templates.impossible(template_id):
                    self._launching.initialise(serving, environment_id, ON_DEMAND)
                self._fulfil(pool_id, Snapshot.NORMALLY)
            case TemplateFailed(_, fault):
                reason = fault or "its initialisation failed"
                _log.warning("template not made", extra={"pool": pool_id, "reason": reason})
                for environment_id in self._templates.failed(template_id):
                    self._strand(environment_id, not_regenerated(), try_again=bool(fault))
                self._fulfil(pool_id, NotKept(fault) if fault else Snapshot.FAILED)
        self.make_missing()

    def gone(self, environment_id: str, error: ModelledError, *, try_again: bool) -> None:
        """An environment is no more, or never was; it may have been a template. `error` is for whoever waits for what
        was to be restored from that, and has, `try_again`, waited in vain before."""
        self._restored.discard(environment_id)
        if self._templates.pool_of(environment_id) is not None:
            for held in self._templates.gone(environment_id):
                self._strand(held, error, try_again=try_again)

    def _make(self, pool_id: str, template_id: str) -> None:
        serving = self._servings[pool_id]
        self._placing.ask_ahead(serving, template_id, partial(self._launching.make_template, serving, template_id))
        self._placing.settle()

    def _restore(self, serving: Serving, environment_id: str, template_id: str) -> None:
        self._restored.add(environment_id)
        self._launching.restore(serving, environment_id, template_id)

    def _fulfil(self, pool_id: str, outcome: Snapshot | NotKept) -> None:
        wish = self._wishes.pop(pool_id, None)
        if wish is None or wish.done():
            return
        if isinstance(outcome, NotKept):
            wish.set_exception(outcome)
        else:
            wish.set_result(outcome)

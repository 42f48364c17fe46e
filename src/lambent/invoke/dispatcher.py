"""The dispatcher of a partition: from an admitted invocation to its outcome.

Owns the partition's admission counts, its assignment state and what is in flight. It speaks to the worker only by
`worker.messages`, so that the worker may be in another process; it decides nothing itself that `core` can decide.
What an environment is doing is the worker's to know.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from lambent.clock import Clock, Timer, Timers
from lambent.core.admission import ACCOUNT_LIMIT, Admission, Limits, Provision, Refusal, Share
from lambent.core.arn import runtime_version_arn
from lambent.core.assignment import Assignment, PoolCensus, StartOne, Use, Wait
from lambent.core.credentials import Credentials
from lambent.core.errors import (
    ModelledError,
    ServiceException,
    SnapStartException,
    SnapStartRegenerationFailureException,
    SnapStartTimeoutException,
    TooManyRequestsException,
)
from lambent.core.function import FunctionName, FunctionVersion
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.network import Networks
from lambent.core.placement import Policy
from lambent.core.provisioned_concurrency import Goals, Progress
from lambent.core.record import Record
from lambent.core.snap_start import Hold, Initialise, RestoreFrom, Snapshot, Templates
from lambent.invoke.configuration import Serving
from lambent.invoke.placing import Placing
from lambent.observe.ledger import Began, Ended, Entry
from lambent.worker.messages import (
    ON_DEMAND,
    PROVISIONED,
    SNAP_START,
    TOOK_UNKNOWN,
    Answered,
    Available,
    Command,
    EnvironmentSpec,
    Event,
    Finished,
    Gone,
    Initialised,
    LogLines,
    MakeTemplate,
    MemoryMeasured,
    Retire,
    Run,
    Start,
    TemplateFailed,
    TemplateMade,
    TemplateRefused,
)

_log = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often environments are looked through. One lives up to this much longer than the settings say."""

NOT_REGENERATED = (
    "Lambda couldn't regenerate the SnapStart snapshot for the function. Wait for Lambda to retry, or update the "
    "function's configuration to trigger a new snapshot."
)

_LOST = Report(Outcome.LOST, 0, 0)
_ENDS_THE_PROGRAM = (Outcome.CRASH, Outcome.TIMEOUT)


class LogSink(Protocol):
    def append(
        self, account: str, region: str, group: str, stream: str, lines: tuple[tuple[int, str], ...]
    ) -> None: ...


class EntrySink(Protocol):
    """The ledger."""

    def append(self, entry: Entry) -> bool: ...

    def flush(self) -> None: ...


class CredentialSource(Protocol):
    """Gives an environment the session of its function's role, and takes it back."""

    def issue(self, account: str, role_arn: str, session_name: str) -> Credentials: ...

    def revoke(self, access_key_id: str) -> None: ...


class Completed(Record, frozen=True):
    """An invocation's result for its caller. `tail` is the end of its log, when asked for."""

    answer: Answer
    tail: bytes | None = None


class Census(Record, frozen=True):
    """What a dispatcher knows of: units of concurrency in use by function, invocations that are not over, the
    environments that the worker has, templates aside, and the pools that they are in. `memory_mib` is the MemorySize of
    a pool's environments together, its template included."""

    in_use: dict[FunctionName, int]
    unfinished: int
    environments: set[str]
    pools: list[PoolCensus]
    memory_mib: dict[str, int]


class _InFlight(msgspec.Struct, eq=False):
    invocation: Invocation
    serving: Serving
    tell: Callable[[Completed | ModelledError], None]
    unit: Share | Provision
    """Whose unit of concurrency it has, until it is answered."""
    told: bool = False
    answer: Answer | None = None


class Dispatcher:
    """`invoke` is called by the front end; `on_event` by the worker's link; `send` goes to the worker."""

    def __init__(
        self,
        *,
        clock: Clock,
        timers: Timers,
        ledger: EntrySink,
        logs: LogSink,
        credentials: CredentialSource,
        networks: Networks,
        new_id: Callable[[], str],
        limits: Limits,
        policy: Policy,
        idle_timeout_s: int,
        maximal_life_s: int,
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._ledger = ledger
        self._logs = logs
        self._credentials = credentials
        self._networks = networks
        self._new_id = new_id
        self._idle_timeout_us = idle_timeout_s * 1_000_000
        self._maximal_life_us = maximal_life_s * 1_000_000
        self._admission = Admission(limits)
        self._assignment = Assignment()
        self._placing = Placing(
            clock,
            timers,
            policy,
            take_idle=self._assignment.take_least_recent,
            retire=self._retire,
            give_up=self._not_placed,
        )
        self._goals = Goals()
        self._provisioned: dict[str, Serving] = {}
        """What is to be initialised ahead, by pool."""
        self._templates = Templates()
        self._snapshotted: dict[str, Serving] = {}
        """What is to have a template, by pool."""
        self._restored: set[str] = set()
        """The environments that were restored from one."""
        self._outgoing: dict[str, None] = {}
        """The pools that are superseded, and have a template as long as somebody waits."""
        self._wishes: dict[str, asyncio.Future[Snapshot]] = {}
        """Of those that wait to hear what came of a template, by pool."""
        self._in_flight: dict[str, _InFlight] = {}
        self._running: dict[str, str] = {}
        """The request that an environment serves, by environment."""
        self._unwritten: dict[str, str] = {}
        """The one before it, whose end the worker has not told yet, by environment."""
        self._keys: dict[str, str] = {}
        """The access key that an environment was given, by environment."""
        self._sweep: Timer | None = None
        self._drained: asyncio.Future[None] | None = None
        """While the dispatcher closes: done when nothing is in flight any more."""
        self.send: Callable[[Command], None] = _no_worker

    def start(self) -> None:
        """The worker is there: initialise what is to be initialised ahead, and look after idle environments."""
        self._sweep = self._timers.call_later(SWEEP_S, self._look_after)
        for pool_id in self._goals.pools():
            self._start_ahead(pool_id)
        self._make_templates()

    async def close(self, grace_s: float) -> None:
        """Wait until what runs is over and measured, up to the grace, and stop retiring environments. The
        environments end with the worker; new calls are the caller's to stop."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._in_flight:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._drained,), timeout=grace_s)
        self._placing.close()

    # From the front end -----------------------------------------------------------------------------------------

    def invoke(
        self,
        serving: Serving,
        invocation: Invocation,
        tell: Callable[[Completed | ModelledError], None],
        *,
        queued: bool = False,
    ) -> None:
        """Run the invocation, and tell its result once. Raises TooManyRequestsException, with nothing told. An event
        that comes from a queue is not held to a rate, and does not wait until memory is free."""
        now = self._clock.monotonic_us()
        unit = self._admission.admit(serving.version.function, serving.version.version, now, queued=queued)
        if isinstance(unit, Refusal):
            raise _too_many(unit)
        entry = _InFlight(invocation, serving, tell, unit)
        self._in_flight[invocation.request_id] = entry
        refusal = self._find_environment(entry, now, queued=queued)
        if refusal is not None:
            self._leave(invocation.request_id)
            raise _too_many(refusal)

    def _find_environment(self, entry: _InFlight, now: int, *, queued: bool = False) -> Refusal | None:
        serving = entry.serving
        decision = self._assignment.arrive(serving.pool_id, entry.invocation.request_id, self._new_id, now)
        if isinstance(decision, Use):
            self._run(entry, decision.environment_id)
            return None
        if isinstance(decision, Wait):
            self._wait(serving, decision)
            return None
        refusal = self._supply(serving, decision.environment_id, now, queued=queued)
        if refusal is not None:
            self._assignment.withdraw(decision.environment_id)
        return refusal

    def knows(self, request_id: str) -> bool:
        """Whether an attempt of the request is not over, be it answered."""
        return request_id in self._in_flight

    def supersede(self, pool_id: str) -> None:
        for environment_id in self._assignment.supersede(pool_id):
            self._retire(environment_id)
        if self._assignment.is_waited_for(pool_id) and self._templates.snapshot_of(pool_id) is Snapshot.MADE:
            self._outgoing[pool_id] = None  # who waits is served by what is restored from it
        else:
            self._release_template(pool_id)

    def _release_template(self, pool_id: str) -> None:
        self._outgoing.pop(pool_id, None)
        released = self._templates.release(pool_id)
        if released.template_id is not None:
            self._retire(released.template_id)
        for environment_id in released.held:
            self._launch(self._snapshotted[pool_id], environment_id, ON_DEMAND)
        self._snapshotted.pop(pool_id, None)
        self._wishes.pop(pool_id, None)

    def reserve(self, function: FunctionName, reserved: int | None) -> None:
        """The function has so much concurrency of its own, or none."""
        self._admission.reserve(function, reserved)

    def provision(self, serving: Serving, count: int) -> None:
        """From now on so many environments of the version are initialised ahead of need."""
        version = serving.version
        self._admission.provision(version.function, version.version, count)
        if count:
            self._provisioned[serving.pool_id] = serving
        else:
            self._provisioned.pop(serving.pool_id, None)
        for environment_id in self._goals.want(serving.pool_id, count):
            self._release(environment_id)
        self._start_ahead(serving.pool_id)

    def progress(self, pool_id: str) -> Progress:
        """How far the environments of a pool that are to be initialised ahead have come."""
        return self._goals.progress(pool_id)

    def restore(self, serving: Serving) -> None:
        """From now on environments of the version are restored from a template."""
        self._templates.want(serving.pool_id)
        self._snapshotted[serving.pool_id] = serving
        self._make_templates()

    async def snapshot(self, serving: Serving) -> Snapshot:
        """Make a template of the version, from which its environments are restored then. What the machine fails at is
        tried again. If the function can not be initialised, or the caller gives up, nothing of it stays."""
        pool_id = serving.pool_id
        known = self._templates.want(pool_id)
        self._snapshotted[pool_id] = serving
        if known is not None:
            return known
        wish: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._wishes[pool_id] = wish
        template_id = self._templates.make(pool_id, self._new_id)
        if template_id is not None:
            self._make_template(pool_id, template_id)
        try:
            snapshot = await wish
        except asyncio.CancelledError:
            self.supersede(pool_id)
            raise
        if snapshot is Snapshot.FAILED:
            self.supersede(pool_id)
        return snapshot

    def forget(self, function: FunctionName) -> None:
        """The function is gone."""
        self._admission.forget(function)

    def census(self) -> Census:
        memory_mib: dict[str, int] = {}
        for environment_id, size_mib in self._placing.placed().items():
            pool_id = self._assignment.pool_of(environment_id) or self._templates.pool_of(environment_id)
            if pool_id is not None:
                memory_mib[pool_id] = memory_mib.get(pool_id, 0) + size_mib
        return Census(
            self._admission.in_use(),
            len(self._in_flight),
            self._assignment.environments() - self._templates.held() - self._placing.waiting(),
            self._assignment.census(),
            memory_mib,
        )

    # Decisions carried out --------------------------------------------------------------------------------------

    def _supply(self, serving: Serving, environment_id: str, now: int, *, queued: bool = False) -> Refusal | None:
        """Start an environment for an invocation when there is memory for it."""
        if not self._place(serving, environment_id, serving.pool_id, partial(self._start, serving, environment_id)):
            return ACCOUNT_LIMIT
        refusal = self._admission.scale_out(serving.version.function, now)
        if refusal is None:
            self._placing.settle()
            if not (queued and self._placing.is_held_up(environment_id)):
                return None
            refusal = ACCOUNT_LIMIT
        self._placing.gone(environment_id)
        return refusal

    def _place(self, serving: Serving, environment_id: str, pool_id: str, begin: Callable[[], None]) -> bool:
        size_mib = serving.version.configuration.memory_mib
        return self._placing.ask(environment_id, serving.arn, size_mib, begin, pool_id)

    def _wait(self, serving: Serving, decision: Wait | Use) -> None:
        if isinstance(decision, Wait) and decision.recheck_us is not None:
            delay_s = max(0, decision.recheck_us - self._clock.monotonic_us()) / 1_000_000
            self._timers.call_later(delay_s, self._recheck, serving)

    def _recheck(self, serving: Serving) -> None:
        while True:
            now = self._clock.monotonic_us()
            decision = self._assignment.recheck(serving.pool_id, self._new_id, now)
            if not isinstance(decision, StartOne):
                self._wait(serving, decision)
                return
            refusal = self._supply(serving, decision.environment_id, now)
            if refusal is not None:
                self._strand(decision.environment_id, _too_many(refusal))

    def _start_ahead(self, pool_id: str) -> None:
        if self._sweep is None:
            return  # not started yet, or leaving
        for environment_id in self._goals.to_start(pool_id, self._new_id):
            serving = self._provisioned[pool_id]
            if serving.version.configuration.unreadable is not None:
                self._goals.failed(environment_id)  # it is not to run without its environment variables
                continue
            self._assignment.start_ahead(pool_id, environment_id, self._clock.monotonic_us())
            if not self._place(serving, environment_id, "", partial(self._start, serving, environment_id, PROVISIONED)):
                self._not_placed(environment_id)
        self._placing.settle()

    def _start(self, serving: Serving, environment_id: str, initialization_type: str = ON_DEMAND) -> None:
        if serving.pool_id not in self._templates:
            self._launch(serving, environment_id, initialization_type)
            return
        match self._templates.start(serving.pool_id, environment_id, self._new_id):
            case Initialise():
                self._launch(serving, environment_id, initialization_type)
            case RestoreFrom(template_id):
                self._launch(serving, environment_id, SNAP_START, template_id)
            case Hold(make):
                if make is not None:
                    self._make_template(serving.pool_id, make)

    def _launch(
        self, serving: Serving, environment_id: str, initialization_type: str, template_id: str | None = None
    ) -> None:
        if template_id is not None:
            self._restored.add(environment_id)
        self.send(Start(environment_id, self._spec(serving, environment_id, initialization_type, template_id)))

    def _make_templates(self) -> None:
        if self._sweep is None:
            return  # not started yet, or leaving
        for pool_id, template_id in self._templates.to_make(self._new_id):
            self._make_template(pool_id, template_id)

    def _make_template(self, pool_id: str, template_id: str) -> None:
        serving = self._snapshotted[pool_id]
        if not self._place(serving, template_id, "", partial(self._send_template, serving, template_id)):
            self._not_placed(template_id)
        self._placing.settle()

    def _send_template(self, serving: Serving, template_id: str) -> None:
        self.send(MakeTemplate(template_id, self._spec(serving, template_id, SNAP_START, None)))

    def _retire(self, environment_id: str) -> None:
        if environment_id in self._placing:
            self._gone(Gone(environment_id))  # the worker has never heard of it
            return
        self._placing.leaves(environment_id)
        self.send(Retire(environment_id))

    def _not_placed(self, environment_id: str) -> None:
        """There is no memory for the environment."""
        self._lose(environment_id, "The machine has no memory for it.", _too_many(ACCOUNT_LIMIT))

    def _issue(self, version: FunctionVersion, environment_id: str, *, by_authorization: bool) -> Credentials:
        credentials = self._credentials.issue(
            version.function.account, version.configuration.role, _session_name(version.function.name)
        )
        self._keys[environment_id] = credentials.access_key_id
        return replace(credentials, authorization=self._new_id()) if by_authorization else credentials

    def _revoke(self, environment_id: str) -> None:
        key = self._keys.pop(environment_id, None)
        if key is not None:
            self._credentials.revoke(key)

    def _spec(
        self, serving: Serving, environment_id: str, initialization_type: str, template_id: str | None
    ) -> EnvironmentSpec:
        version = serving.version
        configuration = version.configuration
        function = version.function
        return EnvironmentSpec(
            account=function.account,
            region=function.region,
            function_name=function.name,
            version=version.version,
            runtime=configuration.runtime,
            handler=configuration.handler,
            memory_mib=configuration.memory_mib,
            timeout_ms=configuration.timeout_s * 1000,
            ephemeral_mib=configuration.ephemeral_mib,
            package=version.package.digest,
            variables=dict(configuration.variables or {}),
            credentials=self._issue(version, environment_id, by_authorization=initialization_type == SNAP_START),
            log_group=configuration.logging.log_group,
            log_stream=_stream_name(self._clock.wall_ms(), version.version, environment_id),
            log_format=configuration.logging.log_format,
            application_log_level=configuration.logging.application_level,
            system_log_level=configuration.logging.system_level,
            initialization_type=initialization_type,
            runtime_version_arn=runtime_version_arn(function.region, configuration.runtime),
            layers=tuple(layer.package.digest for layer in configuration.layers),
            tenant_id=serving.tenant_id,
            template_id=template_id,
            network=self._networks.of(function, configuration.stored),
        )

    def _run(self, entry: _InFlight, environment_id: str) -> None:
        version = entry.serving.version
        invocation = entry.invocation
        before = self._running.get(environment_id)
        if before is not None:
            self._unwritten[environment_id] = before
        self._running[environment_id] = invocation.request_id
        self.send(Run(environment_id, invocation))
        self._note(
            Began(
                request_id=invocation.request_id,
                account=version.function.account,
                region=version.function.region,
                function=version.function.name,
                version=version.version,
                memory_mib=version.configuration.memory_mib,
                architecture=version.architectures[0],
                wall_ms=self._clock.wall_ms(),
            )
        )

    def _note(self, entry: Entry) -> None:
        """The entry is in the ledger when this turn of the loop is over: no answer can be taken before."""
        if self._ledger.append(entry):
            self._timers.call_soon(self._ledger.flush)

    def _look_after(self) -> None:
        """Retire what is idle, or has lived, for too long, and start anew what is to be there and is not."""
        now = self._clock.monotonic_us()
        for environment_id in self._assignment.expired(now - self._idle_timeout_us):
            self._retire(environment_id)
        outlived = self._assignment.outlived(now - self._maximal_life_us)
        for environment_id in outlived.retired:
            self._retire(environment_id)
        for environment_id in outlived.staying:
            self._goals.outlived(environment_id)
        self._sweep = self._timers.call_later(SWEEP_S, self._look_after)
        for pool_id in [one for one in self._outgoing if not self._assignment.is_waited_for(one)]:
            self._release_template(pool_id)
        for pool_id in self._goals.pools():
            self._goals.retry(pool_id)
            self._start_ahead(pool_id)
        self._make_templates()

    # From the worker --------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        if isinstance(event, Answered):
            self._answered(event)
        elif isinstance(event, Finished):
            self._finished(event.environment_id, event.request_id, event.report)
        elif isinstance(event, Available):
            if self._placing.is_waited_for:
                self._available_while_others_wait(event.environment_id)
                return
            request_id = self._assignment.available(event.environment_id, self._clock.monotonic_us())
            if request_id is not None:
                self._run(self._in_flight[request_id], event.environment_id)
        elif isinstance(event, Initialised):
            self._initialised(event)
        elif isinstance(event, LogLines):
            self._logs.append(event.account, event.region, event.log_group, event.log_stream, event.lines)
        elif isinstance(event, Gone):
            self._gone(event)
        elif isinstance(event, MemoryMeasured):
            self._placing.measured(event.memory_mib, event.available_mib)
        else:
            self._template_came(event)

    def _available_while_others_wait(self, environment_id: str) -> None:
        """As ever, but that it may have to give way, and that nobody may need what waits for its memory any more."""
        now = self._clock.monotonic_us()
        if self._placing.gives_way(environment_id, now) and self._assignment.give_up(environment_id):
            self._retire(environment_id)
            return
        request_id = self._assignment.available(environment_id, now)
        if request_id is not None:
            self._run(self._in_flight[request_id], environment_id)
            pool_id = self._assignment.starts_too_many(environment_id)
            not_needed = None if pool_id is None else self._placing.not_needed(pool_id)
            if not_needed is not None:
                self._gone(Gone(not_needed))
        self._placing.settle()

    def _template_came(self, event: TemplateMade | TemplateFailed | TemplateRefused) -> None:
        """What has come of a template. Its credentials end with its initialisation: nothing that is restored from it is
        to have them."""
        template_id = event.environment_id
        self._revoke(template_id)
        pool_id = self._templates.pool_of(template_id)
        if pool_id is None:
            return  # it is not wanted any more, and was told so
        serving = self._snapshotted[pool_id]
        match event:
            case TemplateMade():
                _log.info("template made", extra={"pool": pool_id, "memory_bytes": event.memory_bytes})
                for environment_id in self._templates.made(template_id):
                    self._launch(serving, environment_id, SNAP_START, template_id)
                self._fulfil(pool_id, Snapshot.MADE)
            case TemplateRefused():
                self._placing.gone(template_id)
                for environment_id in self._templates.impossible(template_id):
                    self._launch(serving, environment_id, ON_DEMAND)
                self._fulfil(pool_id, Snapshot.NORMALLY)
            case TemplateFailed():
                _log.warning("template not made", extra={"pool": pool_id, "reason": "its initialisation failed"})
                for environment_id in self._templates.failed(template_id):
                    self._strand(environment_id, SnapStartRegenerationFailureException(NOT_REGENERATED))
                self._fulfil(pool_id, Snapshot.FAILED)
        self._make_templates()

    def _fulfil(self, pool_id: str, snapshot: Snapshot) -> None:
        wish = self._wishes.pop(pool_id, None)
        if wish is not None and not wish.done():
            wish.set_result(snapshot)

    def _strand(self, environment_id: str, error: ModelledError) -> None:
        """The environment is not to be had: whoever waits for it in vain is told so."""
        self._placing.gone(environment_id)
        request_id = self._assignment.gone(environment_id)
        if request_id is not None:
            _tell(self._leave(request_id), error)

    def _initialised(self, event: Initialised) -> None:
        if event.environment_id not in self._goals:
            return
        if event.failed:
            self._goals.failed(event.environment_id)
            self._release(event.environment_id)
        else:
            pool_id = self._goals.initialised(event.environment_id)
            for environment_id in self._goals.replaced(pool_id):
                self._release(environment_id)
            self._start_ahead(pool_id)

    def _answered(self, event: Answered) -> None:
        entry = self._in_flight[event.request_id]
        self._assignment.answered(event.environment_id, self._clock.monotonic_us())
        entry.answer = event.answer
        # Before the caller has the answer: it may call again at once.
        entry.unit.answered()
        if not entry.invocation.wants_tail:
            entry.told = True
            entry.tell(Completed(event.answer))

    def _finished(self, environment_id: str, request_id: str, report: Report) -> None:
        entry = self._leave(request_id)
        if self._running.get(environment_id) == request_id:
            del self._running[environment_id]
        else:
            self._unwritten.pop(environment_id, None)
        if report.outcome in _ENDS_THE_PROGRAM:
            if environment_id in self._goals:
                self._replace(environment_id)
            elif environment_id in self._restored:
                self._assignment.ends(environment_id)
        self._note(self._end_of(request_id, report))
        if entry.answer is not None:
            _tell(entry, Completed(entry.answer, report.tail))
        else:
            _tell(entry, ServiceException("The execution environment was lost."))

    def _run_again(self, environment_id: str, request_id: str) -> None:
        """The invocation was handed to an environment that was about to go, and has not begun."""
        del self._running[environment_id]
        self._note(self._end_of(request_id, _LOST))
        refusal = self._find_environment(self._in_flight[request_id], self._clock.monotonic_us())
        if refusal is not None:
            _tell(self._leave(request_id), _too_many(refusal))

    def _end_of(self, request_id: str, report: Report) -> Ended:
        return Ended(
            request_id=request_id,
            init_us=report.init_us,
            duration_us=report.duration_us,
            outcome=report.outcome.value,
            max_memory_mib=report.max_memory_mib,
            restore_us=None if report.restoration is None else report.restoration.duration_us,
            wall_ms=self._clock.wall_ms(),
        )

    def _leave(self, request_id: str) -> _InFlight:
        """The invocation is over."""
        entry = self._in_flight.pop(request_id)
        if entry.answer is None:
            entry.unit.release()
        else:
            entry.unit.over()
        if self._drained is not None and not self._in_flight and not self._drained.done():
            # After the rest of this event, which writes its end down.
            self._timers.call_soon(_done, self._drained)
        return entry

    def _replace(self, environment_id: str) -> None:
        """The environment is not initialised any more: another one takes its place, at the next look."""
        self._goals.gone(environment_id, "")
        self._release(environment_id)

    def _release(self, environment_id: str) -> None:
        """The environment need not stay: it goes now, or when its invocation is over."""
        if self._assignment.unprovision(environment_id):
            self._retire(environment_id)

    def _gone(self, event: Gone) -> None:
        if event.reason:
            _log.error("environment lost", extra={"environment": event.environment_id, "reason": event.reason})
        environment_id = event.environment_id
        unwritten, running = self._unwritten.get(environment_id), self._running.get(environment_id)
        if unwritten is not None:
            self._finished(environment_id, unwritten, _LOST)
        if running is not None and event.took in (TOOK_UNKNOWN, running):
            self._finished(environment_id, running, _LOST)
            running = None
        self._lose(environment_id, event.reason, _fault(event))
        if running is not None:
            self._run_again(environment_id, running)

    def _lose(self, environment_id: str, reason: str, error: ModelledError) -> None:
        """The environment is no more, or never was: `error` is for whoever waits for it in vain."""
        if environment_id in self._goals:
            self._goals.gone(environment_id, reason)
        self._revoke(environment_id)
        self._restored.discard(environment_id)
        self._strand(environment_id, error)
        if self._templates.pool_of(environment_id) is not None:
            for held in self._templates.gone(environment_id):
                self._strand(held, error)
        self._placing.settle()


def _too_many(refusal: Refusal) -> TooManyRequestsException:
    """Source: API reference, Invoke, TooManyRequestsException."""
    return TooManyRequestsException(
        "Rate Exceeded.", Reason=refusal.reason, retryAfterSeconds=str(refusal.retry_after_s)
    )


def _fault(event: Gone) -> ModelledError:
    """Why an invocation that waited for the environment never ran."""
    match event.restoration:
        case None:
            return ServiceException(f"No execution environment could be started: {event.reason}")
        case Outcome.TIMEOUT:
            return SnapStartTimeoutException("Lambda couldn't restore the snapshot within the timeout limit.")
        case _:
            return SnapStartException(
                "The afterRestore() runtime hook encountered an error. For more information, check the Amazon "
                "CloudWatch logs."
            )


def _no_worker(command: Command) -> None:
    raise RuntimeError(f"{type(command).__name__} before a worker was connected")


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _tell(entry: _InFlight, result: Completed | ModelledError) -> None:
    if not entry.told:
        entry.told = True
        entry.tell(result)


def _session_name(function_name: str) -> str:
    """A role session's name has two characters at least. Source: developer guide, "Execution role"."""
    return function_name if len(function_name) > 1 else function_name + "@lambda_function"


def _stream_name(wall_ms: int, version: str, environment_id: str) -> str:
    """`YYYY/MM/DD/[version]32-hex-digits`, the date in UTC. Environment ids are 32 hexadecimal digits."""
    day = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return f"{day:%Y/%m/%d}/[{version}]{environment_id}"

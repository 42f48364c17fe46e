"""The dispatcher of a partition: from an admitted invocation to its outcome.

Owns the partition's admission counts, its assignment state and what is in flight. It speaks to the worker only by
`worker.messages`, so that the worker may be in another process; it decides nothing itself that `core` can decide.
What an environment is doing is the worker's to know.

What an invocation does not pass by on its way is beside: `placing` has environments wait for memory, `launching` tells
the worker what one is made of, `restoring` has templates for those with SnapStart, `starting_ahead` those of
provisioned concurrency. `attempts` writes each beginning and end down.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from lambent.clock import Clock, Timer, Timers
from lambent.core.admission import ACCOUNT_LIMIT, Admission, Limits, Provision, Refusal, Share
from lambent.core.assignment import Assignment, PoolCensus, StartOne, Use, Wait, version_pool
from lambent.core.errors import ModelledError, ServiceException
from lambent.core.function import FunctionName
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.network import Networks
from lambent.core.placement import EVENT_WAIT_US, Policy
from lambent.core.record import Record
from lambent.invoke.attempts import Attempts, EntrySink
from lambent.invoke.configuration import Serving
from lambent.invoke.launching import CredentialSource, Launching
from lambent.invoke.placing import Placing
from lambent.invoke.refusals import not_started, too_many
from lambent.invoke.restoring import Restoring
from lambent.invoke.starting_ahead import StartingAhead
from lambent.worker.messages import (
    ON_DEMAND,
    TOOK_UNKNOWN,
    Answered,
    Available,
    Command,
    Event,
    Finished,
    Gone,
    Initialised,
    LogLines,
    MemoryMeasured,
    Retire,
    Run,
)

_log = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often environments are looked through. One lives up to this much longer than the settings say."""

_LOST = Report(Outcome.LOST, 0, 0)
_ENDS_THE_PROGRAM = (Outcome.CRASH, Outcome.TIMEOUT)


class LogSink(Protocol):
    def append(
        self, account: str, region: str, group: str, stream: str, lines: tuple[tuple[int, str], ...]
    ) -> None: ...


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
    until_us: int
    """How long it may wait for memory."""
    queued: bool
    """It comes from a queue."""
    tried_again: bool = False
    """The environment that was started for it was lost before it came to be, and another one was started."""
    told: bool = False
    answer: Answer | None = None


class Dispatcher:
    """`invoke` is called by the front end; `on_event` by the worker's link; `send` goes to the worker. What is to be
    there, be it called or not, is told by the configuration, and by whoever publishes a version."""

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
        self._logs = logs
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
            idle=self._assignment.idle,
            stays=self._stays,
        )
        self._wait_us = policy.wait_us
        self._launching = Launching(
            clock, credentials, networks, new_id=new_id, send=lambda command: self.send(command)
        )
        self._restoring = Restoring(
            self._placing,
            self._launching,
            new_id=new_id,
            is_waited_for=self._assignment.is_waited_for,
            retire=self._retire,
            strand=self._strand,
            supersede=self.supersede,
        )
        self._ahead = StartingAhead(
            clock, self._assignment, self._placing, new_id=new_id, start=self._start, retire=self._retire
        )
        self._attempts = Attempts(clock, timers, ledger)
        self._in_flight: dict[str, _InFlight] = {}
        self._queued: Counter[FunctionName] = Counter()
        """Of those that are not answered: how many of a function come from its queue."""
        self._draining: dict[str, _InFlight] = {}
        """The event of a queue that an environment has answered. It is over when the environment may have the next one,
        which need not go to another, frozen one then."""
        self._counted: dict[str, FunctionName] = {}
        """The environments that wait for memory, and count as started: of their functions."""
        self._sweep: Timer | None = None
        self._drained: asyncio.Future[None] | None = None
        """While the dispatcher closes: done when nothing is in flight any more."""
        self._is_cut_off = False
        self.send: Callable[[Command], None] = _no_worker
        self.restore = self._restoring.want
        self.snapshot = self._restoring.snapshot
        self.progress = self._ahead.progress

    def start(self) -> None:
        """The worker is there: initialise what is to be initialised ahead, and look after idle environments."""
        self._sweep = self._timers.call_later(SWEEP_S, self._look_after)
        self._ahead.open()
        self._restoring.open()

    async def close(self, grace_s: float) -> None:
        """Wait until what runs is over and measured, up to the grace, and stop retiring environments; what has waited
        for memory is refused. What is not over then is lost. The environments end with the worker; new calls are the
        caller's to stop."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._ahead.close()
        self._restoring.close()
        self._placing.refuse()
        if self._in_flight:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._drained,), timeout=grace_s)
        self._cut_off()
        self._placing.close()

    def _cut_off(self) -> None:
        """The worker is heard no more, whose environments are about to end."""
        self._is_cut_off = True
        for environment_id, request_id in self._attempts.all():
            self._finished(environment_id, request_id, _LOST)
        for request_id in list(self._in_flight):
            _tell(self._leave(request_id), ServiceException("The server is ending."))

    # Admitted -----------------------------------------------------------------------------------------------------

    def invoke(
        self,
        serving: Serving,
        invocation: Invocation,
        tell: Callable[[Completed | ModelledError], None],
        *,
        queued: bool = False,
        within_us: int = EVENT_WAIT_US,
    ) -> None:
        """Run the invocation, and tell its result once. Raises TooManyRequestsException, with nothing told. An event
        that comes from a queue is not held to a rate; it waits until memory is free where it is the only one of its
        function's, and for longer than a caller would, if not longer than `within_us`."""
        now = self._clock.monotonic_us()
        unit = self._admission.admit(serving.version.function, serving.version.version, now, queued=queued)
        if isinstance(unit, Refusal):
            raise too_many(unit)
        until_us = now + (min(within_us, EVENT_WAIT_US) if queued else self._wait_us)
        entry = _InFlight(invocation, serving, tell, unit, until_us, queued)
        self._in_flight[invocation.request_id] = entry
        if queued:
            self._queued[serving.version.function] += 1
        refusal = self._find_environment(entry, now)
        if refusal is not None:
            self._leave(invocation.request_id)
            raise too_many(refusal)

    def _find_environment(self, entry: _InFlight, now: int) -> Refusal | None:
        serving = entry.serving
        decision = self._assignment.arrive(serving.pool_id, entry.invocation.request_id, self._new_id, now)
        if isinstance(decision, Use):
            self._run(entry, decision.environment_id)
            return None
        if isinstance(decision, Wait):
            self._wait(serving, decision)
            return None
        refusal = self._supply(entry, decision.environment_id, now)
        if refusal is not None:
            self._assignment.withdraw(decision.environment_id)
        return refusal

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
            refusal = self._supply(self._in_flight[decision.request_id], decision.environment_id, now)
            if refusal is not None:
                self._strand(decision.environment_id, too_many(refusal))

    def knows(self, request_id: str) -> bool:
        """Whether an attempt of the request is not over, be it answered."""
        return request_id in self._in_flight

    # Placed and started -------------------------------------------------------------------------------------------

    def _supply(self, entry: _InFlight, environment_id: str, now: int) -> Refusal | None:
        """Start an environment for an invocation when there is memory for it. Of the events of a function's queue one
        waits for that: so it has its turn, and what runs already is not ended for more of it."""
        serving = entry.serving
        begin = partial(self._start, serving, environment_id, ON_DEMAND)
        if not self._placing.ask(serving, environment_id, begin, entry.until_us, queued=entry.queued):
            return ACCOUNT_LIMIT
        refusal = self._admission.scale_out(serving.version.function, now)
        if refusal is None:
            self._counted[environment_id] = serving.version.function
            self._placing.settle()
            may_wait = not entry.queued or self._queued[serving.version.function] == 1
            if may_wait or not self._placing.is_held_up(environment_id):
                return None
            refusal = ACCOUNT_LIMIT
        self._is_not_placed(environment_id)
        return refusal

    def _is_not_placed(self, environment_id: str) -> None:
        """If it was not: it never will be, and was not started."""
        self._placing.gone(environment_id)
        function = self._counted.pop(environment_id, None)
        if function is not None:
            self._admission.not_scaled_out(function)

    def _not_placed(self, environment_id: str) -> None:
        """There is no memory for the environment."""
        self._lose(environment_id, "The machine has no memory for it.", too_many(ACCOUNT_LIMIT))

    def _start(self, serving: Serving, environment_id: str, initialization_type: str) -> None:
        """There is memory for the environment."""
        self._counted.pop(environment_id, None)
        if serving.pool_id in self._restoring:
            self._restoring.start(serving, environment_id, initialization_type)
        else:
            self._launching.initialise(serving, environment_id, initialization_type)

    # Run, answered and finished: what the worker tells ------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        if self._is_cut_off:
            return
        if isinstance(event, Answered):
            self._answered(event)
        elif isinstance(event, Finished):
            self._finished(event.environment_id, event.request_id, event.report)
        elif isinstance(event, Available):
            self._available(event.environment_id)
        elif isinstance(event, Initialised):
            self._ahead.initialised(event)
        elif isinstance(event, LogLines):
            self._logs.append(event.account, event.region, event.log_group, event.log_stream, event.lines)
        elif isinstance(event, Gone):
            self._gone(event)
        elif isinstance(event, MemoryMeasured):
            self._placing.measured(event.memory_mib, event.available_mib)
        else:
            self._restoring.came(event)

    def _available(self, environment_id: str) -> None:
        if self._placing.is_waited_for:
            self._available_while_others_wait(environment_id)
        else:
            request_id = self._assignment.available(environment_id, self._clock.monotonic_us())
            if request_id is not None:
                self._run(self._in_flight[request_id], environment_id)
        entry = self._draining.pop(environment_id, None)
        if entry is not None and entry.answer is not None:
            _tell(entry, Completed(entry.answer))

    def _available_while_others_wait(self, environment_id: str) -> None:
        """As ever, but that it may have to give way, and that nobody, or another one, may need what waits for its
        memory."""
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
                self._placing.goes_last(self._in_flight[request_id].serving.arn)
                self._gone(Gone(not_needed))
            handed_on = self._assignment.hand_on(environment_id, request_id)
            if handed_on is not None:
                self._placing.is_for(handed_on.environment_id, self._in_flight[handed_on.request_id].until_us)
        self._placing.settle()

    def _run(self, entry: _InFlight, environment_id: str) -> None:
        invocation = entry.invocation
        self.send(Run(environment_id, invocation))
        self._attempts.begin(environment_id, invocation.request_id, entry.serving.version)

    def _answered(self, event: Answered) -> None:
        entry = self._in_flight[event.request_id]
        self._assignment.answered(event.environment_id, self._clock.monotonic_us())
        entry.answer = event.answer
        # Before the caller has the answer: it may call again at once.
        entry.unit.answered()
        self._leaves_queue(entry)
        if entry.queued:
            self._draining[event.environment_id] = entry
        elif not entry.invocation.wants_tail:
            entry.told = True
            entry.tell(Completed(event.answer))

    def _finished(self, environment_id: str, request_id: str, report: Report) -> None:
        entry = self._leave(request_id)
        if self._draining.get(environment_id) is entry:
            del self._draining[environment_id]
        if report.outcome in _ENDS_THE_PROGRAM:
            if environment_id in self._ahead:
                self._ahead.replace(environment_id)
            elif self._restoring.has_restored(environment_id):
                self._assignment.ends(environment_id)
        self._attempts.end(environment_id, request_id, report)
        if entry.answer is not None:
            _tell(entry, Completed(entry.answer, report.tail))
        else:
            _tell(entry, ServiceException("The execution environment was lost."))

    def _leave(self, request_id: str) -> _InFlight:
        """The invocation is over."""
        entry = self._in_flight.pop(request_id)
        if entry.answer is None:
            entry.unit.release()
            self._leaves_queue(entry)
        else:
            entry.unit.over()
        if self._drained is not None and not self._in_flight and not self._drained.done():
            # After the rest of this event, which writes its end down.
            self._timers.call_soon(_done, self._drained)
        return entry

    def _leaves_queue(self, entry: _InFlight) -> None:
        """The invocation is answered, or over without that."""
        if entry.queued:
            function = entry.serving.version.function
            self._queued[function] -= 1
            if not self._queued[function]:
                del self._queued[function]

    # Gone ---------------------------------------------------------------------------------------------------------

    def _retire(self, environment_id: str) -> None:
        if environment_id in self._placing:
            self._gone(Gone(environment_id))  # the worker has never heard of it
            return
        self._placing.leaves(environment_id)
        self.send(Retire(environment_id))

    def _gone(self, event: Gone) -> None:
        if event.reason:
            _log.error("environment lost", extra={"environment": event.environment_id, "reason": event.reason})
        environment_id = event.environment_id
        unwritten, running = self._attempts.of(environment_id)
        if unwritten is not None:
            self._finished(environment_id, unwritten, _LOST)
        if running is not None and event.took in (TOOK_UNKNOWN, running):
            self._finished(environment_id, running, _LOST)
            running = None
        is_our_fault = bool(event.reason) and event.restoration is None
        self._lose(environment_id, event.reason, not_started(event), try_again=is_our_fault)
        if running is not None:
            self._run_again(environment_id, running)

    def _run_again(self, environment_id: str, request_id: str) -> None:
        """The invocation was handed to an environment that was about to go, and has not begun."""
        self._attempts.end(environment_id, request_id, _LOST)
        refusal = self._find_environment(self._in_flight[request_id], self._clock.monotonic_us())
        if refusal is not None:
            _tell(self._leave(request_id), too_many(refusal))

    def _lose(self, environment_id: str, reason: str, error: ModelledError, *, try_again: bool = False) -> None:
        """The environment is no more, or never was: `error` is for whoever waits for it in vain, and has, `try_again`,
        waited for another one before."""
        self._ahead.gone(environment_id, reason)
        self._launching.revoke(environment_id)
        self._strand(environment_id, error, try_again=try_again)
        self._restoring.gone(environment_id, error, try_again=try_again)
        self._placing.settle()

    def _strand(self, environment_id: str, error: ModelledError, *, try_again: bool = False) -> None:
        """The environment is not to be had: whoever waits for it in vain is told so, or gets another one the first
        time."""
        self._is_not_placed(environment_id)
        request_id = self._assignment.gone(environment_id)
        if request_id is None:
            return
        entry = self._in_flight[request_id]
        if try_again and not entry.tried_again:
            entry.tried_again = True
            refusal = self._find_environment(entry, self._clock.monotonic_us())
            if refusal is None:
                return
            error = too_many(refusal)
        _tell(self._leave(request_id), error)

    # What is to be there ------------------------------------------------------------------------------------------

    def supersede(self, pool_id: str) -> None:
        """The version is not there any more, or not as it was. Who waits is served as it was, but for an event of a
        queue that waits for memory: that may be for long, so it is to look what there is then."""
        for environment_id in self._assignment.supersede(pool_id):
            self._retire(environment_id)
        self._refuse_events(lambda serving: version_pool(serving.pool_id) == pool_id)
        self._restoring.superseded(pool_id)

    def reserve(self, function: FunctionName, reserved: int | None) -> None:
        """The function has so much concurrency of its own, or none."""
        self._admission.reserve(function, reserved)
        self.look_again(function)

    def look_again(self, function: FunctionName) -> None:
        """What is said of the function's events is another: one that waits for memory is refused, and so is looked at
        anew before it is run."""
        self._refuse_events(lambda serving: serving.version.function == function)

    def _refuse_events(self, whose: Callable[[Serving], bool]) -> None:
        """Those that wait for memory."""
        for environment_id in self._placing.waiting():
            request_id = self._assignment.started_for(environment_id)
            if request_id is not None:
                entry = self._in_flight[request_id]
                if entry.queued and whose(entry.serving):
                    self._not_placed(environment_id)

    def _stays(self, environment_id: str) -> bool:
        """Be it idle, as long as the settings are what they are: those of provisioned concurrency, and templates."""
        return self._assignment.stays(environment_id) or self._restoring.pool_of(environment_id) is not None

    def provision(self, serving: Serving, count: int) -> None:
        """From now on so many environments of the version are initialised ahead of need."""
        self._admission.provision(serving.version.function, serving.version.version, count)
        self._ahead.want(serving, count)

    def forget(self, function: FunctionName) -> None:
        """The function is gone."""
        self._admission.forget(function)

    def _look_after(self) -> None:
        """Retire what is idle, or has lived, for too long, and start anew what is to be there and is not."""
        now = self._clock.monotonic_us()
        for environment_id in self._assignment.expired(now - self._idle_timeout_us):
            self._retire(environment_id)
        outlived = self._assignment.outlived(now - self._maximal_life_us)
        for environment_id in outlived.retired:
            self._retire(environment_id)
        for environment_id in outlived.staying:
            self._ahead.outlived(environment_id)
        self._sweep = self._timers.call_later(SWEEP_S, self._look_after)
        self._restoring.release_outgoing()
        self._ahead.look_after()
        self._restoring.make_missing()

    def census(self) -> Census:
        memory_mib: dict[str, int] = {}
        for environment_id, size_mib in self._placing.placed().items():
            pool_id = self._assignment.pool_of(environment_id) or self._restoring.pool_of(environment_id)
            if pool_id is not None:
                memory_mib[pool_id] = memory_mib.get(pool_id, 0) + size_mib
        return Census(
            self._admission.in_use(),
            len(self._in_flight),
            self._assignment.environments() - self._restoring.held() - self._placing.waiting(),
            self._assignment.census(),
            memory_mib,
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

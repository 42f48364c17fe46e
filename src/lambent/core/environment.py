"""The state machine of an execution environment: pure, one table, one owner (`worker/execution_environment.py`).

An environment is a sandbox bound to one version of a function. Its *participants* (the runtime; extensions when they
come) show that they are done with a phase by asking for the next event. The life of an environment:

```
STARTING   the sandbox is being made
INIT       the function's initialisation, on a budget of 10 s
READY      frozen; takes an event
INVOKE     the function has an event, and its timeout runs
DRAINING   the caller has the response; a participant is not done yet
RESETTING  the processes are being killed, after a timeout or a failed initialisation
BROKEN     no process is left; takes an event, whose run repeats the initialisation
REINIT     that repetition, under the function's own timeout
SHUTDOWN   the processes are being killed for good
GONE       nothing is left
```

With SnapStart there are two more kinds of environment. A *template* is initialised once, for no invocation, and waits
to be copied; a *restored* environment begins as a copy of it. Neither is started anew: one that breaks is discarded.

```
TEMPLATE   initialised, and waiting to be copied
RESTORE    the program is copied into the sandbox, and the function's hooks for it run, on a budget of 10 s
```

`step(environment, event, now)` returns the next environment and the commands that its owner must perform, in order.
An event that a phase does not know raises `IllegalTransition`: the owner asks `allows` first where an event comes
from a function's code, which is hostile. In INVOKE it is the participant that decides: the runtime owes an answer
before it asks, every other one may be done first.

Source of the phases and of their budgets: AWS Lambda developer guide, "Understanding the Lambda execution
environment lifecycle"; of the repeated initialisation: the same page, "Failures during the Init phase"; of the
restoration: the same page, "Restore phase".
"""

from collections.abc import Callable
from enum import Enum, IntEnum, auto
from typing import Any

from msgspec.structs import replace

from lambent.core.invocation import Answer, Outcome, Restoration
from lambent.core.limits import INIT_BUDGET_US, RESTORE_BUDGET_US, SHUTDOWN_BUDGET_US
from lambent.core.record import Record

RUNTIME = "runtime"


class Phase(IntEnum):
    STARTING = auto()
    INIT = auto()
    READY = auto()
    INVOKE = auto()
    DRAINING = auto()
    RESETTING = auto()
    BROKEN = auto()
    REINIT = auto()
    SHUTDOWN = auto()
    GONE = auto()
    TEMPLATE = auto()
    RESTORE = auto()


class Kind(Enum):
    """How an environment comes to be initialised."""

    FRESH = auto()
    """By itself."""
    TEMPLATE = auto()
    """By itself, for those that are restored from it."""
    RESTORED = auto()
    """By its template."""


class Failure(Record, frozen=True):
    """Why a program could not serve. `document` is the error document that the runtime itself reported, if any."""

    error_type: str
    message: str
    document: bytes | None = None


class Environment(Record, frozen=True):
    """The state of one environment. Times are microseconds of the owner's monotonic clock."""

    timeout_us: int
    participants: frozenset[str] = frozenset((RUNTIME,))
    phase: Phase = Phase.STARTING
    asking: frozenset[str] = frozenset()
    since_us: int = 0
    """When the phase began; in DRAINING and RESETTING, when the invocation began."""
    deadline_us: int | None = None
    """When the phase's budget ends, if it has one."""
    init_us: int | None = None
    """The duration of the initialisation, until an invocation has reported it."""
    request_id: str | None = None
    """The invocation in flight, until it is finished."""
    outcome: Outcome | None = None
    error_type: str | None = None
    """How the invocation in flight has ended, once the caller is answered."""
    retired: bool = False
    init_budget_us: int = INIT_BUDGET_US
    restore_budget_us: int = RESTORE_BUDGET_US
    kind: Kind = Kind.FRESH
    resumed_us: int | None = None
    """In RESTORE: since when the copy runs."""
    restoration: Restoration | None = None
    """How long the restoration took, until an invocation has reported it."""


# Events -----------------------------------------------------------------------------------------------------------


class SandboxStarted(Record, frozen=True):
    """The program is running."""


class SandboxFailed(Record, frozen=True):
    """The machine could not give a sandbox."""

    reason: str


class Next(Record, frozen=True):
    """A participant asks for the next event."""

    participant: str = RUNTIME


class InitFailed(Record, frozen=True):
    """The runtime reported that the function's initialisation failed."""

    failure: Failure


class Snapshotted(Record, frozen=True):
    """The template is initialised, and waits to be copied."""


class Restoring(Record, frozen=True):
    """The sandbox is there, and is about to have a copy of the template's program."""


class RestoreFailed(Record, frozen=True):
    """The runtime reported that the function's hooks after the restoration failed."""

    failure: Failure


class Assigned(Record, frozen=True):
    """An invocation is for this environment."""

    request_id: str


class Answered(Record, frozen=True):
    """The runtime has posted the response to, or the error of, the invocation in flight."""

    answer: Answer


class Exited(Record, frozen=True):
    """The last process of the program is gone. `undelivered` tells that it was never handed the invocation in
    flight, which a program that is started anew may have then."""

    failure: Failure
    undelivered: bool = False


class Deadline(Record, frozen=True):
    """`deadline_us` has passed."""


class Retired(Record, frozen=True):
    """The environment is to end: idle for too long, superseded, or its server is leaving."""


Event = (
    SandboxStarted
    | SandboxFailed
    | Next
    | InitFailed
    | Snapshotted
    | Restoring
    | RestoreFailed
    | Assigned
    | Answered
    | Exited
    | Deadline
    | Retired
)


# Commands ---------------------------------------------------------------------------------------------------------


class StartProgram(Record, frozen=True):
    """Start the runtime's process in the sandbox that is there."""


class InitEnded(Record, frozen=True):
    """An initialisation is over. Of one that is repeated inside an invocation only its failure is told."""

    duration_us: int
    outcome: Outcome
    error_type: str | None = None
    repeated: bool = False


class RestoreEnded(Record, frozen=True):
    """The restoration is over."""

    duration_us: int
    outcome: Outcome
    error_type: str | None = None


class Deliver(Record, frozen=True):
    """Give the invocation in flight to the runtime, which is waiting for it."""


class AnswerCaller(Record, frozen=True):
    """The caller may have this answer."""

    answer: Answer


class FailCaller(Record, frozen=True):
    """The caller gets an error document that the service makes, or the runtime's own if the failure has one."""

    failure: Failure


class Finish(Record, frozen=True):
    """The invocation is over and measured."""

    request_id: str
    outcome: Outcome
    duration_us: int
    init_us: int | None
    error_type: str | None
    restoration: Restoration | None = None


class BecomeAvailable(Record, frozen=True):
    """The environment takes an event."""


class Kill(Record, frozen=True):
    """Kill all processes; `Exited` follows."""


class Destroy(Record, frozen=True):
    """Take everything away; the environment is gone."""

    reason: str = ""


Command = (
    StartProgram
    | InitEnded
    | RestoreEnded
    | Deliver
    | AnswerCaller
    | FailCaller
    | Finish
    | BecomeAvailable
    | Kill
    | Destroy
)
Step = tuple[Environment, tuple[Command, ...]]

TIMED_OUT = "Sandbox.Timedout"


class IllegalTransition(Exception):
    """The phase does not know the event: a bug of the owner."""


def step(environment: Environment, event: Event, now: int) -> Step:
    """The next state, and what to do. Raises IllegalTransition."""
    transition = TABLES[environment.kind].get((environment.phase, type(event)))
    if transition is None:
        raise IllegalTransition(f"{type(event).__name__} in {environment.phase.name}")
    return transition(environment, event, now)


def allows(environment: Environment, event_type: type[Event]) -> bool:
    return (environment.phase, event_type) in TABLES[environment.kind]


# Transitions ------------------------------------------------------------------------------------------------------


def _enter(environment: Environment, phase: Phase, now: int, deadline_us: int | None = None) -> Environment:
    return replace(environment, phase=phase, since_us=now, deadline_us=deadline_us, asking=frozenset())


def _discard(environment: Environment, now: int) -> Environment:
    """The environment, while its processes are killed for good."""
    return _enter(environment, Phase.SHUTDOWN, now, now + SHUTDOWN_BUDGET_US)


def _started(environment: Environment, _event: SandboxStarted, now: int) -> Step:
    if environment.retired:
        return _discard(environment, now), (Kill(),)
    return _enter(environment, Phase.INIT, now, now + environment.init_budget_us), ()


def _ask(environment: Environment, event: Next) -> Environment | None:
    """The environment with one more participant asking; None when now all of them are."""
    if len(environment.participants) == 1:
        return None
    asking = environment.asking | {event.participant}
    return None if asking == environment.participants else replace(environment, asking=asking)


def _initialised(environment: Environment, event: Next, now: int) -> Step:
    still = _ask(environment, event)
    if still is not None:
        return still, ()
    duration_us = now - environment.since_us
    ready = replace(_enter(environment, Phase.READY, now), init_us=duration_us)
    return ready, (InitEnded(duration_us, Outcome.SUCCESS), BecomeAvailable())


def _init_failed(environment: Environment, event: InitFailed, now: int) -> Step:
    ended = InitEnded(now - environment.since_us, Outcome.FUNCTION_ERROR, event.failure.error_type)
    return _enter(environment, Phase.RESETTING, now), (ended, Kill())


def _init_exited(environment: Environment, event: Exited, now: int) -> Step:
    ended = InitEnded(now - environment.since_us, Outcome.CRASH, event.failure.error_type)
    return _enter(environment, Phase.BROKEN, now), (ended, BecomeAvailable())


def _init_timed_out(environment: Environment, _event: Deadline, now: int) -> Step:
    ended = InitEnded(now - environment.since_us, Outcome.TIMEOUT)
    return _enter(environment, Phase.RESETTING, now), (ended, Kill())


def _assigned(environment: Environment, event: Assigned, now: int) -> Step:
    invoking = replace(
        environment,
        phase=Phase.INVOKE,
        since_us=now,
        deadline_us=now + environment.timeout_us,
        asking=frozenset(),
        request_id=event.request_id,
    )
    return invoking, _TO_DELIVER


def _assigned_broken(environment: Environment, event: Assigned, now: int) -> Step:
    entered = _enter(environment, Phase.REINIT, now, now + environment.timeout_us)
    # The repetition's time is part of this invocation's duration; the failed one was reported on its own.
    return replace(entered, request_id=event.request_id, init_us=None), (StartProgram(),)


def _reinitialised(environment: Environment, event: Next, _now: int) -> Step:
    still = _ask(environment, event)
    if still is not None:
        return still, ()
    return replace(environment, phase=Phase.INVOKE, asking=frozenset()), _TO_DELIVER


def _done_first(environment: Environment, event: Next, _now: int) -> Step:
    if event.participant == RUNTIME:
        raise IllegalTransition("Next of the runtime in INVOKE")
    return replace(environment, asking=environment.asking | {event.participant}), ()


def _answered(environment: Environment, event: Answered, _now: int) -> Step:
    answer = event.answer
    outcome = Outcome.SUCCESS if answer.error_type is None else Outcome.FUNCTION_ERROR
    draining = replace(environment, phase=Phase.DRAINING, outcome=outcome, error_type=answer.error_type)
    return draining, (AnswerCaller(answer),)


def _failed(environment: Environment, failure: Failure, outcome: Outcome) -> Environment:
    return replace(environment, outcome=outcome, error_type=failure.error_type)


def _finish(environment: Environment, now: int) -> Finish:
    assert environment.request_id is not None, "finished without an invocation"
    assert environment.outcome is not None, "finished without an outcome"
    duration_us = now - environment.since_us
    if environment.outcome is Outcome.TIMEOUT:
        duration_us = environment.timeout_us  # not the time that killing took
    return Finish(
        environment.request_id,
        environment.outcome,
        duration_us,
        environment.init_us,
        environment.error_type,
        environment.restoration,
    )


def _settled(environment: Environment, phase: Phase, now: int) -> Step:
    """The invocation is over; the environment takes another one, or goes if it is retired."""
    finish = _finish(environment, now)
    if phase is Phase.BROKEN and (environment.retired or environment.kind is Kind.RESTORED):
        return _enter(environment, Phase.GONE, now), (finish, Destroy())
    if environment.retired:
        return _discard(environment, now), (finish, Kill())
    settled = Environment(
        environment.timeout_us, environment.participants, phase, frozenset(), now, kind=environment.kind
    )
    return settled, (finish, _AVAILABLE)


def _drained(environment: Environment, event: Next, now: int) -> Step:
    still = _ask(environment, event)
    return (still, ()) if still is not None else _settled(environment, Phase.READY, now)


def _snapshotted(environment: Environment, _event: Snapshotted, now: int) -> Step:
    ended = InitEnded(now - environment.since_us, Outcome.SUCCESS)
    return _enter(environment, Phase.TEMPLATE, now), (ended,)


def _template_lost(environment: Environment, event: Exited, now: int) -> Step:
    return _enter(environment, Phase.GONE, now), (Destroy(f"the template has ended: {event.failure.message}"),)


def _restoring(environment: Environment, _event: Restoring, now: int) -> Step:
    copied = replace(environment, kind=Kind.RESTORED)
    return _enter(copied, Phase.RESTORE, now, now + environment.restore_budget_us), ()


def _resumed(environment: Environment, _event: SandboxStarted, now: int) -> Step:
    if environment.retired:
        return _discard(environment, now), (Kill(),)
    return replace(environment, resumed_us=now), ()


def _restored(environment: Environment, event: Next, now: int) -> Step:
    still = _ask(environment, event)
    if still is not None:
        return still, ()
    assert environment.resumed_us is not None, "an event is asked for by a program that does not run"
    restoration = Restoration(now - environment.since_us, now - environment.resumed_us)
    ready = replace(_enter(environment, Phase.READY, now), resumed_us=None, restoration=restoration)
    return ready, (RestoreEnded(restoration.duration_us, Outcome.SUCCESS), BecomeAvailable())


_Ended = type[InitEnded | RestoreEnded]


def _ends_failed(ended: _Ended) -> Callable[[Environment, InitFailed | RestoreFailed, int], Step]:
    """What nothing is served by any more when it fails: a template's initialisation, a restoration."""

    def step(environment: Environment, event: InitFailed | RestoreFailed, now: int) -> Step:
        told = ended(now - environment.since_us, Outcome.FUNCTION_ERROR, event.failure.error_type)
        return _discard(environment, now), (told, Kill())

    return step


def _ends_with_its_program(ended: _Ended) -> Callable[[Environment, Exited, int], Step]:
    def step(environment: Environment, event: Exited, now: int) -> Step:
        told = ended(now - environment.since_us, Outcome.CRASH, event.failure.error_type)
        return _enter(environment, Phase.GONE, now), (told, Destroy())

    return step


def _ends_late(ended: _Ended) -> Callable[[Environment, Deadline, int], Step]:
    def step(environment: Environment, _event: Deadline, now: int) -> Step:
        return _discard(environment, now), (ended(now - environment.since_us, Outcome.TIMEOUT), Kill())

    return step


def _restore_retired(environment: Environment, event: Retired, now: int) -> Step:
    """There is nothing to kill before the copy runs."""
    return (_remember if environment.resumed_us is None else _shut_down)(environment, event, now)


def _invoke_exited(environment: Environment, event: Exited, now: int) -> Step:
    if event.undelivered:
        return replace(environment, phase=Phase.REINIT, asking=frozenset()), (StartProgram(),)
    return _crashed(environment, event, now)


def _crashed(environment: Environment, event: Exited, now: int) -> Step:
    crashed = _failed(environment, event.failure, Outcome.CRASH)
    after, commands = _settled(crashed, Phase.BROKEN, now)
    return after, (FailCaller(event.failure), *commands)


def _draining_exited(environment: Environment, event: Exited, now: int) -> Step:
    return _settled(_failed(environment, event.failure, Outcome.CRASH), Phase.BROKEN, now)


def timed_out(timeout_us: int) -> Failure:
    return Failure(TIMED_OUT, f"Task timed out after {timeout_us / 1_000_000:.2f} seconds")


def _invoke_timed_out(environment: Environment, _event: Deadline, _now: int) -> Step:
    failure = timed_out(environment.timeout_us)
    late = _failed(environment, failure, Outcome.TIMEOUT)
    return replace(late, phase=Phase.RESETTING, deadline_us=None), (FailCaller(failure), Kill())


def _draining_timed_out(environment: Environment, _event: Deadline, _now: int) -> Step:
    late = _failed(environment, timed_out(environment.timeout_us), Outcome.TIMEOUT)
    return replace(late, phase=Phase.RESETTING, deadline_us=None), (Kill(),)


def _repetition_ended(environment: Environment, now: int, outcome: Outcome, error_type: str | None = None) -> InitEnded:
    return InitEnded(now - environment.since_us, outcome, error_type, repeated=True)


def _reinit_failed(environment: Environment, event: InitFailed, now: int) -> Step:
    ended = _repetition_ended(environment, now, Outcome.FUNCTION_ERROR, event.failure.error_type)
    failed = _failed(environment, event.failure, Outcome.CRASH)
    return replace(failed, phase=Phase.RESETTING, deadline_us=None), (ended, FailCaller(event.failure), Kill())


def _reinit_exited(environment: Environment, event: Exited, now: int) -> Step:
    after, commands = _crashed(environment, event, now)
    return after, (_repetition_ended(environment, now, Outcome.CRASH, event.failure.error_type), *commands)


def _reinit_timed_out(environment: Environment, event: Deadline, now: int) -> Step:
    after, commands = _invoke_timed_out(environment, event, now)
    return after, (_repetition_ended(environment, now, Outcome.TIMEOUT), *commands)


def _reset(environment: Environment, _event: Exited, now: int) -> Step:
    if environment.request_id is not None:
        return _settled(environment, Phase.BROKEN, now)
    if environment.retired:
        return _enter(environment, Phase.GONE, now), (Destroy(),)
    return _enter(environment, Phase.BROKEN, now), (BecomeAvailable(),)


def _broke(environment: Environment, _event: Exited, now: int) -> Step:
    return _enter(environment, Phase.BROKEN, now), ()


def _shut_down(environment: Environment, _event: Retired, now: int) -> Step:
    return _discard(replace(environment, retired=True), now), (Kill(),)


def _remember(environment: Environment, _event: Retired, _now: int) -> Step:
    return replace(environment, retired=True), ()


def _restarted(environment: Environment, _event: SandboxStarted, _now: int) -> Step:
    return environment, ()


def _lost(environment: Environment, event: SandboxFailed, now: int) -> Step:
    """The sandbox is no more, or could not be had. What becomes of an invocation without an outcome, its owner
    knows, who has handed it to the program or has not."""
    gone = _enter(environment, Phase.GONE, now)
    if environment.request_id is None or environment.outcome is None:
        return gone, (Destroy(event.reason),)
    return gone, (_finish(environment, now), Destroy(event.reason))


def _gone(environment: Environment, _event: Event, now: int) -> Step:
    return _enter(environment, Phase.GONE, now), (Destroy(),)


_DELIVER = Deliver()
_TO_DELIVER = (_DELIVER,)
_AVAILABLE = BecomeAvailable()

_Table = dict[tuple[Phase, type], Callable[[Environment, Any, int], Step]]

_ENDING: _Table = {
    (Phase.SHUTDOWN, Exited): _gone,
    (Phase.SHUTDOWN, Deadline): _gone,
    (Phase.SHUTDOWN, Retired): _remember,
}
_STARTING: _Table = {
    (Phase.STARTING, SandboxStarted): _started,
    (Phase.STARTING, SandboxFailed): _lost,
    (Phase.STARTING, Retired): _remember,
}
_SERVING: _Table = {
    (Phase.READY, Assigned): _assigned,
    (Phase.READY, Retired): _shut_down,
    (Phase.READY, SandboxFailed): _lost,
    (Phase.INVOKE, Next): _done_first,
    (Phase.INVOKE, Answered): _answered,
    (Phase.INVOKE, Deadline): _invoke_timed_out,
    (Phase.INVOKE, Retired): _remember,
    (Phase.INVOKE, SandboxFailed): _lost,
    (Phase.DRAINING, Next): _drained,
    (Phase.DRAINING, Exited): _draining_exited,
    (Phase.DRAINING, Deadline): _draining_timed_out,
    (Phase.DRAINING, Retired): _remember,
    (Phase.DRAINING, SandboxFailed): _lost,
    (Phase.RESETTING, Exited): _reset,
    (Phase.RESETTING, Retired): _remember,
    (Phase.RESETTING, SandboxFailed): _lost,
}

_OF_FRESH: _Table = {
    **_STARTING,
    (Phase.STARTING, Restoring): _restoring,
    (Phase.INIT, Next): _initialised,
    (Phase.INIT, InitFailed): _init_failed,
    (Phase.INIT, Exited): _init_exited,
    (Phase.INIT, Deadline): _init_timed_out,
    (Phase.INIT, Retired): _shut_down,
    (Phase.INIT, SandboxFailed): _lost,
    **_SERVING,
    (Phase.READY, Exited): _broke,
    (Phase.INVOKE, Exited): _invoke_exited,
    (Phase.BROKEN, Assigned): _assigned_broken,
    (Phase.BROKEN, Retired): _gone,
    (Phase.REINIT, SandboxStarted): _restarted,
    (Phase.REINIT, SandboxFailed): _lost,
    (Phase.REINIT, Next): _reinitialised,
    (Phase.REINIT, InitFailed): _reinit_failed,
    (Phase.REINIT, Exited): _reinit_exited,
    (Phase.REINIT, Deadline): _reinit_timed_out,
    (Phase.REINIT, Retired): _remember,
    **_ENDING,
}

_OF_TEMPLATES: _Table = {
    **_STARTING,
    (Phase.INIT, Snapshotted): _snapshotted,
    (Phase.INIT, SandboxFailed): _lost,
    (Phase.INIT, InitFailed): _ends_failed(InitEnded),
    (Phase.INIT, Exited): _ends_with_its_program(InitEnded),
    (Phase.INIT, Deadline): _ends_late(InitEnded),
    (Phase.INIT, Retired): _shut_down,
    (Phase.TEMPLATE, Exited): _template_lost,
    (Phase.TEMPLATE, Retired): _shut_down,
    **_ENDING,
}

_OF_RESTORED: _Table = {
    (Phase.RESTORE, SandboxStarted): _resumed,
    (Phase.RESTORE, SandboxFailed): _lost,
    (Phase.RESTORE, Next): _restored,
    (Phase.RESTORE, RestoreFailed): _ends_failed(RestoreEnded),
    (Phase.RESTORE, Exited): _ends_with_its_program(RestoreEnded),
    (Phase.RESTORE, Deadline): _ends_late(RestoreEnded),
    (Phase.RESTORE, Retired): _restore_retired,
    **_SERVING,
    (Phase.READY, Exited): _gone,
    (Phase.INVOKE, Exited): _crashed,
    **_ENDING,
}

TABLES = {Kind.FRESH: _OF_FRESH, Kind.TEMPLATE: _OF_TEMPLATES, Kind.RESTORED: _OF_RESTORED}
"""The whole machine: which event a phase knows, and what it makes of it, by the kind of environment."""

"""An execution environment at work: performs what `core.environment` decides.

Owns one sandbox, the listeners in it and the state. Everything that happens (a request at the Runtime API, an exit,
a deadline, a command of the dispatcher) becomes an event for the state machine, one after another; its commands are
performed in order. Nothing here decides.
"""

import asyncio
import hmac
import json
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, assert_never

from msgspec.structs import replace

from lambent.clock import Clock
from lambent.core import environment as machine
from lambent.core.allowance import Allowance
from lambent.core.environment import Environment, Failure, Kind, Phase
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.limits import REQUEST_BODY_BYTES
from lambent.core.metering import billed_ms
from lambent.worker import failures, messages
from lambent.worker.environment_log import EnvironmentLog
from lambent.worker.output import Output
from lambent.worker.runtime_api import Posted, Refusal, RuntimeConnection
from lambent.worker.sandbox.driver import Exit, Program, Running, Sandbox, SandboxError

_log = logging.getLogger(__name__)

SETTLE_US = 1_000
"""How long the runtime may wait for its next event before it is frozen: what is called again at once need not be woken
for it."""

DRAIN_BYTES = 4_194_304
"""How much unread output is taken at the end of an invocation; more of it comes with the next one."""

CREDENTIALS_LIFE_S, TEMPLATE_CREDENTIALS_LIFE_S = 3600, 60
"""What a client of AWS is told of how long credentials are good: it asks again some minutes before. What a template was
given a restored environment must not go on using, so that is always about to end."""

_RUNTIME_ASKS = machine.Next()

EndpointFactory = Callable[[Allowance], asyncio.Protocol]
"""Makes the protocol of one connection to Lambent's own endpoint, within what its peer may take."""
ENDPOINT_CONNECTIONS = 64
ENDPOINT_HELD_BYTES = 2 * REQUEST_BODY_BYTES
"""What one environment may take of Lambent's own endpoint: a function may deploy others, one or two at a time."""


class LaunchError(Exception):
    """The function's program can not be started, by its own fault: a missing bootstrap, say."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class CanNotRestore(Exception):
    """On this machine nothing can be restored from the function's program."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the worker gives each environment."""

    clock: Clock
    emit: Callable[[messages.Event], None]
    make_sandbox: Callable[[str, messages.EnvironmentSpec, Kind], Coroutine[Any, Any, tuple[Sandbox, Program]]]
    """The sandbox, and the program that runs in it. Raises LaunchError, CanNotRestore or SandboxError."""
    end_of_template: Callable[[messages.EnvironmentSpec], Coroutine[Any, Any, None]]
    """Waits for it, where that is why an environment could not be restored."""
    front_door: EndpointFactory
    """Serves a connection to Lambent's own endpoint that comes from inside a sandbox."""
    allowance: Allowance
    """What the connections from all sandboxes may take together."""
    slots: Callable[[messages.EnvironmentSpec], asyncio.Semaphore]
    """What an environment has to have one of to start."""
    tasks: asyncio.TaskGroup
    forget: Callable[[str], None]
    billing_step_ms: int
    init_budget_us: int
    """Of an environment that is started on demand."""
    init_ahead_budget_us: int
    """Of one that is initialised before anybody waits for it; or its timeout, where that is longer."""
    restore_budget_us: int


class ExecutionEnvironment:
    def __init__(
        self, environment_id: str, spec: messages.EnvironmentSpec, around: Surroundings, *, template: bool = False
    ) -> None:
        """`template` says that others are to be restored from it."""
        self.environment_id = environment_id
        self._spec = spec
        self._around = around
        timeout_us = spec.timeout_ms * 1000
        self._ahead = template or spec.initialization_type == messages.PROVISIONED
        self._state = Environment(
            timeout_us=timeout_us,
            init_budget_us=max(around.init_ahead_budget_us, timeout_us) if self._ahead else around.init_budget_us,
            restore_budget_us=around.restore_budget_us,
            kind=Kind.TEMPLATE if template else Kind.FRESH,
        )
        self._queue: deque[machine.Event] = deque()
        self._stepping = False
        self._available = False
        """It takes an event, and the dispatcher is to be told."""
        self._invocation: Invocation | None = None
        self._took: str | None = None
        """The last invocation that came before the end."""
        self._delivered = False
        self._unwritten: tuple[machine.Finish, int] | None = None
        """The invocation that is over and not written down yet, with the time of its end."""
        self._waiting: RuntimeConnection | None = None
        self._connections: set[RuntimeConnection] = set()
        self._reported: Failure | None = None
        self._fault = ""
        """Why the platform has ended its program."""
        self._not_restored: Outcome | None = None
        """How the restoration failed, if it did."""
        self._sandbox: Sandbox | None = None
        self._program: Program | None = None
        self._starting: asyncio.Task[None] | None = None
        self._listeners: list[asyncio.AbstractServer] = []
        self._output: Output | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0
        self._allowance = Allowance(
            connections=ENDPOINT_CONNECTIONS, held_bytes=ENDPOINT_HELD_BYTES, within=around.allowance
        )
        self._frozen = False
        self._abandoned = False
        self._log = EnvironmentLog(spec, around.emit)
        self._settling: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()
        """Set when that is told."""

    # From the worker ----------------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Sandbox | None:
        """The sandbox that others may be restored from."""
        return self._sandbox if self._state.phase is Phase.TEMPLATE else None

    def start(self) -> None:
        self._begin_start()

    def run(self, invocation: Invocation) -> None:
        if self._state.phase is Phase.GONE:
            return  # with its launcher, and the dispatcher is about to hear of it
        self._took = invocation.request_id
        self._invocation = invocation
        self._delivered = False
        self._log.keeps_tail = invocation.wants_tail
        self._feed(machine.Assigned(invocation.request_id))

    def retire(self) -> None:
        if machine.allows(self._state, machine.Retired):
            self._feed(machine.Retired())

    async def abandon(self) -> None:
        """The worker is leaving: take the sandbox away without a word to anybody."""
        self._abandoned = True
        self._stop_timers()
        if self._starting is not None:
            self._starting.cancel()
        self._close_program()
        if self._sandbox is not None:
            await self._sandbox.destroy()

    # From the Runtime API -----------------------------------------------------------------------------------------

    def asks_next(self, connection: RuntimeConnection) -> Refusal | None:
        phase = self._state.phase
        if phase is Phase.INVOKE and not self._delivered:
            self._waiting = connection
            self._deliver()
            return None
        if phase is Phase.READY and self._waiting is None:
            self._waiting = connection
            return None
        owes_an_answer = phase is Phase.INVOKE
        if owes_an_answer or self._waiting is not None or not machine.allows(self._state, machine.Next):
            return failures.not_now(phase, "Ready")
        self._waiting = connection
        self._feed(_RUNTIME_ASKS)
        return None

    def responds(self, connection: RuntimeConnection, request_id: str, posted: Posted) -> Refusal | None:
        invocation = self._invocation
        if self._state.phase in (Phase.INIT, Phase.STARTING, Phase.REINIT, Phase.RESTORE):
            return failures.not_now(self._state.phase, "InvocationResponse")
        if (
            self._state.phase is not Phase.INVOKE
            or invocation is None
            or invocation.request_id != request_id
            or not self._delivered
            or self._abandoned
        ):
            return failures.UNKNOWN_REQUEST
        if posted.flaw is not None:
            answer, refusal = failures.FLAWED[posted.flaw]
            self._feed(machine.Answered(answer))
            return refusal
        self._feed(machine.Answered(Answer(posted.body, posted.content_type, posted.error_type)))
        connection.accept()  # the caller comes first
        return None

    def fails_init(self, connection: RuntimeConnection, posted: Posted) -> Refusal | None:
        if not machine.allows(self._state, machine.InitFailed):
            return failures.not_now(self._state.phase, "InitError")
        connection.accept()
        failure = Failure(posted.error_type or "Runtime.Unknown", "", posted.body)
        self._feed(machine.InitFailed(failure))
        return None

    def fails_restore(self, connection: RuntimeConnection, posted: Posted) -> Refusal | None:
        if not machine.allows(self._state, machine.RestoreFailed):
            return failures.not_now(self._state.phase, "RuntimeRestoreErrorState")
        connection.accept()
        failure = Failure(posted.error_type or "Runtime.Unknown", "", posted.body)
        self._feed(machine.RestoreFailed(failure))
        return None

    def credentials(self, token: str) -> bytes | Refusal:
        given = self._spec.credentials
        if not given.authorization:
            return failures.NO_CREDENTIALS
        if not hmac.compare_digest(token.encode(), given.authorization.encode()):
            return failures.NOT_AUTHORIZED
        life_s = TEMPLATE_CREDENTIALS_LIFE_S if self._state.kind is Kind.TEMPLATE else CREDENTIALS_LIFE_S
        end = datetime.fromtimestamp(self._around.clock.wall_ms() // 1000, UTC) + timedelta(seconds=life_s)
        document = {
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "Token": given.session_token,
            "Expiration": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        }
        return json.dumps(document).encode()

    def hangs_up(self, connection: RuntimeConnection) -> None:
        if self._waiting is connection:
            self._waiting = None

    # The machine --------------------------------------------------------------------------------------------------

    def _feed(self, event: machine.Event) -> None:
        """Step the machine. An event that arrives while commands are performed waits for its turn. That the
        environment takes an event is told last: the answer may be the event, which goes out at once then, before
        whoever sent it goes on."""
        if self._stepping:
            self._queue.append(event)
            return
        self._stepping = True
        try:
            while True:
                self._state, commands = machine.step(self._state, event, self._around.clock.monotonic_us())
                deadline_us = self._state.deadline_us
                if deadline_us is not None and (self._timer is None or deadline_us < self._timer_us):
                    self._watch(deadline_us)
                for command in commands:
                    self._perform(command)
                if not self._queue:
                    break
                event = self._queue.popleft()
        finally:
            self._stepping = False
        if self._available:
            self._available = False
            self._around.emit(messages.Available(self.environment_id))
        if self._state.phase is not Phase.READY:
            if self._unwritten is not None:
                self._keep_books()
        elif self._settling is None and not self._frozen:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_US / 1_000_000, self._settle)

    def _settle(self) -> None:
        """Write down what is over, and freeze, unless the next event came meanwhile."""
        self._settling = None
        if self._state.phase is not Phase.READY:
            return
        waiting_us = self._around.clock.monotonic_us() - self._state.since_us
        if waiting_us < SETTLE_US - 500:  # of an event that came and went meanwhile; the loop counts in milliseconds
            self._settling = asyncio.get_running_loop().call_later((SETTLE_US - waiting_us) / 1_000_000, self._settle)
            return
        self._keep_books()
        if self._sandbox is not None and not self._frozen:
            self._sandbox.freeze()
            self._frozen = True

    def _watch(self, deadline_us: int) -> None:
        """Have a timer that is due at the deadline or before. One that is due too early looks again then, so that
        one timer serves many short invocations."""
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, deadline_us - self._around.clock.monotonic_us()) / 1_000_000
        self._timer_us = deadline_us
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        deadline_us = self._state.deadline_us
        if deadline_us is None:
            return
        if self._around.clock.monotonic_us() < deadline_us:
            self._watch(deadline_us)
        elif machine.allows(self._state, machine.Deadline):
            self._feed(machine.Deadline())

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def _perform(self, command: machine.Command) -> None:
        match command:
            case machine.Deliver():
                self._deliver()
            case machine.AnswerCaller(answer):
                self._answer(answer)
            case machine.Finish():
                self._over(command)
            case machine.BecomeAvailable():
                self._available = True
            case machine.FailCaller(failure):
                self._fail(failure)
            case machine.InitEnded():
                self._init_ended(command)
            case machine.RestoreEnded():
                self._restore_ended(command)
            case machine.StartProgram():
                self._begin_start()
            case machine.Kill():
                self._around.tasks.create_task(self._kill())
            case machine.Destroy(reason):
                self._around.tasks.create_task(self._destroy(reason))
            case _:
                assert_never(command)

    # An invocation ------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        invocation = self._invocation
        assert invocation is not None, "nothing to deliver"
        if self._waiting is None:
            self._thaw()  # the runtime has hung up: let it ask again
            return
        clock = self._around.clock
        wall_ms = clock.wall_ms()
        assert self._state.deadline_us is not None, "an invocation has a deadline"
        deadline_ms = wall_ms + (self._state.deadline_us - clock.monotonic_us()) // 1000
        connection, self._waiting = self._waiting, None
        delivered = connection.deliver(invocation, deadline_ms, self._spec.tenant_id)
        if self._frozen:
            self._thaw()  # also where the runtime was hanging up: it may ask again
        if delivered:
            self._log_start(wall_ms, invocation)

    def _log_start(self, wall_ms: int, invocation: Invocation) -> None:
        self._delivered = True
        if self._unwritten is not None:
            self._write_down()
        self._log.begin(wall_ms, invocation.request_id)
        self._log.send()

    def _thaw(self) -> None:
        if self._frozen and self._sandbox is not None:
            self._sandbox.thaw()
            self._frozen = False

    def _answer(self, answer: Answer) -> None:
        invocation = self._invocation
        assert invocation is not None, "an answer to nothing"
        self._around.emit(messages.Answered(self.environment_id, invocation.request_id, answer))

    def _fail(self, failure: Failure) -> None:
        invocation = self._invocation
        assert invocation is not None, "a failure of nothing"
        self._keep_books()
        wall_ms = self._around.clock.wall_ms()
        self._take_output()
        if not self._delivered:  # the initialisation inside the invocation failed: START comes after it
            self._log_start(wall_ms, invocation)
        if failure.document is not None:
            self._answer(Answer(failure.document, error_type=failure.error_type))
            return
        message = f"RequestId: {invocation.request_id} Error: {failure.message}"
        if failure.error_type == machine.TIMED_OUT:
            time = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
            told = f"{time.replace('+00:00', 'Z')} {invocation.request_id} {failure.message}"
            self._log.add(wall_ms, (told, ""))
        else:
            self._log.add(wall_ms, (message, failure.error_type))
        document = json.dumps({"errorType": failure.error_type, "errorMessage": message}, separators=(",", ":"))
        self._answer(Answer(document.encode(), error_type=failure.error_type))

    def _over(self, finish: machine.Finish) -> None:
        """The invocation is over. It is written down when the next event, which may be waiting, has been handed out:
        the function need not wait for that. A caller who wants the log does."""
        self._take_output()
        self._unwritten = (finish, self._around.clock.wall_ms())
        if self._log.keeps_tail:
            self._keep_books(with_tail=True)
        self._invocation = None

    def _keep_books(self, *, with_tail: bool = False) -> None:
        """Write down the invocation that is over, if that is still to be done, and send the log."""
        if self._unwritten is not None:
            self._write_down(with_tail=with_tail)
            self._log.send()

    def _write_down(self, *, with_tail: bool = False) -> None:
        assert self._unwritten is not None, "nothing is to be written down"
        (finish, wall_ms), self._unwritten = self._unwritten, None
        spec = self._spec
        memory_mib = 0 if self._sandbox is None else self._sandbox.memory_peak_mib()
        report = Report(
            finish.outcome,
            finish.duration_us,
            min(memory_mib, spec.memory_mib),
            finish.init_us,
            finish.error_type,
            restoration=finish.restoration,
        )
        # An initialisation ahead of need is no part of what the invocation is charged for.
        billed = billed_ms(
            report.duration_us,
            None if self._ahead else report.init_us,
            self._around.billing_step_ms,
            restore_us=0 if report.restoration is None else report.restoration.billed_us,
        )
        log = self._log
        lines = log.platform.end(wall_ms, finish.request_id, report, billed)
        if with_tail:
            log.add(wall_ms, lines)
            report = replace(report, tail=log.take_tail())
        else:
            log.add_past(wall_ms, lines)
        self._around.emit(messages.Finished(self.environment_id, finish.request_id, report))

    def _init_ended(self, ended: machine.InitEnded) -> None:
        self._take_output()
        failed = ended.outcome is not Outcome.SUCCESS
        if failed or self._ahead:
            wall_ms = self._around.clock.wall_ms()
            lines = self._log.platform.init_report(
                wall_ms, ended.duration_us, ended.outcome, ended.error_type, repeated=ended.repeated
            )
            self._log.add(wall_ms, lines)
        self._log.send()
        if self._state.kind is Kind.TEMPLATE:
            self._template_ended(failed=failed)
        elif not ended.repeated:
            self._around.emit(messages.Initialised(self.environment_id, failed))

    def _template_ended(self, *, failed: bool) -> None:
        if failed:
            self._around.emit(messages.TemplateFailed(self.environment_id, self._fault))
            return
        # Nothing is to be served here any more: it only waits.
        self._close_listeners()
        assert self._sandbox is not None, "a snapshot without a sandbox"
        self._around.emit(messages.TemplateMade(self.environment_id, self._sandbox.snapshot_bytes))

    def _restore_ended(self, ended: machine.RestoreEnded) -> None:
        self._take_output()
        wall_ms = self._around.clock.wall_ms()
        lines = self._log.platform.restore_report(wall_ms, ended.duration_us, ended.outcome, ended.error_type)
        self._log.add(wall_ms, lines)
        self._log.send()
        if ended.outcome is not Outcome.SUCCESS:
            self._not_restored = ended.outcome

    def _on_output_line(self, line: str) -> None:
        self._log.add(self._around.clock.wall_ms(), (line,))

    def _take_output(self) -> None:
        if self._output is not None:
            self._output.drain(DRAIN_BYTES)
            self._output.end_line()

    def _on_output(self) -> None:
        if self._output is not None and self._output.read():
            self._log.send()

    # Its program --------------------------------------------------------------------------------------------------

    def _begin_start(self) -> None:
        self._keep_books()  # what it measures is of the program that was
        self._starting = self._around.tasks.create_task(self._start_program())

    async def _start_program(self) -> None:
        around = self._around
        try:
            async with around.slots(self._spec):
                if self._sandbox is None or self._program is None:
                    kind = self._state.kind if self._spec.template_id is None else Kind.RESTORED
                    self._sandbox, self._program = await around.make_sandbox(self.environment_id, self._spec, kind)
                    if kind is Kind.RESTORED:
                        self._feed(machine.Restoring())
                        self._log_restore_start()
                running = await self._sandbox.start(self._program, self._exited, self._snapshotted)
                if self._state.kind is not Kind.RESTORED:
                    self._log_init_start()
                await self._listen(running)
        except LaunchError as error:
            self._log_init_start()
            self._starting = None
            self._feed_if_allowed(machine.SandboxStarted())
            self._feed_if_allowed(machine.Exited(error.failure))
        except CanNotRestore:
            self._starting = None
            around.emit(messages.TemplateRefused(self.environment_id))
            self._feed_if_allowed(machine.SandboxFailed(""))
        except (SandboxError, OSError) as error:
            await around.end_of_template(self._spec)
            self._not_started(str(error))
        except Exception as error:  # noqa: BLE001 a bug of ours must be the end of this environment alone
            _log.exception("fault in starting an environment", extra={"environment": self.environment_id})
            self._not_started(f"a fault of the worker: {type(error).__name__}")
        else:
            self._starting = None

    def _not_started(self, reason: str) -> None:
        self._starting = None
        if machine.allows(self._state, machine.SandboxFailed):
            self._feed(machine.SandboxFailed(reason))
        else:
            # It runs, and nobody would hear it.
            self._around.tasks.create_task(self._kill())

    def _log_init_start(self) -> None:
        wall_ms = self._around.clock.wall_ms()
        self._log.add(wall_ms, self._log.platform.init_start(wall_ms, repeated=self._invocation is not None))

    def _log_restore_start(self) -> None:
        wall_ms = self._around.clock.wall_ms()
        self._log.add(wall_ms, self._log.platform.restore_start(wall_ms))

    async def _listen(self, running: Running) -> None:
        loop = asyncio.get_running_loop()
        self._reported = None
        self._output = Output(running.output, self._on_output_line)
        loop.add_reader(running.output, self._on_output)
        self._feed_if_allowed(machine.SandboxStarted())
        for factory, listener in (
            (lambda: RuntimeConnection(self, self._connections), running.runtime_api),
            (partial(self._around.front_door, self._allowance), running.endpoint),
        ):
            self._listeners.append(await loop.create_server(factory, sock=listener, start_serving=False))
        # Not before all are there to be closed: who starts is suspended, and it may all be over then.
        for server in list(self._listeners):
            if server in self._listeners:
                await server.start_serving()

    def _snapshotted(self) -> None:
        """The sandbox's word that the program waits to be restored."""
        self._feed_if_allowed(machine.Snapshotted())

    def _exited(self, ended: Exit) -> None:
        """The sandbox's word that the last process is gone."""
        self._close_program()
        self._fault = ended.fault
        if self._abandoned:
            return
        is_lost = self._sandbox is not None and self._sandbox.is_lost
        if is_lost and machine.allows(self._state, machine.SandboxFailed):
            self._feed(machine.SandboxFailed("its sandbox has ended under it"))  # which says nothing of the function
            return
        undelivered = self._invocation is not None and not self._delivered
        self._feed_if_allowed(machine.Exited(self._reported or failures.failure_of(ended), undelivered))

    def _feed_if_allowed(self, event: machine.Event) -> None:
        if machine.allows(self._state, type(event)):
            self._feed(event)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._connections):
            connection.close()

    def _close_program(self) -> None:
        self._waiting = None
        self._frozen = False
        self._close_listeners()
        if self._output is not None:
            asyncio.get_running_loop().remove_reader(self._output.descriptor)
            self._output.drain(DRAIN_BYTES)
            self._output.close()
            self._output = None

    async def _kill(self) -> None:
        if self._starting is not None:
            await asyncio.wait((self._starting,))
        if self._sandbox is None:
            return
        try:
            await self._sandbox.kill()
        except (SandboxError, OSError) as error:
            # The environment stays where it is until its processes end; the others go on.
            self._log_fault("environment not killed", error)

    async def _destroy(self, reason: str) -> None:
        self._keep_books()
        self._stop_timers()
        if self._starting is not None:  # what comes too late would be nobody's
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        self._close_program()
        self._log.send()
        try:
            if self._sandbox is not None:
                await self._sandbox.destroy()
        except (SandboxError, OSError) as error:
            self._log_fault("sandbox not taken away", error)
        self._around.forget(self.environment_id)
        has_begun = self._invocation is None or self._delivered
        took = self._took if has_begun else None
        self._around.emit(messages.Gone(self.environment_id, reason, self._not_restored, took))
        self.gone.set()

    def _log_fault(self, event: str, error: Exception) -> None:
        _log.error(event, extra={"environment": self.environment_id, "reason": str(error)})

"""A worker without a machine: performs what the real state machine of an environment decides, in simulated time.

It speaks `worker.messages` as the real one does, and keeps to its orders: that an environment takes an event is told
last, and the end of an invocation when the next event has been handed out or a millisecond later.
"""

from collections import deque
from collections.abc import Callable

from lambent.core import environment as machine
from lambent.core.environment import Environment, Failure, Kind, Phase
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.limits import INIT_BUDGET_US, PROVISIONED_INIT_BUDGET_US
from lambent.testing.simulation.nature import Ending, Fate, Nature
from lambent.testing.simulation.timeline import Timeline, Timer
from lambent.worker import messages

START_US = 5_000
KILL_US = 2_000
DESTROY_US = 3_000
RESTORE_US = 4_000
SETTLE_US = 1_000
MEASURED_EACH_US = 2_000_000
USED_MIB = 40
"""By an environment."""

_FAILURE = Failure("Runtime.ExitError", "exit")
_OK = Answer(b"{}")
_ERROR = Answer(b"{}", error_type="Error")


class Worker:
    """`handle` takes the dispatcher's commands; `emit` is given the worker's events."""

    def __init__(
        self, timeline: Timeline, nature: Nature, emit: Callable[[messages.Event], None], memory_mib: int
    ) -> None:
        self._memory_mib = memory_mib
        self.timeline = timeline
        self.nature = nature
        self.emit = emit
        self.environments: dict[str, _Environment] = {}

    def measure(self) -> None:
        """Tell what memory there is, now and again and again."""
        used_mib = USED_MIB * len(self.environments)
        self.emit(messages.MemoryMeasured(self._memory_mib, max(0, self._memory_mib - used_mib)))
        self.timeline.call_in(MEASURED_EACH_US, self.measure)

    def handle(self, command: messages.Command) -> None:
        match command:
            case messages.Run(environment_id, invocation):
                environment = self.environments.get(environment_id)
                if environment is not None:
                    environment.run(invocation)
            case messages.Start(environment_id, spec):
                self._start(environment_id, spec, template=False)
            case messages.MakeTemplate(environment_id, spec):
                if self.nature.happens(self.nature.faults.template_refused):
                    self.timeline.call_soon(self.emit, messages.TemplateRefused(environment_id))
                else:
                    self._start(environment_id, spec, template=True)
            case messages.Retire(environment_id):
                environment = self.environments.get(environment_id)
                if environment is not None:
                    environment.feed_if_allowed(machine.Retired())

    def _start(self, environment_id: str, spec: messages.EnvironmentSpec, *, template: bool) -> None:
        environment = _Environment(self, environment_id, spec, template=template)
        self.environments[environment_id] = environment
        environment.begin_start()

    def die(self) -> None:
        """Nothing is left of it, and nothing said."""
        lost, self.environments = self.environments, {}
        for environment in lost.values():
            environment.is_lost = True

    def has_template(self, template_id: str) -> bool:
        template = self.environments.get(template_id)
        return template is not None and template.state.phase is Phase.TEMPLATE


class _Environment:
    def __init__(self, worker: Worker, environment_id: str, spec: messages.EnvironmentSpec, *, template: bool) -> None:
        self._worker = worker
        self._id = environment_id
        self._spec = spec
        timeout_us = spec.timeout_ms * 1000
        ahead = template or spec.initialization_type == messages.PROVISIONED
        self.state = Environment(
            timeout_us=timeout_us,
            init_budget_us=max(PROVISIONED_INIT_BUDGET_US, timeout_us) if ahead else INIT_BUDGET_US,
            kind=Kind.TEMPLATE if template else Kind.FRESH,
        )
        self.is_lost = False
        self._queue: deque[machine.Event] = deque()
        self._stepping = False
        self._available = False
        self._invocation: Invocation | None = None
        self._took: str | None = None
        self._delivered = False
        self._unwritten: machine.Finish | None = None
        self._program = 0
        """Which program this is; what an earlier one was about to do does not happen."""
        self._runs = False
        self._starting = False
        self._to_kill = False
        self._watched: Timer | None = None
        self._watched_us = 0
        self._not_restored: Outcome | None = None

    # From the worker ----------------------------------------------------------------------------------------------

    def run(self, invocation: Invocation) -> None:
        if self.state.phase is Phase.GONE:
            return
        self._took = invocation.request_id
        self._invocation = invocation
        self._delivered = False
        self.feed(machine.Assigned(invocation.request_id))

    def feed_if_allowed(self, event: machine.Event) -> None:
        if machine.allows(self.state, type(event)):
            self.feed(event)

    def feed(self, event: machine.Event) -> None:
        if self._stepping:
            self._queue.append(event)
            return
        self._stepping = True
        while True:
            self.state, commands = machine.step(self.state, event, self._worker.timeline.now_us)
            deadline_us = self.state.deadline_us
            if deadline_us is not None and (self._watched is None or deadline_us < self._watched_us):
                self._watch(deadline_us)
            for command in commands:
                self._perform(command)
            if not self._queue:
                break
            event = self._queue.popleft()
        self._stepping = False
        if self._available:
            self._available = False
            self._worker.emit(messages.Available(self._id))
        if self._unwritten is not None:
            if self.state.phase is Phase.READY:
                self._later(SETTLE_US, self._keep_books)
            else:
                self._keep_books()

    def _perform(self, command: machine.Command) -> None:
        match command:
            case machine.Deliver():
                self._deliver()
            case machine.AnswerCaller(answer):
                self._answer(answer)
            case machine.FailCaller():
                self._keep_books()
                self._delivered = True
                self._answer(_ERROR)
            case machine.Finish():
                self._unwritten = command
                self._invocation = None
            case machine.BecomeAvailable():
                self._available = True
            case machine.InitEnded(_, outcome, _, repeated):
                self._init_ended(outcome, repeated=repeated)
            case machine.RestoreEnded(_, outcome):
                if outcome is not Outcome.SUCCESS:
                    self._not_restored = outcome
            case machine.StartProgram():
                self.begin_start()
            case machine.Kill():
                self._kill()
            case machine.Destroy(reason):
                self._keep_books()
                self._later(DESTROY_US, self._destroyed, reason)

    def _later(self, delay_us: int, callback: Callable[..., None], *args: object) -> None:
        self._worker.timeline.call_in(delay_us, self._if_there, callback, args)

    def _if_there(self, callback: Callable[..., None], args: tuple[object, ...]) -> None:
        if not self.is_lost:
            callback(*args)

    def _watch(self, deadline_us: int) -> None:
        if self._watched is not None:
            self._watched.cancel()
        self._watched_us = deadline_us
        self._watched = self._worker.timeline.call_at(deadline_us, self._if_there, self._look_at_deadline, ())

    def _look_at_deadline(self) -> None:
        self._watched = None
        deadline_us = self.state.deadline_us
        if deadline_us is None:
            return
        if self._worker.timeline.now_us < deadline_us:
            self._watch(deadline_us)
        else:
            self.feed_if_allowed(machine.Deadline())

    # Its invocation -----------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        fate = self._worker.nature.event(self._spec.function_name)
        if fate.ending is Ending.IS_DEAD:
            self._as_program(0, self._exit)
            return
        self._delivered = True
        self._keep_books()
        assert self._invocation is not None, "nothing to deliver"
        if fate.ending is Ending.ANSWERS_LATE:
            fate = Fate(fate.ending, self.state.timeout_us + 1, fate.drain_us)
        self._as_program(fate.duration_us, self._meet, fate, self._invocation.request_id)

    def _meet(self, fate: Fate, request_id: str) -> None:
        match fate.ending:
            case Ending.ANSWERS | Ending.ANSWERS_LATE:
                self._respond(request_id, _OK)
                self._as_program(fate.drain_us, self._ask)
            case Ending.FAILS:
                self._respond(request_id, _ERROR)
                self._as_program(fate.drain_us, self._ask)
            case Ending.ANSWERS_TWICE:
                self._respond(request_id, _OK)
                self._as_program(fate.drain_us, self._respond, request_id, _ERROR)
                self._as_program(2 * fate.drain_us, self._ask)
                self._as_program(3 * fate.drain_us, self._respond, request_id, _ERROR)
            case Ending.ANSWERS_ANOTHER:
                self._respond("another", _OK)
            case Ending.ANSWERS_AND_EXITS:
                self._respond(request_id, _OK)
                self._as_program(fate.drain_us, self._exit)
            case Ending.ANSWERS_AND_WORKS_ON:
                self._respond(request_id, _OK)
            case Ending.EXITS:
                self._exit()
            case Ending.HANGS:
                pass

    def _respond(self, request_id: str, answer: Answer) -> None:
        """As the Runtime API lets it: what answers nothing is refused."""
        invocation = self._invocation
        if (
            self.state.phase is Phase.INVOKE
            and invocation is not None
            and invocation.request_id == request_id
            and self._delivered
        ):
            self.feed(machine.Answered(answer))

    def _ask(self) -> None:
        if self.state.phase is not Phase.INVOKE and machine.allows(self.state, machine.Next):
            self.feed(machine.Next())
            if self._worker.nature.happens(self._worker.nature.faults.idle_exit):
                self._as_program(self._worker.nature.about(5_000_000), self._exit_idle)

    def _exit_idle(self) -> None:
        if self.state.phase is Phase.READY:
            self._exit()

    def _answer(self, answer: Answer) -> None:
        assert self._invocation is not None, "an answer to nothing"
        self._worker.emit(messages.Answered(self._id, self._invocation.request_id, answer))

    def _keep_books(self) -> None:
        finish, self._unwritten = self._unwritten, None
        if finish is not None:
            report = Report(finish.outcome, finish.duration_us, 1, finish.init_us, finish.error_type)
            self._worker.emit(messages.Finished(self._id, finish.request_id, report))

    def _init_ended(self, outcome: Outcome, *, repeated: bool) -> None:
        failed = outcome is not Outcome.SUCCESS
        if self.state.kind is Kind.TEMPLATE:
            ended = messages.TemplateFailed(self._id) if failed else messages.TemplateMade(self._id, 1 << 20)
            self._worker.emit(ended)
        elif not repeated:
            self._worker.emit(messages.Initialised(self._id, failed))

    # Its program --------------------------------------------------------------------------------------------------

    def _as_program(self, delay_us: int, callback: Callable[..., None], *args: object) -> None:
        """What the program does, if it lives so long."""
        self._later(delay_us, self._if_same, self._program, callback, args)

    def _if_same(self, program: int, callback: Callable[..., None], args: tuple[object, ...]) -> None:
        if program == self._program and self._runs:
            callback(*args)

    def begin_start(self) -> None:
        self._keep_books()
        self._starting = True
        if self._spec.template_id is not None and self.state.phase is Phase.STARTING:
            self.feed(machine.Restoring())
            self._later(RESTORE_US, self._started)
        else:
            self._later(START_US, self._started)

    def _started(self) -> None:
        self._starting = False
        template = self._spec.template_id
        no_template = template is not None and not self._worker.has_template(template)
        if no_template or self._worker.nature.happens(self._worker.nature.faults.no_sandbox):
            self.feed_if_allowed(machine.SandboxFailed("no sandbox"))
        else:
            self._program += 1
            self._runs = True
            self.feed_if_allowed(machine.SandboxStarted())
            fate = self._worker.nature.initialisation(self._spec.function_name)
            self._as_program(RESTORE_US if template is not None else fate.duration_us, self._initialised, fate.ending)
        if self._to_kill:
            self._to_kill = False
            self._kill()

    def _initialised(self, ending: Ending) -> None:
        match ending:
            case Ending.ANSWERS if self.state.kind is Kind.TEMPLATE:
                self.feed_if_allowed(machine.Snapshotted())
            case Ending.ANSWERS:
                self._ask_first()
            case Ending.FAILS if self.state.kind is Kind.RESTORED:
                self.feed_if_allowed(machine.RestoreFailed(_FAILURE))
            case Ending.FAILS:
                self.feed_if_allowed(machine.InitFailed(_FAILURE))
            case Ending.EXITS:
                self._exit()
            case _:
                pass

    def _ask_first(self) -> None:
        if machine.allows(self.state, machine.Next):
            self.feed(machine.Next())

    def _kill(self) -> None:
        if self._starting:
            self._to_kill = True
        else:
            self._as_program(KILL_US, self._exit)

    def _exit(self) -> None:
        self._program += 1
        self._runs = False
        undelivered = self._invocation is not None and not self._delivered
        self.feed_if_allowed(machine.Exited(_FAILURE, undelivered))

    def _destroyed(self, reason: str) -> None:
        if self._watched is not None:
            self._watched.cancel()
        del self._worker.environments[self._id]
        has_begun = self._invocation is None or self._delivered
        self._worker.emit(messages.Gone(self._id, reason, self._not_restored, self._took if has_begun else None))

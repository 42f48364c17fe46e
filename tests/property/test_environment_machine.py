"""Random lives of an execution environment: whatever happens in whatever order, the promises to a caller hold."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambent.core import environment as machine
from lambent.core.environment import Environment, Failure, Phase
from lambent.core.invocation import Answer, Outcome

FAILURE = Failure("Runtime.ExitError", "Runtime exited without providing a reason")


class Lives(RuleBasedStateMachine):
    """Plays the owner: the world's events come only as the world can give them."""

    def __init__(self) -> None:
        super().__init__()
        self.environment = Environment(timeout_us=1_000_000)
        self.now = 0
        self.starting = True
        self.alive = False
        self.available = False
        self.retired = False
        self.assigned = 0
        self.answers: dict[str, int] = {}
        self.finished: dict[str, int] = {}
        self.destroyed = 0

    def feed(self, event: machine.Event) -> None:
        self.environment, commands = machine.step(self.environment, event, self.now)
        for command in commands:
            self.perform(command)

    def perform(self, command: machine.Command) -> None:
        match command:
            case machine.AnswerCaller() | machine.FailCaller():
                request_id = f"r{self.assigned}"
                self.answers[request_id] = self.answers.get(request_id, 0) + 1
            case machine.Finish(request_id, outcome, duration_us, init_us, _):
                assert request_id == f"r{self.assigned}"
                assert duration_us >= 0
                assert init_us is None or init_us >= 0
                assert outcome is not Outcome.LOST or not self.alive
                self.finished[request_id] = self.finished.get(request_id, 0) + 1
            case machine.BecomeAvailable():
                assert not self.retired
                assert not self.available
                self.available = True
            case machine.StartProgram():
                assert not self.alive, "two programs in one sandbox"
                self.starting = True
            case machine.Kill():
                assert self.alive or self.starting, "nothing to kill"
            case machine.Deliver():
                assert self.alive, "an event for nobody"
            case machine.Destroy():
                self.destroyed += 1
                assert not self.alive, "a sandbox taken away from under its processes"

    @rule(passed=st.sampled_from([1_000, 400_000, 1_000_000, 10_000_000]))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        deadline = self.environment.deadline_us
        if deadline is not None and self.now >= deadline and machine.allows(self.environment, machine.Deadline):
            if self.environment.phase is Phase.SHUTDOWN:
                self.alive = False
            self.feed(machine.Deadline())

    @precondition(lambda self: self.starting)
    @rule(well=st.booleans())
    def the_program_starts(self, well: bool) -> None:
        self.starting = False
        if well:
            self.alive = True
            if machine.allows(self.environment, machine.SandboxStarted):
                self.feed(machine.SandboxStarted())
        elif machine.allows(self.environment, machine.SandboxFailed):
            self.available = False
            self.feed(machine.SandboxFailed("no room"))

    @precondition(lambda self: self.alive)
    @rule(undelivered=st.booleans())
    def the_last_process_ends(self, undelivered: bool) -> None:
        self.alive = False
        if machine.allows(self.environment, machine.Exited):
            self.feed(machine.Exited(FAILURE, undelivered))

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.Next))
    @rule()
    def the_runtime_asks(self) -> None:
        self.feed(machine.Next())

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.InitFailed))
    @rule()
    def the_runtime_reports_a_failed_initialisation(self) -> None:
        self.feed(machine.InitFailed(FAILURE))

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.Answered))
    @rule(error=st.sampled_from([None, "Function.Unknown"]))
    def the_runtime_answers(self, error: str | None) -> None:
        self.feed(machine.Answered(Answer(b"{}", error_type=error)))

    @precondition(lambda self: self.available and not self.retired)
    @rule()
    def an_invocation_comes(self) -> None:
        self.available = False
        self.assigned += 1
        self.feed(machine.Assigned(f"r{self.assigned}"))

    @precondition(lambda self: machine.allows(self.environment, machine.Retired))
    @rule()
    def it_is_retired(self) -> None:
        self.retired = True
        self.available = False
        self.feed(machine.Retired())

    @invariant()
    def each_caller_is_answered_once_at_most_and_before_the_end(self) -> None:
        assert all(count == 1 for count in self.answers.values())
        assert all(count == 1 for count in self.finished.values())
        assert self.finished.keys() <= self.answers.keys()

    @invariant()
    def an_available_environment_has_no_invocation(self) -> None:
        if self.available:
            assert self.environment.phase in (Phase.READY, Phase.BROKEN)
            assert self.environment.request_id is None
            assert len(self.finished) == self.assigned

    @invariant()
    def a_phase_in_which_something_must_happen_has_a_deadline(self) -> None:
        if self.environment.phase in (Phase.INIT, Phase.INVOKE, Phase.DRAINING, Phase.REINIT, Phase.SHUTDOWN):
            assert self.environment.deadline_us is not None

    @invariant()
    def gone_is_gone(self) -> None:
        assert self.destroyed == (1 if self.environment.phase is Phase.GONE else 0)
        if self.environment.phase is Phase.GONE:
            assert len(self.finished) == self.assigned, "an invocation was swallowed"


TestLives = Lives.TestCase

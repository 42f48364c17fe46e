"""Random lives of an execution environment: whatever happens in whatever order, the promises to a caller hold."""

from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lambent.core import environment as machine
from lambent.core.environment import RUNTIME, Environment, Failure, IllegalTransition, Kind, Phase
from lambent.core.invocation import Answer, Outcome

FAILURE = Failure("Runtime.ExitError", "Runtime exited without providing a reason")
PARTICIPANTS = (RUNTIME, "extension", "another")
ONE_OF_EACH: tuple[machine.Event, ...] = (
    machine.SandboxStarted(),
    machine.SandboxFailed("no room"),
    machine.Next(),
    machine.InitFailed(FAILURE),
    machine.Snapshotted(),
    machine.Restoring(),
    machine.RestoreFailed(FAILURE),
    machine.Assigned("stray"),
    machine.Answered(Answer(b"{}")),
    machine.Exited(FAILURE),
    machine.Deadline(),
    machine.Retired(),
)
KINDS = (Kind.FRESH, Kind.RESTORED, Kind.TEMPLATE)
"""A template has the shortest life."""
PRESSED = (Phase.INIT, Phase.RESTORE, Phase.INVOKE, Phase.DRAINING, Phase.REINIT, Phase.SHUTDOWN)


class Lives(RuleBasedStateMachine):
    """Plays the owner: the world's events come only as the world can give them."""

    reached: ClassVar[set[tuple[Kind, Phase, type]]] = set()
    only: ClassVar[Kind | None] = None
    """The kind of all environments, where there is to be but one."""
    """The entries of the tables that any life went through."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    @initialize(number=st.integers(1, len(PARTICIPANTS)), kind=st.sampled_from(KINDS))
    def one_begins(self, number: int, kind: Kind) -> None:
        kind = self.only or kind
        self.participants = frozenset(PARTICIPANTS[:number])
        template = kind is Kind.TEMPLATE
        self.environment = Environment(
            timeout_us=1_000_000, participants=self.participants, kind=Kind.TEMPLATE if template else Kind.FRESH
        )
        self.to_be_restored = kind is Kind.RESTORED
        self.starting = True
        self.alive = False
        self.available = False
        self.retired = False
        self.assigned = 0
        self.answers: dict[str, int] = {}
        self.finished: dict[str, int] = {}
        self.given_back = 0
        """Invocations without an answer when the sandbox was lost, or could not be had again."""
        self.destroyed = 0
        self.asking: set[str] = set()
        """The participants that wait for their next event."""

    @precondition(lambda self: self.environment.phase is Phase.GONE)
    @rule(number=st.integers(1, len(PARTICIPANTS)), kind=st.sampled_from(KINDS))
    def another_begins(self, number: int, kind: Kind) -> None:
        self.one_begins(number, kind)

    def feed(self, event: machine.Event) -> None:
        self.reached.add((self.environment.kind, self.environment.phase, type(event)))
        self.environment, commands = machine.step(self.environment, event, self.now)
        for command in commands:
            self.perform(command)

    def perform(self, command: machine.Command) -> None:
        match command:
            case machine.AnswerCaller() | machine.FailCaller():
                request_id = f"r{self.assigned}"
                self.answers[request_id] = self.answers.get(request_id, 0) + 1
            case machine.Finish(request_id, outcome, duration_us, init_us, _, restoration):
                assert restoration is None or 0 <= restoration.billed_us <= restoration.duration_us
                assert request_id == f"r{self.assigned}"
                assert duration_us >= 0
                assert init_us is None or init_us >= 0
                assert outcome is not Outcome.LOST or not self.alive
                self.finished[request_id] = self.finished.get(request_id, 0) + 1
            case machine.BecomeAvailable():
                assert self.environment.kind is not Kind.TEMPLATE, "an invocation in what all are copied from"
                assert not self.retired
                assert not self.available
                assert not self.alive or self.asking == self.participants, "not all are done"
                self.available = True
            case machine.StartProgram():
                assert not self.alive, "two programs in one sandbox"
                assert self.environment.kind is Kind.FRESH, "what is not initialised afresh is not started anew"
                self.starting = True
            case machine.Kill():
                assert self.alive or self.starting, "nothing to kill"
            case machine.Deliver():
                assert self.alive, "an event for nobody"
                assert self.asking == self.participants, "an event for one that is not done with the last"
                self.asking.clear()
            case machine.Destroy():
                self.available = False
                self.destroyed += 1
                assert not self.alive, "a sandbox taken away from under its processes"

    @precondition(lambda self: self.environment.deadline_us is not None)
    @rule()
    def the_deadline_comes(self) -> None:
        assert self.environment.deadline_us is not None
        self.time_passes(max(0, self.environment.deadline_us - self.now))

    @rule(passed=st.sampled_from([1_000, 400_000, 1_000_000, 10_000_000]))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        deadline = self.environment.deadline_us
        if deadline is not None and self.now >= deadline and machine.allows(self.environment, machine.Deadline):
            if self.environment.phase is Phase.SHUTDOWN:
                self.alive = False  # the sandbox is taken away, whatever is in it
            self.feed(machine.Deadline())

    @precondition(lambda self: self.environment.deadline_us is not None)
    @rule()
    def its_deadline_passes(self) -> None:
        assert self.environment.deadline_us is not None
        self.time_passes(max(0, self.environment.deadline_us - self.now))

    @precondition(lambda self: self.to_be_restored)
    @rule()
    def the_template_is_there(self) -> None:
        self.to_be_restored = False
        self.feed(machine.Restoring())

    @precondition(lambda self: self.starting and not self.to_be_restored)
    @rule(well=st.booleans())
    def the_program_starts(self, well: bool) -> None:
        self.starting = False
        if well:
            self.alive = True
            if machine.allows(self.environment, machine.SandboxStarted):
                self.feed(machine.SandboxStarted())
        elif machine.allows(self.environment, machine.SandboxFailed):
            self.available = False
            self.given_back += self.environment.phase is Phase.REINIT
            self.feed(machine.SandboxFailed("no room"))

    @precondition(lambda self: self.alive)
    @rule()
    def the_sandbox_is_lost(self) -> None:
        if machine.allows(self.environment, machine.SandboxFailed):
            self.alive = self.available = False
            self.asking.clear()
            self.given_back += self.environment.request_id is not None and self.environment.outcome is None
            self.feed(machine.SandboxFailed("lost"))

    @precondition(lambda self: self.alive)
    @rule(undelivered=st.booleans())
    def the_last_process_ends(self, undelivered: bool) -> None:
        self.alive = False
        self.asking.clear()
        if machine.allows(self.environment, machine.Exited):
            self.feed(machine.Exited(FAILURE, undelivered))

    def may_ask(self) -> list[str]:
        """The runtime owes an answer before it asks; the others may be done first."""
        if not self.alive or not machine.allows(self.environment, machine.Next):
            return []
        owing = {RUNTIME} if self.environment.phase is Phase.INVOKE else set()
        return sorted(self.participants - self.asking - owing)

    @precondition(lambda self: self.may_ask())
    @rule(data=st.data())
    def a_participant_asks(self, data: st.DataObject) -> None:
        participant = data.draw(st.sampled_from(self.may_ask()))
        self.asking.add(participant)
        self.feed(machine.Next(participant))

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.InitFailed))
    @rule()
    def the_runtime_reports_a_failed_initialisation(self) -> None:
        self.feed(machine.InitFailed(FAILURE))

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.Snapshotted))
    @rule()
    def the_template_waits_to_be_copied(self) -> None:
        self.feed(machine.Snapshotted())

    @precondition(lambda self: self.alive and machine.allows(self.environment, machine.RestoreFailed))
    @rule()
    def the_runtime_reports_a_failed_restoration(self) -> None:
        self.feed(machine.RestoreFailed(FAILURE))

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

    @rule(steps=st.integers(1, 4))
    def life_goes_on_as_it_should(self, steps: int) -> None:
        """Else most lives would end before they had an invocation."""
        for _ in range(steps):
            if self.to_be_restored:
                self.the_template_is_there()
            elif self.starting:
                self.starting, self.alive = False, True
                if machine.allows(self.environment, machine.SandboxStarted):
                    self.feed(machine.SandboxStarted())
            elif self.may_ask():
                participant = self.may_ask()[-1]
                self.asking.add(participant)
                self.feed(machine.Next(participant))
            elif self.alive and machine.allows(self.environment, machine.Snapshotted):
                self.feed(machine.Snapshotted())
            elif self.alive and machine.allows(self.environment, machine.Answered):
                self.feed(machine.Answered(Answer(b"{}")))
            elif self.available:
                self.an_invocation_comes()
            else:
                return

    @invariant()
    def an_event_out_of_turn_is_refused(self) -> None:
        phase = self.environment.phase
        for event in ONE_OF_EACH:
            runtime_owes = phase is Phase.INVOKE and isinstance(event, machine.Next)
            if runtime_owes or not machine.allows(self.environment, type(event)):
                with pytest.raises(IllegalTransition):
                    machine.step(self.environment, event, self.now)

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
        if self.environment.phase in PRESSED:
            assert self.environment.deadline_us is not None

    @invariant()
    def gone_is_gone(self) -> None:
        assert self.destroyed == (1 if self.environment.phase is Phase.GONE else 0)
        if self.environment.phase is Phase.GONE:
            assert len(self.finished) + self.given_back == self.assigned, "an invocation was swallowed"
            assert self.given_back == 0 or f"r{self.assigned}" not in self.answers


TestLives = Lives.TestCase


@pytest.mark.parametrize("kind", Kind)
def test_these_lives_go_through_the_whole_table(kind: Kind) -> None:
    """Else the promises would hold of a part of the machine only."""
    thorough = settings(max_examples=1000, stateful_step_count=60, derandomize=True, database=None, deadline=None)
    lives = type(f"{kind.name}Lives", (Lives,), {"only": kind, "reached": set()})
    run_state_machine_as_test(lives, settings=thorough)
    entries = {(kind, *entry) for entry in machine.TABLES[kind]}
    turn = {(Kind.FRESH, Phase.STARTING, machine.Restoring)}  # by which a fresh one becomes one that is restored
    entries = entries | turn if kind is Kind.RESTORED else entries - turn
    assert sorted(entries - lives.reached, key=str) == []


def test_there_is_an_event_of_each_type() -> None:
    assert {type(event) for event in ONE_OF_EACH} == {
        event_type for table in machine.TABLES.values() for _, event_type in table
    }

"""The execution environment's state machine, transition by transition where the order of commands matters."""

import pytest

from lambent.core.environment import (
    AnswerCaller,
    Answered,
    Assigned,
    BecomeAvailable,
    Deadline,
    Deliver,
    Destroy,
    Environment,
    Exited,
    FailCaller,
    Failure,
    Finish,
    IllegalTransition,
    InitEnded,
    InitFailed,
    Kill,
    Kind,
    Next,
    Phase,
    RestoreEnded,
    RestoreFailed,
    Restoring,
    Retired,
    SandboxFailed,
    SandboxStarted,
    Snapshotted,
    StartProgram,
    step,
)
from lambent.core.invocation import Answer, Outcome, Restoration
from lambent.core.limits import PROVISIONED_INIT_BUDGET_US

TIMEOUT_US = 3_000_000
CRASH = Failure("Runtime.ExitError", "Runtime exited with error: exit status 1")


def play(*events, environment=None, at=0, every=1_000):
    """The environment after the events, a millisecond apart, and all commands in order."""
    environment = environment or Environment(timeout_us=TIMEOUT_US)
    performed = []
    for event in events:
        at += every
        environment, commands = step(environment, event, at)
        performed += commands
    return environment, performed


def ready():
    return play(SandboxStarted(), Next())[0]


def invoking():
    return play(Assigned("r1"), environment=ready(), at=10_000)[0]


def test_an_initialisation_has_ten_seconds_or_what_the_owner_allows():
    assert play(SandboxStarted())[0].deadline_us == 1_000 + 10_000_000
    ahead = Environment(timeout_us=TIMEOUT_US, init_budget_us=PROVISIONED_INIT_BUDGET_US)
    assert play(SandboxStarted(), environment=ahead)[0].deadline_us == 1_000 + 130_000_000


def test_an_environment_becomes_available_when_the_runtime_asks_for_its_first_event():
    environment, commands = play(SandboxStarted(), Next())
    assert environment.phase is Phase.READY
    assert commands == [InitEnded(1_000, Outcome.SUCCESS), BecomeAvailable()]


def test_the_first_invocation_reports_the_initialisation_and_the_second_does_not():
    answer = Answer(b"1")
    environment, commands = play(Assigned("r1"), Answered(answer), Next(), environment=ready())
    assert commands == [
        Deliver(),
        AnswerCaller(answer),
        Finish("r1", Outcome.SUCCESS, 2_000, 1_000, None),
        BecomeAvailable(),
    ]
    _, commands = play(Assigned("r2"), Answered(answer), Next(), environment=environment, at=50_000)
    assert commands[2] == Finish("r2", Outcome.SUCCESS, 2_000, None, None)


def test_a_function_error_is_answered_and_the_environment_lives_on():
    answer = Answer(b"{}", error_type="Function.Unknown")
    environment, commands = play(Answered(answer), Next(), environment=invoking())
    assert environment.phase is Phase.READY
    assert commands[0] == AnswerCaller(answer)
    assert commands[1].outcome is Outcome.FUNCTION_ERROR


def test_a_timeout_answers_the_caller_at_once_and_bills_the_timeout_only():
    environment, commands = play(Deadline(), environment=invoking(), at=3_010_000)
    assert environment.phase is Phase.RESETTING
    assert [type(command) for command in commands] == [FailCaller, Kill]
    assert commands[0].failure.message == "Task timed out after 3.00 seconds"
    environment, commands = play(Exited(CRASH), environment=environment, at=3_900_000)
    assert environment.phase is Phase.BROKEN
    assert commands == [
        Finish("r1", Outcome.TIMEOUT, TIMEOUT_US, 1_000, "Sandbox.Timedout"),
        BecomeAvailable(),
    ]


def test_a_late_response_is_no_event_of_an_environment_that_timed_out():
    environment, _ = play(Deadline(), environment=invoking(), at=3_010_000)
    with pytest.raises(IllegalTransition):
        step(environment, Answered(Answer(b"late")), 3_020_000)


def test_a_crash_answers_with_the_failure_and_the_next_invocation_initialises_again_on_its_own_time():
    environment, commands = play(Exited(CRASH), environment=invoking(), at=20_000)
    assert environment.phase is Phase.BROKEN
    assert [type(command) for command in commands] == [FailCaller, Finish, BecomeAvailable]
    environment, commands = play(Assigned("r2"), environment=environment, at=100_000)
    assert (environment.phase, commands) == (Phase.REINIT, [StartProgram()])
    environment, commands = play(
        SandboxStarted(), Next(), Answered(Answer(b"2")), Next(), environment=environment, at=200_000
    )
    finish = next(command for command in commands if isinstance(command, Finish))
    assert finish == Finish("r2", Outcome.SUCCESS, 204_000 - 101_000, None, None)


def test_an_invocation_that_the_program_died_without_having_is_the_next_programs_under_the_same_timeout():
    environment, commands = play(Exited(CRASH, undelivered=True), environment=invoking(), at=20_000)
    assert (environment.phase, commands) == (Phase.REINIT, [StartProgram()])
    assert environment.deadline_us == invoking().deadline_us
    environment, commands = play(SandboxStarted(), Next(), environment=environment, at=30_000)
    assert (environment.phase, commands) == (Phase.INVOKE, [Deliver()])
    environment, commands = play(Exited(CRASH), environment=environment, at=40_000)
    assert environment.phase is Phase.BROKEN
    assert [type(command) for command in commands] == [FailCaller, Finish, BecomeAvailable]


def test_an_initialisation_that_fails_twice_fails_the_invocation_with_the_runtimes_own_document():
    failure = Failure("Runtime.ImportModuleError", "", b'{"errorType":"Runtime.ImportModuleError"}')
    environment, commands = play(SandboxStarted(), InitFailed(failure), Exited(CRASH))
    assert environment.phase is Phase.BROKEN
    assert commands == [
        InitEnded(1_000, Outcome.FUNCTION_ERROR, "Runtime.ImportModuleError"),
        Kill(),
        BecomeAvailable(),
    ]
    environment, commands = play(
        Assigned("r1"), SandboxStarted(), InitFailed(failure), Exited(CRASH), environment=environment, at=10_000
    )
    assert environment.phase is Phase.BROKEN
    assert commands[:4] == [
        StartProgram(),
        InitEnded(2_000, Outcome.FUNCTION_ERROR, "Runtime.ImportModuleError", repeated=True),
        FailCaller(failure),
        Kill(),
    ]
    assert commands[4].error_type == "Runtime.ImportModuleError"


def test_an_initialisation_has_ten_seconds():
    environment, _ = play(SandboxStarted())
    assert environment.deadline_us == 1_000 + 10_000_000
    environment, commands = play(Deadline(), environment=environment, at=10_001_000)
    assert environment.phase is Phase.RESETTING
    assert commands == [InitEnded(10_001_000, Outcome.TIMEOUT), Kill()]


def test_a_repeated_initialisation_runs_under_the_functions_timeout():
    environment, _ = play(Exited(CRASH), environment=invoking(), at=20_000)
    environment, _ = play(Assigned("r2"), environment=environment, at=99_000)
    assert environment.deadline_us == 100_000 + TIMEOUT_US
    late, commands = play(SandboxStarted(), Deadline(), environment=environment, at=TIMEOUT_US + 99_000)
    assert late.phase is Phase.RESETTING
    assert commands[0] == InitEnded(TIMEOUT_US + 1_000, Outcome.TIMEOUT, repeated=True)
    assert [type(command) for command in commands[1:]] == [FailCaller, Kill]
    crashed, commands = play(SandboxStarted(), Exited(CRASH), environment=environment, at=100_000)
    assert crashed.phase is Phase.BROKEN
    assert commands[0] == InitEnded(2_000, Outcome.CRASH, "Runtime.ExitError", repeated=True)
    assert [type(command) for command in commands[1:]] == [FailCaller, Finish, BecomeAvailable]


def test_a_busy_environment_that_is_retired_ends_after_its_invocation():
    environment, commands = play(
        Retired(), Answered(Answer(b"1")), Next(), Exited(CRASH), environment=invoking(), at=20_000
    )
    assert environment.phase is Phase.GONE
    assert [type(command) for command in commands] == [AnswerCaller, Finish, Kill, Destroy]


def test_an_environment_retired_while_its_sandbox_starts_never_takes_an_event():
    environment, commands = play(Retired(), SandboxStarted(), Exited(CRASH))
    assert environment.phase is Phase.GONE
    assert [type(command) for command in commands] == [Kill, Destroy]


def test_a_sandbox_that_can_not_be_had_tells_why():
    _, commands = play(SandboxFailed("no user namespaces"))
    assert commands == [Destroy("no user namespaces")]


def test_an_invocation_whose_sandbox_can_not_be_had_again_has_not_begun():
    environment, _ = play(Exited(CRASH), environment=invoking(), at=20_000)
    environment, commands = play(Assigned("r2"), SandboxFailed("disk full"), environment=environment, at=50_000)
    assert environment.phase is Phase.GONE
    assert commands == [StartProgram(), Destroy("disk full")]


def test_the_next_event_waits_for_every_participant():
    environment = Environment(timeout_us=TIMEOUT_US, participants=frozenset(("runtime", "extension")))
    environment, commands = play(SandboxStarted(), Next("runtime"), environment=environment)
    assert (environment.phase, commands) == (Phase.INIT, [])
    environment, commands = play(Next("extension"), environment=environment, at=9_000)
    assert environment.phase is Phase.READY
    assert commands[-1] == BecomeAvailable()


# SnapStart ------------------------------------------------------------------------------------------------------------


def template():
    return Environment(timeout_us=TIMEOUT_US, init_budget_us=PROVISIONED_INIT_BUDGET_US, kind=Kind.TEMPLATE)


def restored():
    return play(Restoring(), SandboxStarted(), Next())[0]


def test_a_template_is_initialised_once_and_takes_no_event():
    environment, commands = play(SandboxStarted(), Snapshotted(), environment=template())
    assert environment.phase is Phase.TEMPLATE
    assert commands == [InitEnded(1_000, Outcome.SUCCESS)]
    with pytest.raises(IllegalTransition):
        step(environment, Assigned("r1"), 5_000)
    with pytest.raises(IllegalTransition):
        play(SandboxStarted(), Next(), environment=template())


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (InitFailed(Failure("Runtime.BeforeSnapshotError", "")), Outcome.FUNCTION_ERROR),
        (Exited(CRASH), Outcome.CRASH),
        (Deadline(), Outcome.TIMEOUT),
    ],
)
def test_a_template_that_can_not_be_initialised_is_discarded(event, outcome):
    environment, commands = play(SandboxStarted(), event, environment=template())
    assert commands[0].outcome is outcome
    if environment.phase is not Phase.GONE:
        assert commands[1:] == [Kill()]
        environment, commands = play(Exited(CRASH), environment=environment)
    assert environment.phase is Phase.GONE
    assert commands[-1] == Destroy()


def test_a_template_whose_process_ends_is_gone_and_says_so_to_the_operator():
    environment, commands = play(SandboxStarted(), Snapshotted(), Exited(CRASH), environment=template())
    assert environment.phase is Phase.GONE
    assert commands[-1] == Destroy("the template has ended: Runtime exited with error: exit status 1")


def test_a_restoration_is_billed_from_when_its_processes_run():
    environment, commands = play(Restoring(), SandboxStarted(), Next())
    assert environment.phase is Phase.READY
    assert commands == [RestoreEnded(2_000, Outcome.SUCCESS), BecomeAvailable()]
    environment, commands = play(Assigned("r1"), Answered(Answer(b"1")), Next(), environment=environment, at=10_000)
    assert commands[2] == Finish("r1", Outcome.SUCCESS, 2_000, None, None, Restoration(2_000, 1_000))
    _, commands = play(Assigned("r2"), Answered(Answer(b"1")), Next(), environment=environment, at=20_000)
    assert commands[2].restoration is None, "it is reported once"


def test_a_restoration_has_ten_seconds_from_its_beginning():
    environment, _ = play(Restoring(), SandboxStarted())
    assert environment.deadline_us == 1_000 + 10_000_000
    environment, commands = play(Deadline(), environment=environment, at=10_000_000)
    assert commands == [RestoreEnded(10_000_000, Outcome.TIMEOUT), Kill()]
    assert play(Exited(CRASH), environment=environment)[0].phase is Phase.GONE


def test_a_restoration_whose_hooks_fail_ends_the_environment():
    failed = RestoreFailed(Failure("Runtime.AfterRestoreError", ""))
    environment, commands = play(Restoring(), SandboxStarted(), failed)
    assert commands == [RestoreEnded(2_000, Outcome.FUNCTION_ERROR, "Runtime.AfterRestoreError"), Kill()]
    assert environment.phase is Phase.SHUTDOWN
    environment, commands = play(Restoring(), SandboxStarted(), Exited(CRASH))
    assert commands == [RestoreEnded(2_000, Outcome.CRASH, "Runtime.ExitError"), Destroy()]
    assert environment.phase is Phase.GONE


def test_a_restored_environment_that_breaks_is_not_started_anew():
    environment, commands = play(Assigned("r1"), Exited(CRASH), environment=restored(), at=10_000)
    assert environment.phase is Phase.GONE
    assert commands == [
        Deliver(),
        FailCaller(CRASH),
        Finish("r1", Outcome.CRASH, 1_000, None, "Runtime.ExitError", Restoration(2_000, 1_000)),
        Destroy(),
    ]
    late, commands = play(Assigned("r1"), Deadline(), Exited(CRASH), environment=restored(), at=10_000)
    assert late.phase is Phase.GONE
    assert commands[-1] == Destroy()
    assert play(Exited(CRASH), environment=restored())[0].phase is Phase.GONE


def test_a_restoration_that_is_retired_before_its_processes_run_ends_when_they_do():
    environment, commands = play(Restoring(), Retired())
    assert (environment.phase, commands) == (Phase.RESTORE, [])
    environment, commands = play(SandboxStarted(), environment=environment)
    assert (environment.phase, commands) == (Phase.SHUTDOWN, [Kill()])

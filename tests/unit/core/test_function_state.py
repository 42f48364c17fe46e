import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lambent.core.function import Configuration, FunctionName, FunctionVersion, Package, State, UpdateStatus
from lambent.core.function_state import (
    CREATED,
    PUBLISHED,
    IllegalTransition,
    Lifecycle,
    PreparationFailed,
    Prepared,
    UpdateAccepted,
    is_good,
    is_unfinished,
    lifecycle_of,
    refusal,
    step,
)

FAILURE = PreparationFailed("why", "InvalidRuntime")


def version(lifecycle: Lifecycle) -> FunctionVersion:
    return FunctionVersion(
        function=FunctionName("1", "r", "f"),
        version="$LATEST",
        configuration=Configuration(role="", runtime="", handler=""),
        package=Package("", 0),
        architectures=(),
        revision_id="",
        config_revision="",
        last_modified_ms=0,
        state=lifecycle.state,
        last_update=lifecycle.last_update,
    )


def shown(lifecycle: Lifecycle) -> tuple[str, str | None]:
    return lifecycle.state.value, lifecycle.last_update and lifecycle.last_update.value


def test_a_creation_ends_active_or_failed() -> None:
    assert step(CREATED, Prepared()) == PUBLISHED
    failed = step(CREATED, FAILURE)
    assert shown(failed) == (State.FAILED, UpdateStatus.FAILED)
    assert (failed.state.reason, failed.state.reason_code) == ("why", "InvalidRuntime")


def test_a_failed_update_leaves_the_function_active() -> None:
    failed = step(step(PUBLISHED, UpdateAccepted()), FAILURE)
    assert shown(failed) == (State.ACTIVE, UpdateStatus.FAILED)
    assert failed.state.reason is None
    assert failed.last_update is not None
    assert failed.last_update.reason == "why"


def test_a_failed_creation_keeps_its_reason_while_an_update_tries_to_mend_it() -> None:
    trying = step(step(CREATED, FAILURE), UpdateAccepted())
    assert shown(trying) == (State.FAILED, UpdateStatus.IN_PROGRESS)
    assert trying.state.reason == "why"
    assert step(trying, Prepared()) == PUBLISHED


@pytest.mark.parametrize(
    ("lifecycle", "event"),
    [
        (CREATED, UpdateAccepted()),
        (PUBLISHED, Prepared()),
        (PUBLISHED, FAILURE),
        (step(PUBLISHED, UpdateAccepted()), UpdateAccepted()),
    ],
)
def test_an_event_out_of_turn_raises(lifecycle: Lifecycle, event: Prepared | UpdateAccepted) -> None:
    with pytest.raises(IllegalTransition):
        step(lifecycle, event)


def test_a_refusal_names_what_is_in_the_way() -> None:
    pending = refusal(version(CREATED), "arn:f")
    updating = refusal(version(step(PUBLISHED, UpdateAccepted())), "arn:f")
    assert pending is not None
    assert pending.endswith("currently in the following state: Pending")
    assert updating is not None
    assert updating.endswith("An update is in progress for resource: arn:f")
    assert refusal(version(PUBLISHED), "arn:f") is None


class LifeOfAVersion(RuleBasedStateMachine):
    """Any order of events that a caller may send, beside a model of what must be true."""

    @initialize(published=st.booleans())
    def begin(self, published: bool) -> None:
        self.now = PUBLISHED if published else CREATED
        self.working = not published
        self.ever_ran = published

    @precondition(lambda self: not self.working)
    @rule()
    def update(self) -> None:
        assert refusal(version(self.now), "arn") is None
        self.now = step(self.now, UpdateAccepted())
        self.working = True

    @precondition(lambda self: self.working)
    @rule()
    def succeed(self) -> None:
        self.now = step(self.now, Prepared())
        self.working = False
        self.ever_ran = True
        assert is_good(version(self.now))

    @precondition(lambda self: self.working)
    @rule()
    def fail(self) -> None:
        self.now = step(self.now, FAILURE)
        self.working = False
        assert not is_good(version(self.now))

    @rule()
    def refuse_what_does_not_fit(self) -> None:
        events = (UpdateAccepted(),) if self.working else (Prepared(), FAILURE)
        for event in events:
            with pytest.raises(IllegalTransition):
                step(self.now, event)

    @invariant()
    def unfinished_is_what_has_work(self) -> None:
        if hasattr(self, "now"):
            assert is_unfinished(version(self.now)) is self.working
            assert (refusal(version(self.now), "arn") is not None) is self.working
            assert lifecycle_of(version(self.now)) == self.now

    @invariant()
    def what_once_ran_stays_active(self) -> None:
        if hasattr(self, "now") and self.ever_ran:
            assert self.now.state.value == State.ACTIVE
            assert self.now.state.reason is None

    @invariant()
    def a_reason_is_there_exactly_while_all_is_not_well(self) -> None:
        if hasattr(self, "now"):
            state, update = self.now.state, self.now.last_update
            assert (state.reason is None) is (state.value == State.ACTIVE)
            if update is not None:
                assert (update.reason is None) is (update.value == UpdateStatus.SUCCESSFUL)


TestLifeOfAVersion = LifeOfAVersion.TestCase

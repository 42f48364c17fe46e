"""`State` and `LastUpdateStatus` of a function's version: two orthogonal machines, pure, each one table.

`State` tells whether the version can run at all, `LastUpdateStatus` how its last change fared. Both follow the one
preparation that a version may have in the works: `step` feeds its events to both. An event that a state does not
know raises `IllegalTransition`; what a caller may ask for in a state is said by `refusal`.

Source of the states: developer guide, "Lambda function states". Creation and update share one reason text on AWS.
"""

from lambent.core.function import FunctionVersion, State, Status, UpdateStatus
from lambent.core.record import Record

CREATING_REASON = "The function is being created."
CREATING_CODE = "Creating"


class IllegalTransition(Exception):
    """An event came that the state does not know: a bug of the caller."""


class UpdateAccepted(Record, frozen=True):
    """A change of code or configuration was accepted; it is to be prepared."""


class Prepared(Record, frozen=True):
    """What was accepted can run."""


class PreparationFailed(Record, frozen=True):
    """What was accepted can not run. `code` is one of AWS's StateReasonCode values."""

    reason: str
    code: str


Event = UpdateAccepted | Prepared | PreparationFailed


class Lifecycle(Record, frozen=True):
    """Where a version is in both machines. `last_update` is None from creation until its preparation ends."""

    state: Status
    last_update: Status | None


CREATED = Lifecycle(Status(State.PENDING, CREATING_REASON, CREATING_CODE), None)
PUBLISHED = Lifecycle(Status(State.ACTIVE), Status(UpdateStatus.SUCCESSFUL))
"""A version made from a `$LATEST` that is prepared."""

STATES: dict[tuple[str, type[Event]], State] = {
    (State.PENDING, Prepared): State.ACTIVE,
    (State.PENDING, PreparationFailed): State.FAILED,
    (State.ACTIVE, UpdateAccepted): State.ACTIVE,
    (State.ACTIVE, Prepared): State.ACTIVE,
    # A failed update leaves the function running what it ran before.
    (State.ACTIVE, PreparationFailed): State.ACTIVE,
    # A failed creation can be mended by an update.
    (State.FAILED, UpdateAccepted): State.FAILED,
    (State.FAILED, Prepared): State.ACTIVE,
    (State.FAILED, PreparationFailed): State.FAILED,
}

UPDATES: dict[tuple[str | None, type[Event]], UpdateStatus] = {
    (None, Prepared): UpdateStatus.SUCCESSFUL,
    (None, PreparationFailed): UpdateStatus.FAILED,
    (UpdateStatus.SUCCESSFUL, UpdateAccepted): UpdateStatus.IN_PROGRESS,
    (UpdateStatus.FAILED, UpdateAccepted): UpdateStatus.IN_PROGRESS,
    (UpdateStatus.IN_PROGRESS, Prepared): UpdateStatus.SUCCESSFUL,
    (UpdateStatus.IN_PROGRESS, PreparationFailed): UpdateStatus.FAILED,
}


def step(now: Lifecycle, event: Event) -> Lifecycle:
    """Where the event leads. Raises IllegalTransition."""
    update = None if now.last_update is None else now.last_update.value
    state_after = STATES.get((now.state.value, type(event)))
    update_after = UPDATES.get((update, type(event)))
    if state_after is None or update_after is None:
        raise IllegalTransition(f"{type(event).__name__} in {now.state.value}, {update}")
    return Lifecycle(_state(now.state, state_after, event), _update(update_after, event))


def _state(before: Status, after: State, event: Event) -> Status:
    if after is not State.FAILED:
        return Status(after)
    if isinstance(event, PreparationFailed):
        return Status(after, event.reason, event.code)
    return before


def _update(after: UpdateStatus, event: Event) -> Status:
    if isinstance(event, PreparationFailed):
        return Status(after, event.reason, event.code)
    if after is UpdateStatus.IN_PROGRESS:
        return Status(after, CREATING_REASON, CREATING_CODE)
    return Status(after)


def lifecycle_of(version: FunctionVersion) -> Lifecycle:
    return Lifecycle(version.state, version.last_update)


def is_good(version: FunctionVersion) -> bool:
    """The record is one that invocations may run."""
    return version.state.value == State.ACTIVE and (
        version.last_update is None or version.last_update.value == UpdateStatus.SUCCESSFUL
    )


def is_unfinished(version: FunctionVersion) -> bool:
    """A preparation of the record must end before it can change again."""
    return version.state.value == State.PENDING or (
        version.last_update is not None and version.last_update.value == UpdateStatus.IN_PROGRESS
    )


def refusal(version: FunctionVersion, arn: str) -> str | None:
    """Why the version can not be updated or published now, in AWS's words, or None."""
    if version.state.value == State.PENDING:
        return (
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {State.PENDING}"
        )
    if is_unfinished(version):
        return f"The operation cannot be performed at this time. An update is in progress for resource: {arn}"
    return None

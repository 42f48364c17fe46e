"""The conditions of a change: the function can be changed now, and is as the caller last saw it."""

from msgspec.structs import replace

from lambent.control.dependencies import Control
from lambent.core.arn import function_arn
from lambent.core.errors import PreconditionFailedException, ResourceConflictException
from lambent.core.function import FunctionVersion
from lambent.core.function_state import UpdateAccepted, lifecycle_of, refusal, step

STALE_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)


def check_can_change(latest: FunctionVersion) -> None:
    """Raises ResourceConflictException while a creation or an update is being prepared."""
    reason = refusal(latest, function_arn(latest.function))
    if reason is not None:
        raise ResourceConflictException(reason)


def check_revision(latest: FunctionVersion, expected: str | None) -> None:
    if expected and expected != latest.revision_id:
        raise PreconditionFailedException(STALE_REVISION)


def updated(deps: Control, before: FunctionVersion, after: FunctionVersion) -> FunctionVersion:
    """`after`, as an accepted update of `before`: InProgress, in a new revision. Where nothing differs that a
    version would keep, what runs is not another one: `config_revision` stays."""
    lifecycle = step(lifecycle_of(before), UpdateAccepted())
    return replace(
        after,
        revision_id=deps.new_id(),
        config_revision=before.config_revision if is_same(before, after) else deps.new_id(),
        last_modified_ms=deps.clock.wall_ms(),
        state=lifecycle.state,
        last_update=lifecycle.last_update,
    )


def is_same(before: FunctionVersion, after: FunctionVersion) -> bool:
    """Whether the two are equal in all that a version keeps."""
    return (
        before.configuration == after.configuration
        and (before.package.digest, before.package.origin) == (after.package.digest, after.package.origin)
        and before.image == after.image
        and before.architectures == after.architectures
    )

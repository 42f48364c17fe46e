"""A function's versions as Lambent keeps them: immutable records, whole, one per version.

`$LATEST` is a version like the others; its record is replaced at each change. What an invocation needs of a record
is in the record, so the data plane reads nothing else.
"""

from enum import StrEnum

import msgspec

from lambent.core.limits import EPHEMERAL_MIB_DEFAULT
from lambent.core.record import Record

LATEST = "$LATEST"
NO_SNAP_START = "None"
"""ApplyOn of a function whose versions are not started from snapshots."""


class State(StrEnum):
    """`State` of a FunctionConfiguration."""

    PENDING = "Pending"
    ACTIVE = "Active"
    FAILED = "Failed"


class UpdateStatus(StrEnum):
    """`LastUpdateStatus` of a FunctionConfiguration."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class Status(Record, frozen=True):
    """One of the two orthogonal machines of a function, with AWS's reason and code (absent when all is well)."""

    value: str
    reason: str | None = None
    reason_code: str | None = None


class FunctionName(Record, frozen=True, order=True, cache_hash=True):
    """What identifies a function: names are unique within an account and region."""

    account: str
    region: str
    name: str


class S3Object(Record, frozen=True):
    bucket: str
    key: str
    version: str | None = None


class Origin(Record, frozen=True):
    """What the caller wishes of how a package is kept, which is told and not acted upon: encrypted with a key of its
    own, in the object that it was read from."""

    key_arn: str | None = None
    referenced: S3Object | None = None


class Package(Record, frozen=True):
    """A deployment package: `digest` is the SHA-256 of the zip archive in hexadecimal, `size` its bytes, `unzipped`
    the bytes of what is in it. `origin` is None where the caller has no wishes."""

    digest: str
    size: int
    unzipped: int = 0
    origin: Origin | None = None


NO_PACKAGE = Package("", 0)
"""Of a function whose code is an image."""


class Image(Record, frozen=True):
    """A container image by the name that the caller gave it. `digest` is the SHA-256, in hexadecimal, of an image that
    is named by it: what a tag stands for is not looked up."""

    uri: str
    digest: str | None = None


class AttachedLayer(Record, frozen=True):
    """A layer version that a function uses, under the ARN by which it was named."""

    arn: str
    package: Package


class Logging(Record, frozen=True):
    """LoggingConfig, with its defaults filled in. The levels are set only for the JSON format."""

    log_group: str
    log_format: str = "Text"
    application_level: str | None = None
    system_level: str | None = None


class UnreadableVariables(Record, frozen=True):
    """Environment variables that no key at hand opens. `sealed` is kept: the key may come back. `reason` is for people,
    after "because"."""

    sealed: bytes
    reason: str

    @property
    def message(self) -> str:
        """What whoever needs the variables is told."""
        return (
            f"Lambda was unable to decrypt the environment variables of the function because {self.reason}. "
            "Put the key back, or set the environment variables anew."
        )


class Configuration(Record, frozen=True):
    """What UpdateFunctionConfiguration changes, defaults filled in.

    `variables` is None where the caller never supplied an Environment, and where there is `unreadable`. `stored` holds
    members that are kept and returned but not acted upon yet, by their names on the wire and in their form there
    (`docs/compatibility.md`). `tenant_isolation_mode` alone stays as it was at creation: PER_TENANT, or None where all
    who invoke the function share its environments.
    """

    role: str
    runtime: str
    handler: str
    description: str = ""
    timeout_s: int = 3
    memory_mib: int = 128
    ephemeral_mib: int = EPHEMERAL_MIB_DEFAULT
    variables: dict[str, str] | None = None
    tracing_mode: str = "PassThrough"
    logging: Logging = Logging(log_group="")
    snap_start: str = NO_SNAP_START
    layers: tuple[AttachedLayer, ...] = ()
    stored: dict[str, object] = msgspec.field(default_factory=dict)
    unreadable: UnreadableVariables | None = None
    tenant_isolation_mode: str | None = None


class RuntimeManagement(Record, frozen=True):
    """When the runtime is renewed. `runtime_version_arn` is set for `Manual` only."""

    update_on: str = "Auto"
    runtime_version_arn: str | None = None


class FunctionVersion(Record, frozen=True):
    """One version of a function, complete.

    `revision_id` is new at each change; `config_revision` only when what runs changes (code or configuration), so it
    tells which execution environments may serve. `last_modified_ms` is wall-clock time. `tags` and `recursive_loop` are
    the function's as a whole: only those of `$LATEST` count.
    """

    function: FunctionName
    version: str
    configuration: Configuration
    package: Package
    architectures: tuple[str, ...]
    revision_id: str
    config_revision: str
    last_modified_ms: int
    state: Status
    last_update: Status | None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    published_from: str | None = None
    """For a published version: the `config_revision` of `$LATEST` that it was made from."""
    recursive_loop: str = "Terminate"
    runtime_management: RuntimeManagement = RuntimeManagement()
    snapshotted: bool = False
    """For a published version with SnapStart: its environments are restored from a template."""
    image: Image | None = None
    """The code, where it is no package: `package` is NO_PACKAGE then, `runtime` and `handler` are empty."""


def has_snap_start(version: FunctionVersion) -> bool:
    """Whether its environments are to be started from a snapshot. `$LATEST` has none, whatever is configured."""
    return version.version != LATEST and version.configuration.snap_start != NO_SNAP_START

"""What the operations of the control plane work with: handed in by `lambent.assembly`."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from lambent.clock import Clock, SystemClock
from lambent.control.code_buckets import CodeBuckets
from lambent.core.function import FunctionName, FunctionVersion
from lambent.core.limits import SNAP_START_RUNTIMES
from lambent.core.provisioned_concurrency import Progress
from lambent.core.snap_start import Snapshot
from lambent.store.metadata import MetadataStore
from lambent.store.packages import PackageStore
from lambent.wire.call import Call, Result


class Runtimes(Protocol):
    async def prepare(self, runtime: str) -> None:
        """Make sure that functions of the runtime can be started. Raises RuntimeUnavailable."""


class Provisioned(Protocol):
    def progress(self, function: FunctionName, qualifier: str) -> Progress:
        """What there is of the environments that are provisioned for a version or an alias."""


class Snapshots(Protocol):
    async def make(self, version: FunctionVersion) -> Snapshot:
        """Initialise the version in a template, from which its environments are restored then. Whoever gives up
        waiting has none made. Raises NotKept."""

    def drop(self, version: FunctionVersion) -> None:
        """The version is not to have a template any more."""


@dataclass(frozen=True, slots=True)
class Control:
    """`new_id` makes the opaque ids of revisions: unique, a UUID's text. `code_link_secret` signs code links.
    `concurrency_limit` is each account's, per region. `buckets` has code in S3, by default for nobody.
    `snap_start_runtimes` are those that may be started from snapshots."""

    store: MetadataStore
    packages: PackageStore
    clock: Clock
    new_id: Callable[[], str]
    code_link_secret: bytes = field(repr=False)
    concurrency_limit: int
    provisioned: Provisioned
    snapshots: Snapshots
    snap_start_runtimes: frozenset[str] = SNAP_START_RUNTIMES
    buckets: CodeBuckets = field(default_factory=lambda: CodeBuckets(lambda _account: None, SystemClock()))


ControlOperation = Callable[[Control, Call], Coroutine[Any, Any, Result]]

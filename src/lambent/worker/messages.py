"""The whole vocabulary between a dispatcher and a worker: typed commands down, typed events up.

Nothing else crosses this seam, in one process or between two (`worker/transport.py`), so every message is plain,
immutable data. A dispatcher may send a `Run` only to an environment that is available: after `Available`, and
before the next `Run`.

```
dispatcher            worker
Start        ->                 a sandbox is started and the runtime initialised
             <-       Initialised
             <-       Available (or Gone, when the sandbox can not be had)
Run          ->
             <-       Answered  the caller may have the answer
             <-       Available the runtime has asked for the next event, or is to be reset by the next Run
             <-       Finished  the attempt is over and measured; always the last word about an invocation. It may come
                                after the environment has become available, and has the next Run
Retire       ->
             <-       Gone      nothing of the environment is left on the machine
```

With SnapStart there is a template first, from which the environments of a version are restored:

```
MakeTemplate ->                 a sandbox is started, and the function initialised in it
             <-       TemplateMade, or TemplateFailed and then Gone, or TemplateRefused and at most Gone
Start        ->                 with its `template_id`: Available follows, or Gone
Retire       ->                 the template itself; what was restored from it stays
             <-       Gone      also when the template ends by itself
```
"""

from lambent.core.credentials import Credentials
from lambent.core.invocation import Answer, Invocation, Outcome, Report
from lambent.core.network import LOOPBACK, Network
from lambent.core.record import Record

ON_DEMAND = "on-demand"
PROVISIONED = "provisioned-concurrency"
SNAP_START = "snap-start"
"""How an environment came to be initialised, as AWS_LAMBDA_INITIALIZATION_TYPE tells a function."""


class EnvironmentSpec(Record, frozen=True):
    """All that a worker must know to make an execution environment for one version of a function.

    `package` is the hexadecimal SHA-256 of the deployment package; the worker's code cache has it or fetches it.
    `layers` are those of the layers' packages, in the order in which they are laid over each other.
    `variables` are the customer's own. `template_id` is set where the environment is to be restored from that template.
    `tenant_id` is set where the environment is one tenant's, for
    life. `log_group` and `log_stream` are CloudWatch Logs names.
    """

    account: str
    region: str
    function_name: str
    version: str
    runtime: str
    handler: str
    memory_mib: int
    timeout_ms: int
    ephemeral_mib: int
    package: str
    variables: dict[str, str]
    credentials: Credentials
    log_group: str
    log_stream: str
    log_format: str = "Text"
    application_log_level: str | None = None
    system_log_level: str | None = None
    initialization_type: str = ON_DEMAND
    runtime_version_arn: str = ""
    layers: tuple[str, ...] = ()
    tenant_id: str | None = None
    template_id: str | None = None
    network: Network = LOOPBACK


class Hello(Record, frozen=True):
    """The first command to a worker in another process: where the server's own endpoint is."""

    host: str
    port: int


class Start(Record, frozen=True):
    environment_id: str
    spec: EnvironmentSpec


class Run(Record, frozen=True):
    environment_id: str
    invocation: Invocation


class MakeTemplate(Record, frozen=True):
    """Initialise a version, for environments to be restored from it. The template is known by `environment_id`."""

    environment_id: str
    spec: EnvironmentSpec


class Retire(Record, frozen=True):
    """End the environment: at once when it is idle, after its invocation when it is busy."""

    environment_id: str


class TemplateMade(Record, frozen=True):
    """Environments may be restored from the template. `memory_bytes` is what it takes, shared memory
    counted in parts."""

    environment_id: str
    memory_bytes: int


class TemplateFailed(Record, frozen=True):
    """The function could not be initialised; or it was, and could not be kept for the `fault` of the platform's."""

    environment_id: str
    fault: str = ""


class TemplateRefused(Record, frozen=True):
    """This worker has no templates, or none of this runtime."""

    environment_id: str


class Initialised(Record, frozen=True):
    """The initialisation that is no part of an invocation is over, once for each environment that is not restored and
    has a sandbox.
    `failed` says that it was in vain: the next `Run` repeats it."""

    environment_id: str
    failed: bool = False


class Available(Record, frozen=True):
    """The environment can take an event."""

    environment_id: str


class Answered(Record, frozen=True):
    environment_id: str
    request_id: str
    answer: Answer


class Finished(Record, frozen=True):
    environment_id: str
    request_id: str
    report: Report


TOOK_UNKNOWN = "?"
"""No invocation's id."""


class Gone(Record, frozen=True):
    """The environment is no more. `reason` is for the operator's log and is empty after a `Retire`. `restoration` is
    set where it could not be restored: how that ended. `took` is the last invocation that it took: one that was sent to
    it after that has not begun. TOOK_UNKNOWN is told where the worker died, by whoever noticed that."""

    environment_id: str
    reason: str = ""
    restoration: Outcome | None = None
    took: str | None = None


class LogLines(Record, frozen=True):
    """Lines of an environment's log stream, in order: (milliseconds since the epoch, text without newline)."""

    account: str
    region: str
    log_group: str
    log_stream: str
    lines: tuple[tuple[int, str], ...]


class MemoryMeasured(Record, frozen=True):
    """Told again and again: the memory that the worker and all that it runs may have, and what of it is not in use.

    Both are within the limits of the control groups that the worker is in."""

    memory_mib: int
    available_mib: int


Command = Hello | Start | Run | MakeTemplate | Retire
Event = (
    Initialised
    | Available
    | Answered
    | Finished
    | TemplateMade
    | TemplateFailed
    | TemplateRefused
    | Gone
    | LogLines
    | MemoryMeasured
)

"""Has the worker start environments and make templates, each with what it needs for that: the version's settings, the
names of its log, and a session of the function's role.

Owns which session an environment was given, until it is revoked. Whether an environment is to be started, and from
which template, is decided before: by `core.assignment`, `core.provisioned_concurrency` and `core.snap_start`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from lambent.clock import Clock
from lambent.core.arn import runtime_version_arn
from lambent.core.credentials import Credentials
from lambent.core.function import FunctionVersion
from lambent.core.network import Networks
from lambent.invoke.configuration import Serving
from lambent.worker.messages import SNAP_START, EnvironmentSpec, MakeTemplate, Start


class CredentialSource(Protocol):
    """Gives an environment the session of its function's role, and takes it back."""

    def issue(self, account: str, role_arn: str, session_name: str) -> Credentials: ...

    def revoke(self, access_key_id: str) -> None: ...


class Launching:
    """`send` takes the commands to the worker; `new_id` makes the token with which a function asks for its
    credentials."""

    def __init__(
        self,
        clock: Clock,
        credentials: CredentialSource,
        networks: Networks,
        *,
        new_id: Callable[[], str],
        send: Callable[[Start | MakeTemplate], None],
    ) -> None:
        self._clock = clock
        self._credentials = credentials
        self._networks = networks
        self._new_id = new_id
        self._send = send
        self._keys: dict[str, str] = {}
        """The access key that an environment was given, by environment."""

    def initialise(self, serving: Serving, environment_id: str, initialization_type: str) -> None:
        self._send(Start(environment_id, self._spec(serving, environment_id, initialization_type)))

    def restore(self, serving: Serving, environment_id: str, template_id: str) -> None:
        self._send(Start(environment_id, self._spec(serving, environment_id, SNAP_START, template_id)))

    def make_template(self, serving: Serving, template_id: str) -> None:
        self._send(MakeTemplate(template_id, self._spec(serving, template_id, SNAP_START)))

    def revoke(self, environment_id: str) -> None:
        """The environment, or template, is to have no session any more, if it had one."""
        key = self._keys.pop(environment_id, None)
        if key is not None:
            self._credentials.revoke(key)

    def _spec(
        self, serving: Serving, environment_id: str, initialization_type: str, template_id: str | None = None
    ) -> EnvironmentSpec:
        version = serving.version
        configuration = version.configuration
        function = version.function
        return EnvironmentSpec(
            account=function.account,
            region=function.region,
            function_name=function.name,
            version=version.version,
            runtime=configuration.runtime,
            handler=configuration.handler,
            memory_mib=configuration.memory_mib,
            timeout_ms=configuration.timeout_s * 1000,
            ephemeral_mib=configuration.ephemeral_mib,
            package=version.package.digest,
            variables=dict(configuration.variables or {}),
            credentials=self._issue(version, environment_id, by_authorization=initialization_type == SNAP_START),
            log_group=configuration.logging.log_group,
            log_stream=_stream_name(self._clock.wall_ms(), version.version, environment_id),
            log_format=configuration.logging.log_format,
            application_log_level=configuration.logging.application_level,
            system_log_level=configuration.logging.system_level,
            initialization_type=initialization_type,
            runtime_version_arn=runtime_version_arn(function.region, configuration.runtime),
            layers=tuple(layer.package.digest for layer in configuration.layers),
            tenant_id=serving.tenant_id,
            template_id=template_id,
            network=self._networks.of(function, configuration.stored),
        )

    def _issue(self, version: FunctionVersion, environment_id: str, *, by_authorization: bool) -> Credentials:
        credentials = self._credentials.issue(
            version.function.account, version.configuration.role, _session_name(version.function.name)
        )
        self._keys[environment_id] = credentials.access_key_id
        return replace(credentials, authorization=self._new_id()) if by_authorization else credentials


def _session_name(function_name: str) -> str:
    """A role session's name has two characters at least. Source: developer guide, "Execution role"."""
    return function_name if len(function_name) > 1 else function_name + "@lambda_function"


def _stream_name(wall_ms: int, version: str, environment_id: str) -> str:
    """`YYYY/MM/DD/[version]32-hex-digits`, the date in UTC. Environment ids are 32 hexadecimal digits."""
    day = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return f"{day:%Y/%m/%d}/[{version}]{environment_id}"

"""The way to the server: the one place where the clients make a boto3 session, and where its errors become messages.

The endpoint is `--endpoint`, else `LAMBENT_ENDPOINT`, else `AWS_ENDPOINT_URL`, else the server's default address.
Credentials are those that boto3 finds; where none are configured a test pair stands in, which Lambent takes as its
default account.
"""

import argparse
import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProfileNotFound,
    WaiterError,
)

from lambent.cli import output
from lambent.cli.outcome import CommandError, ExitCode

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"
DEFAULT_REGION = "us-east-1"
TEST_CREDENTIALS = ("test", "test")

# A synchronous invocation may take its 900 seconds, and as much as an environment needs to start.
_READ_TIMEOUT_S = 960
_CONNECT_TIMEOUT_S = 5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Connection:
    """Clients of the services at one endpoint."""

    def __init__(self, endpoint: str, region: str | None) -> None:
        self.endpoint = endpoint
        core_session = botocore.session.Session()
        # Without credentials boto3 would ask the metadata service of a cloud machine, and wait for it on others.
        core_session.get_component("credential_provider").remove("iam-role")
        self._session = boto3.Session(botocore_session=core_session)
        self.region = region or self._session.region_name or DEFAULT_REGION
        self._credentials: dict[str, str] = {}
        if self._session.get_credentials() is None:
            key, secret = TEST_CREDENTIALS
            self._credentials = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        self._config = Config(
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            # A refused connection or a failed function is told at once; the person or script decides on the rest.
            retries={"total_max_attempts": 1},
            # What the service refuses is told in its words.
            parameter_validation=False,
            proxies={} if urlsplit(endpoint).hostname in _LOOPBACK else None,
        )

    def client(self, service: str) -> Any:
        """The boto3 client of a service."""
        return self._session.client(
            service, endpoint_url=self.endpoint, region_name=self.region, config=self._config, **self._credentials
        )


Run = Callable[[argparse.Namespace, Connection], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that all clients take."""
    group = parser.add_argument_group("the server and the form of the output")
    group.add_argument(
        "--endpoint",
        metavar="URL",
        help=f"where the server is (default: LAMBENT_ENDPOINT, AWS_ENDPOINT_URL or {DEFAULT_ENDPOINT})",
    )
    group.add_argument("--region", help=f"region to work in (default: that of the AWS settings, or {DEFAULT_REGION})")
    group.add_argument("--json", action="store_true", help="print results and errors as JSON")


def endpoint_of(argument: str | None, environment: Mapping[str, str]) -> str:
    """The address of the server. Raises CommandError when it is not one."""
    endpoint = (
        argument or environment.get("LAMBENT_ENDPOINT") or environment.get("AWS_ENDPOINT_URL") or DEFAULT_ENDPOINT
    )
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandError(
            f"the endpoint {endpoint!r} is not an address",
            exit_code=ExitCode.USAGE,
            hint=f"It looks like {DEFAULT_ENDPOINT}.",
        )
    return endpoint.rstrip("/")


def run(command: Run, arguments: argparse.Namespace) -> int:
    """Run a client command, and tell what went wrong when it fails. Returns the exit code."""
    endpoint = DEFAULT_ENDPOINT
    try:
        endpoint = endpoint_of(arguments.endpoint, os.environ)
        return command(arguments, Connection(endpoint, arguments.region))
    except CommandError as error:
        failure = error
    except (ClientError, BotoCoreError) as error:
        failure = explain(error, endpoint)
    output.error(failure, as_json=arguments.json)
    return failure.exit_code


def explain(error: ClientError | BotoCoreError, endpoint: str) -> CommandError:
    """What a failed request means to the person who made it."""
    match error:
        case ClientError():
            told = error.response.get("Error", {})
            code = str(told.get("Code", ""))
            return CommandError(str(told.get("Message") or error), error_code=code)
        case EndpointConnectionError() | ConnectTimeoutError():
            return CommandError(
                f"no server answers at {endpoint}", exit_code=ExitCode.UNREACHABLE, hint=_how_to_start(endpoint)
            )
        case ConnectionClosedError() | HTTPClientError():
            return CommandError(f"the connection to {endpoint} was lost: {error}", exit_code=ExitCode.UNREACHABLE)
        case WaiterError():
            return _explain_wait(error)
        case ProfileNotFound():
            return CommandError(
                str(error), exit_code=ExitCode.USAGE, hint="AWS_PROFILE names one that exists, or none."
            )
        case _:
            return CommandError(str(error))


def _explain_wait(error: WaiterError) -> CommandError:
    last = error.last_response if isinstance(error.last_response, Mapping) else {}
    configuration = last.get("Configuration", last)
    reason = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason")
    return CommandError(f"the function did not become ready: {reason or error}")


def _how_to_start(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.hostname not in _LOOPBACK:
        return "Is it running there, and does the network let you through?"
    command = ["lambent", "serve"]
    if parts.port not in (None, 4566):
        command += ["--port", str(parts.port)]
    return f"Start one with `{shlex.join(command)}`, or name another with --endpoint or LAMBENT_ENDPOINT."

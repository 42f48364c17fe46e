"""`lambent deploy`: from a file or folder to a function that is ready to be invoked.

Owns the order of the steps: find the handler, install the dependencies, package, create or update, wait. What is
the same already is not touched: deploying twice changes nothing.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from lambent.cli import archive, dependencies, output, program
from lambent.cli.connection import Connection
from lambent.cli.listing import size
from lambent.cli.outcome import CommandError, ExitCode
from lambent.cli.program import Program

ROLE = "lambent-function"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", type=Path, help="the function: a folder, a file, or a zip archive")
    parser.add_argument("--name", help="name of the function (default: that of the folder or file)")
    parser.add_argument("--runtime", help="such as python3.12, nodejs22.x or provided.al2023 (default: found in PATH)")
    parser.add_argument("--handler", help="such as app.handler (default: found in PATH)")
    parser.add_argument("--memory", metavar="MB", type=int, help="memory; the share of CPU follows it")
    parser.add_argument("--timeout", metavar="SECONDS", type=int, help="longest time of one invocation")
    parser.add_argument("--storage", metavar="MB", type=int, help="size of /tmp")
    parser.add_argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        help="a variable; may be repeated. Those given replace all that the function had",
    )
    parser.add_argument("--description", help="what the function does")
    parser.add_argument("--role", metavar="ARN", help=f"role of the function (default: {ROLE}, made when missing)")
    parser.add_argument("--publish", action="store_true", help="publish a version of what was deployed")


def run(arguments: argparse.Namespace, connection: Connection) -> int:
    began = time.monotonic()
    wanted = configuration_of(arguments)
    with _readable(arguments.path):
        found = program.find(arguments.path, arguments.runtime, arguments.handler)
    name = arguments.name or found.name
    if not name:
        raise CommandError(
            f"a function can not be named after {found.source.name}", exit_code=ExitCode.USAGE, hint="Give it a --name."
        )
    output.progress(f"{name}: {found.runtime}, handler {found.handler}")
    client = connection.client("lambda")
    existing = _existing(client, name)
    with _readable(arguments.path):
        package = _package(found)
    wanted |= {"Runtime": found.runtime, "Handler": found.handler}
    if existing is None:
        wanted["Role"] = arguments.role or _default_role(connection)
        output.progress(f"creating {name} ({size(len(package))})")
        client.create_function(FunctionName=name, Code={"ZipFile": package}, **wanted)
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        action = "created"
    else:
        if arguments.role:
            wanted["Role"] = arguments.role
        action = "updated" if _update(client, existing, package, wanted) else "unchanged"
    configuration = client.get_function_configuration(FunctionName=name)
    if arguments.publish:
        configuration = client.publish_version(FunctionName=name)
    configuration.pop("ResponseMetadata", None)
    if arguments.json:
        output.document({**configuration, "Action": action})
    else:
        output.result(_sentence(configuration, action, time.monotonic() - began))
    return ExitCode.OK


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} can not be read: {error}", exit_code=ExitCode.USAGE) from error


def configuration_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The members of the configuration that the command line gives. Raises CommandError."""
    wanted: dict[str, Any] = {}
    if arguments.memory is not None:
        wanted["MemorySize"] = arguments.memory
    if arguments.timeout is not None:
        wanted["Timeout"] = arguments.timeout
    if arguments.storage is not None:
        wanted["EphemeralStorage"] = {"Size": arguments.storage}
    if arguments.description is not None:
        wanted["Description"] = arguments.description
    if arguments.env is not None:
        wanted["Environment"] = {"Variables": dict(_variable(pair) for pair in arguments.env)}
    return wanted


def _variable(pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not separator or not name:
        raise CommandError(f"--env takes NAME=VALUE, not {pair!r}", exit_code=ExitCode.USAGE)
    return name, value


def _existing(client: Any, name: str) -> dict[str, Any] | None:
    try:
        configuration: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    return configuration


def _package(found: Program) -> bytes:
    if found.archive:
        return found.source.read_bytes()
    if found.source.is_file():
        name = program.BOOTSTRAP if found.runtime.startswith("provided") else found.source.name
        return archive.write([(name, found.source)])
    installed = Path(tempfile.mkdtemp(prefix="lambent-deploy-"))
    try:
        dependencies.install(found.source, found.runtime, installed)
        return archive.build(found.source, installed)
    finally:
        shutil.rmtree(installed)


def _update(client: Any, existing: dict[str, Any], package: bytes, wanted: dict[str, Any]) -> bool:
    """Bring a function up to date. Returns whether anything was different."""
    name = existing["FunctionName"]
    digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
    new_code = digest != existing.get("CodeSha256")
    new_configuration = {member: value for member, value in wanted.items() if existing.get(member) != value}
    if new_code:
        output.progress(f"updating the code of {name} ({size(len(package))})")
        client.update_function_code(FunctionName=name, ZipFile=package)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    if new_configuration:
        output.progress(f"updating the configuration of {name}: {', '.join(sorted(new_configuration))}")
        client.update_function_configuration(FunctionName=name, **new_configuration)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    return bool(new_code or new_configuration)


def _default_role(connection: Connection) -> str:
    iam = connection.client("iam")
    try:
        answer = iam.get_role(RoleName=ROLE)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        output.progress(f"creating the role {ROLE}")
        answer = _create_role(iam)
    arn: str = answer["Role"]["Arn"]
    return arn


def _create_role(iam: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = iam.create_role(
            RoleName=ROLE,
            AssumeRolePolicyDocument=json.dumps(_TRUST),
            Description="Role of the functions that `lambent deploy` makes",
        )
    except iam.exceptions.EntityAlreadyExistsException:  # another deployment was quicker
        answer = iam.get_role(RoleName=ROLE)
    return answer


def _sentence(configuration: dict[str, Any], action: str, took_s: float) -> str:
    version = configuration.get("Version", "$LATEST")
    published = "" if version == "$LATEST" else f", version {version}"
    return (
        f"{action} {configuration['FunctionName']}{published} in {took_s:.1f} s: {configuration.get('Runtime')}, "
        f"{configuration['MemorySize']} MB, {configuration['Timeout']} s, {size(configuration['CodeSize'])}"
    )

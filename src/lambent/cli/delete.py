"""`lambent delete`: a function with all its versions, or one version of it."""

import argparse

from lambent.cli import output
from lambent.cli.connection import Connection
from lambent.cli.outcome import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name or ARN of the function")
    parser.add_argument("--qualifier", metavar="VERSION", help="delete this version only")


def run(arguments: argparse.Namespace, connection: Connection) -> int:
    chosen = {"Qualifier": arguments.qualifier} if arguments.qualifier else {}
    connection.client("lambda").delete_function(FunctionName=arguments.name, **chosen)
    if arguments.json:
        output.document({"FunctionName": arguments.name, "Action": "deleted", **chosen})
    else:
        version = f", version {arguments.qualifier}" if arguments.qualifier else ""
        output.result(f"deleted {arguments.name}{version}")
    return ExitCode.OK

"""The client commands by name. Owns how one is found and run; each module owns its arguments and its work.

A command's module has `add_arguments(parser)` and `run(arguments, connection) -> int`; that of an operator's command
has `show(arguments, view) -> int`. It is imported when its command was asked for, so that each of them, and
`lambent serve`, loads no more than it uses.
"""

import argparse
import importlib

SUMMARIES = {
    "deploy": "package a file or folder, install its dependencies, and create or update the function",
    "invoke": "invoke a function and print its answer",
    "logs": "print what a function wrote, as it is written with --follow",
    "list": "list the functions",
    "delete": "delete a function",
    "queue": "show the operator the asynchronous events of a server here, by function",
    "environments": "show the operator the execution environments of a server here, by function and version",
}

_MODULES = {
    "deploy": "lambent.cli.deploy",
    "invoke": "lambent.cli.invoke",
    "logs": "lambent.cli.logs",
    "list": "lambent.cli.listing",
    "delete": "lambent.cli.delete",
}

_OPERATORS_MODULES = {"queue": "lambent.cli.queue", "environments": "lambent.cli.environments"}

_EPILOG = (
    "Exit codes: 0 done; 1 the request failed; 2 wrong usage; 3 the function answered with an error; "
    "4 no server could be reached; 130 interrupted."
)


def prepare(name: str, parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a command, and what runs it."""
    parser.epilog = _EPILOG
    if name in _OPERATORS_MODULES:
        from lambent.cli import operator_view

        show = importlib.import_module(_OPERATORS_MODULES[name]).show
        operator_view.add_arguments(parser)
        parser.set_defaults(run=lambda arguments: operator_view.run(name, show, arguments))
        return
    from lambent.cli import connection  # loads boto3, which the server does without

    module = importlib.import_module(_MODULES[name])
    module.add_arguments(parser)
    connection.add_arguments(parser)
    parser.set_defaults(run=lambda arguments: connection.run(module.run, arguments))

"""The command `lambent`: reads the command line and hands over to whoever carries the command out.

`serve`, `worker` and `doctor` are the server's own; the other commands are in `lambent.cli` and see nothing of the
server but its public API. Imports are inside the functions so that neither side loads the other: a client starts
without the server's modules, the server without boto3.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lambent
from lambent import settings
from lambent.cli import commands
from lambent.cli.outcome import ExitCode


@dataclass(frozen=True, slots=True)
class Command:
    """A command: how its arguments are declared, and what carries it out and returns the exit code."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code (`lambent.cli.outcome.ExitCode`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser(words[0] if words else "").parse_args(words)
    try:
        return int(parsed.run(parsed))
    except settings.SettingsError as error:
        print(f"lambent: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambent",
        description="AWS Lambda on machines you own.",
        epilog="`lambent COMMAND --help` tells what a command takes.",
    )
    parser.add_argument("--version", action="version", version=f"lambent {lambent.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in _SERVER_COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.summary, description=_sentence(command.summary))
        subparser.set_defaults(run=command.run)
        command.add_arguments(subparser)
    for name, summary in commands.SUMMARIES.items():
        subparser = subparsers.add_parser(name, help=summary, description=_sentence(summary))
        if name == chosen:
            commands.prepare(name, subparser)
    return parser


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _serve(arguments: argparse.Namespace) -> int:
    values = settings.read(arguments, os.environ)
    from lambent import assembly  # the server, which the clients do without

    return assembly.serve(values)


def _worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on for the server")
    settings.add_arguments(parser)


def _worker(arguments: argparse.Namespace) -> int:
    values = settings.read(arguments, os.environ)
    from lambent import assembly  # the server, which the clients do without

    return assembly.serve_worker(values, arguments.socket)


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    settings.add_arguments(parser)


def _doctor(arguments: argparse.Namespace) -> int:
    values = settings.read(arguments, os.environ)
    from lambent import doctor  # reaches the worker, which the clients do without

    return doctor.run(values, as_json=arguments.json)


_SERVER_COMMANDS = {
    "serve": Command("run the server", settings.add_arguments, _serve),
    "worker": Command("run a worker in a process of its own", _worker_arguments, _worker),
    "doctor": Command("tell what this machine can and can not do, and how to mend it", _doctor_arguments, _doctor),
}


if __name__ == "__main__":
    sys.exit(main())

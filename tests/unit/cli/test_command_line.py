"""The command line without a server: what is refused, what is told, and with which exit code."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lambent.__main__ import main
from lambent.cli import commands
from lambent.cli.connection import endpoint_of
from lambent.cli.invoke import event_of
from lambent.cli.listing import size
from lambent.cli.logs import Tail, since
from lambent.cli.outcome import CommandError, ExitCode
from lambent.cli.output import table

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture
def unused_endpoint() -> Iterator[str]:
    """An address where nobody listens, kept so for the test."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.parametrize("command", [["list"], ["invoke", "f"], ["logs", "f"], ["delete", "f"]])
def test_without_a_server_a_client_says_so_and_how_to_start_one(
    command: list[str], unused_endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--endpoint", unused_endpoint]) == ExitCode.UNREACHABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert f"no server answers at {unused_endpoint}" in told.err
    assert f"lambent serve --port {unused_endpoint.rsplit(':', 1)[1]}" in told.err


def test_with_json_an_error_is_a_document_too(unused_endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json", "--endpoint", unused_endpoint]) == ExitCode.UNREACHABLE
    assert "no server answers" in json.loads(capsys.readouterr().err)["error"]["message"]


@pytest.mark.parametrize("name", commands.SUMMARIES)
def test_every_command_tells_its_arguments_and_the_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    told = capsys.readouterr().out
    assert "--json" in told
    assert ("--data-dir" if name in ("queue", "environments") else "--endpoint") in told
    assert "3 the function answered with an error" in " ".join(told.split())


def test_the_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    readme = " ".join((Path(__file__).parents[3] / "README.md").read_text().split())
    listed = readme.split("Exit codes: ")[1].split(". ##")[0]
    assert [int(part.split()[0]) for part in listed.split(", ")] == [code.value for code in ExitCode]


def test_the_server_does_without_boto3_and_the_clients_without_the_server() -> None:
    probe = (
        "import sys; from lambent.__main__ import _parser; _parser({0!r}); "
        "print([m for m in sys.modules if m in ('boto3', 'lambent.store', 'lambent.server', 'asyncio')])"
    )
    loaded = {
        name: subprocess.run([sys.executable, "-c", probe.format(name)], capture_output=True, text=True, check=True)
        for name in ("serve", "deploy")
    }
    assert loaded["serve"].stdout.strip() == "[]"
    assert "lambent" not in loaded["deploy"].stdout


def test_an_endpoint_is_taken_from_the_argument_then_our_variable_then_that_of_aws() -> None:
    environment = {"LAMBENT_ENDPOINT": "http://ours:1", "AWS_ENDPOINT_URL": "http://theirs:2"}
    assert endpoint_of("http://given:3/", environment) == "http://given:3"
    assert endpoint_of(None, environment) == "http://ours:1"
    assert endpoint_of(None, {"AWS_ENDPOINT_URL": "http://theirs:2"}) == "http://theirs:2"
    assert endpoint_of(None, {}) == "http://127.0.0.1:4566"


@pytest.mark.parametrize("endpoint", ["4566", "localhost:4566", "ftp://here", "http://"])
def test_what_is_no_address_is_refused_as_wrong_usage(endpoint: str) -> None:
    with pytest.raises(CommandError) as caught:
        endpoint_of(endpoint, {})
    assert caught.value.exit_code == ExitCode.USAGE


def test_an_event_comes_from_the_word_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "event.json").write_text('{"from": "file"}')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "input"}')))
    assert event_of('{"from": "word"}') == b'{"from": "word"}'
    assert event_of(f"@{tmp_path / 'event.json'}") == b'{"from": "file"}'
    assert event_of("-") == b'{"from": "input"}'


@pytest.mark.parametrize("data", ["{", "hello", "@/no/such/file", ""])
def test_an_event_that_can_not_be_one_is_wrong_usage(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "f", "--data", data]) == ExitCode.USAGE
    assert "the event" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["deploy", "/no/such/path"], "there is no /no/such/path"),
        (["deploy", ".", "--env", "NAME"], "--env takes NAME=VALUE, not 'NAME'"),
        (["logs", "f", "--since", "yesterday"], "'yesterday' is not a time"),
        (["serve", "--port", "x"], "--port must be a whole number"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked_of_a_server(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == ExitCode.USAGE
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "ago_s"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("2026-01-31T11:59:00+00:00", 60)]
)
def test_a_time_is_how_long_ago_or_when(text: str, ago_s: int) -> None:
    assert since(text, NOW) == NOW_MS - ago_s * 1000


def test_a_time_before_all_time_is_the_beginning() -> None:
    assert since("2000w", NOW) >= 0
    with pytest.raises(CommandError):
        since("999999999999d", NOW)


def event(number: int, at_ms: int) -> dict[str, object]:
    return {"eventId": str(number), "timestamp": at_ms, "message": "line"}


def test_following_shows_each_line_once_and_one_that_comes_late_too() -> None:
    tail = Tail(0)
    assert [e["eventId"] for e in tail.unseen(iter([event(1, 100_000), event(3, 100_002)]))] == ["1", "3"]
    late = [event(1, 100_000), event(2, 100_001), event(3, 100_002), event(4, 130_000)]
    assert [e["eventId"] for e in tail.unseen(iter(late))] == ["2", "4"]
    assert tail.start_ms == 120_000
    assert list(tail.unseen(iter([event(4, 130_000)]))) == []


def test_a_table_has_its_columns_in_line() -> None:
    assert table(("A", "LONG"), [("wide", "1")]).splitlines() == ["A     LONG", "wide  1"]


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (3 * 1024 * 1024, "3.0 MB")]
)
def test_a_size_is_told_in_its_unit(count: int, told: str) -> None:
    assert size(count) == told

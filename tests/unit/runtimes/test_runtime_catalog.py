"""What the catalogue answers before any kit is there: runtimes that can not be had, and packages that are their own."""

import asyncio
import sys
from pathlib import Path

import pytest

from lambent.core.limits import RETIRED_RUNTIMES, RUNTIMES, RUNTIMES_RUN
from lambent.worker.runtimes.catalog import InvalidEntrypoint, Runtimes, RuntimeUnavailable
from lambent.worker.sandbox.driver import Template


@pytest.fixture
def runtimes(tmp_path: Path) -> Runtimes:
    return Runtimes(tmp_path / "cache")


def test_the_lists_of_runtimes_agree() -> None:
    assert set(RUNTIMES) >= RUNTIMES_RUN
    assert not set(RUNTIMES) & RETIRED_RUNTIMES
    assert len(set(RUNTIMES)) == len(RUNTIMES) == 25


@pytest.mark.parametrize("runtime", sorted(set(RUNTIMES) - RUNTIMES_RUN))
def test_a_runtime_that_is_not_run_yet_is_told_so(runtimes: Runtimes, runtime: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=f"does not run {runtime} yet; docs/compatibility.md"):
        asyncio.run(runtimes.prepare(runtime))


def test_an_unknown_runtime_is_told_so(runtimes: Runtimes) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"cobol1\.x is no runtime of AWS Lambda"):
        asyncio.run(runtimes.prepare("cobol1.x"))


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_a_package_with_an_executable_bootstrap_is_its_own_runtime(
    runtimes: Runtimes, runtime: str, tmp_path: Path
) -> None:
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
    (tmp_path / "bootstrap").chmod(0o755)
    asyncio.run(runtimes.prepare(runtime))
    launch = runtimes.launch(runtime, tmp_path)
    assert (launch.command, launch.template) == (("/var/task/bootstrap",), Template())
    assert "AWS_EXECUTION_ENV" not in launch.variables


def test_a_layers_bootstrap_starts_a_function_that_has_none_of_its_own(runtimes: Runtimes, tmp_path: Path) -> None:
    code, layers = tmp_path / "code", tmp_path / "layers"
    for tree in (code, layers):
        tree.mkdir()
    (layers / "bootstrap").write_text("#!/bin/sh\n")
    (layers / "bootstrap").chmod(0o755)
    assert runtimes.launch("provided.al2023", code, layers).command == ("/opt/bootstrap",)
    (code / "bootstrap").write_text("#!/bin/sh\n")
    (code / "bootstrap").chmod(0o755)
    assert runtimes.launch("provided.al2023", code, layers).command == ("/var/task/bootstrap",)


@pytest.mark.parametrize("kind", ["missing", "not executable", "directory"])
def test_a_package_without_a_bootstrap_to_execute_is_refused(runtimes: Runtimes, kind: str, tmp_path: Path) -> None:
    if kind == "not executable":
        (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
        (tmp_path / "bootstrap").chmod(0o644)
    elif kind == "directory":
        (tmp_path / "bootstrap").mkdir(0o755)
    with pytest.raises(InvalidEntrypoint) as refused:
        runtimes.launch("provided.al2023", tmp_path)
    assert str(refused.value) == "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"


def test_the_official_node_client_is_refused_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v20.0.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "elsewhere"))
    runtimes = Runtimes(tmp_path / "cache", node=str(node), node_client="aws-lambda-ric")
    with pytest.raises(RuntimeUnavailable, match=f"not found in {tmp_path}/elsewhere, {tmp_path}/lib/node_modules"):
        asyncio.run(runtimes.prepare("nodejs20.x"))


def test_callers_at_once_share_one_preparation_and_its_failure(runtimes: Runtimes) -> None:
    async def ask_twice() -> list[BaseException | None]:
        return await asyncio.gather(runtimes.prepare("java21"), runtimes.prepare("java21"), return_exceptions=True)

    first, second = asyncio.run(ask_twice())
    assert isinstance(first, RuntimeUnavailable)
    assert first is second


def test_a_fault_of_the_machine_while_a_runtime_is_prepared_is_told_as_that_of_the_runtime() -> None:
    runtimes = Runtimes(Path("/" + "x" * 300))
    runtime = f"python3.{sys.version_info[1]}"
    with pytest.raises(RuntimeUnavailable, match=rf"{runtime} can not be prepared on this machine: .*too long"):
        asyncio.run(runtimes.prepare(runtime))

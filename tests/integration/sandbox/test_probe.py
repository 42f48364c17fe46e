"""What the machine is found to be able to do, and what is said when it is not."""

import asyncio
import os
from pathlib import Path

import pytest

from lambent.testing.sandboxes import UID_BASE, UID_COUNT, open_bench
from lambent.worker.sandbox import probe
from lambent.worker.sandbox.driver import SandboxError
from lambent.worker.sandbox.drivers import examine
from lambent.worker.sandbox.namespaces import NamespacesDriver
from sandbox_drivers import isolating, oci_runtime


def found_for(driver: str) -> list[probe.Finding]:
    name, _, oci_runtime = driver.partition(":")
    return examine(name, UID_BASE, UID_COUNT, oci_runtime)


@pytest.mark.parametrize("driver", isolating())
def test_a_machine_that_can_run_sandboxes_has_all_that_is_needed(driver: str) -> None:
    findings = found_for(driver)
    assert [one for one in findings if one.needed and not one.ok] == []
    assert "sandbox" in {one.name for one in findings}


@pytest.mark.parametrize("driver", isolating())
def test_what_is_found_agrees_with_what_a_server_is_told_to_be_missing(driver: str) -> None:
    assert sum(not one.ok for one in found_for(driver)) == len(missing_of(driver))


def missing_of(driver: str) -> tuple[str, ...]:
    async def run() -> tuple[str, ...]:
        async with open_bench(driver) as bench:
            return bench.missing

    return asyncio.run(run())


@pytest.mark.skipif(not oci_runtime("runc"), reason="runc is not here, and `make prerequisites` could not get it")
def test_an_oci_runtime_that_is_not_known_is_used_and_told_to_be_untested(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f'#!/bin/sh\ncase $1 in --version) echo other 1.0;; *) exec {oci_runtime("runc")} "$@";; esac\n')
    other.chmod(0o755)
    findings = {one.name: one for one in found_for(f"oci:{other}")}
    assert "untested" in findings["OCI runtime"].explanation
    assert findings["sandbox"].ok
    assert any("untested" in sentence for sentence in missing_of(f"oci:{other}"))


def test_user_ids_of_accounts_are_not_for_sandboxes() -> None:
    finding = probe.look_at_user_ids(0, 1)
    assert not finding.ok
    assert "root" in finding.explanation
    assert "--sandbox-uid-base" in finding.mend


def test_user_ids_that_do_not_exist_here_are_found() -> None:
    assert not probe.look_at_user_ids((1 << 32) - 10, 20).ok


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's sandboxes have no range of user ids")
@pytest.mark.parametrize("data_dir_name", [str(number) for number in range(4)])
def test_a_driver_that_can_not_open_says_why_and_leaves_nothing(data_dir: Path, data_dir_name: str) -> None:
    """The first id that a server takes depends on its data directory; whether it is told of the others does not."""

    async def opened() -> None:
        await NamespacesDriver(data_dir / data_dir_name, (1 << 32) - 10, 20).open()

    with pytest.raises(SandboxError, match="do not all exist in this container"):
        asyncio.run(opened())

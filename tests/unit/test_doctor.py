"""What `lambent doctor` finds, and how it tells it."""

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from lambent.__main__ import main
from lambent.doctor import (
    Finding,
    Grade,
    examine,
    judge,
    look_at_descriptors,
    look_at_disk,
    look_at_key_file,
    look_at_networks,
    look_at_port,
    look_at_runtimes,
    report,
)
from lambent.settings import NetworkSettings, Settings
from lambent.store.keyring import read_key_file
from lambent.worker.sandbox.probe import Finding as SandboxFinding


def test_a_taken_port_is_found_with_who_holds_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = look_at_port("127.0.0.1", port, without_authentication_allowed=False)
    assert (taken.subject, taken.grade) == (f"port {port} on 127.0.0.1", Grade.MISSING)
    assert "is taken" in taken.detail
    assert look_at_port("127.0.0.1", port, without_authentication_allowed=False).grade is Grade.GOOD


def test_an_address_that_others_reach_is_refused_unless_it_was_asked_for() -> None:
    assert look_at_port("0.0.0.0", 0, without_authentication_allowed=False).grade is Grade.MISSING
    assert look_at_port("0.0.0.0", 0, without_authentication_allowed=True).grade is Grade.GOOD


def test_a_limit_of_open_files_is_judged_by_the_environments_that_it_is_good_for() -> None:
    assert look_at_descriptors(20_000, 1000).grade is Grade.GOOD
    low = look_at_descriptors(1024, 1000)
    assert (low.grade, low.detail) == (Grade.LIMITED, "a limit of 1,024, good for about 112 environments")
    wanted = int(re.search(r"hard limit to ([0-9,]+)", low.mend)[1].replace(",", ""))  # type: ignore[index]
    assert look_at_descriptors(wanted, 1000).grade is Grade.GOOD
    assert look_at_descriptors(wanted - 1, 1000).grade is Grade.LIMITED


def test_a_directory_that_is_yet_to_be_made_is_judged_by_the_one_it_will_be_in(tmp_path: Path) -> None:
    found = look_at_disk("data directory", tmp_path / "one" / "two", "--data-dir")
    assert found.grade is not Grade.MISSING
    assert "GiB free" in found.detail
    assert not (tmp_path / "one").exists()


def test_a_directory_in_memory_is_not_a_disk() -> None:
    if not Path("/dev/shm").is_mount():
        pytest.skip("/dev/shm is not mounted here")
    found = look_at_disk("data directory", Path("/dev/shm/lambent"), "--data-dir")
    assert found.grade is Grade.LIMITED
    assert "it is memory" in found.detail
    assert "--data-dir" in found.mend


def test_a_place_that_is_no_directory_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = look_at_disk("data directory", tmp_path / "file" / "data", "--data-dir")
    assert found.grade is Grade.MISSING
    assert "--data-dir" in found.mend


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every directory")
def test_a_place_that_may_not_be_entered_can_not_be_used(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    found = look_at_disk("data directory", closed / "data", "--data-dir")
    assert (found.grade, found.detail) == (Grade.MISSING, f"{closed} can not be written")


def test_a_key_file_for_its_owner_alone_is_good_and_others_are_told_of(tmp_path: Path) -> None:
    keys = tmp_path / "environment-keys"
    read_key_file(keys)
    assert look_at_key_file(tmp_path / "metadata.sqlite", None) == Finding(
        f"key file {keys}", Grade.GOOD, "for its owner alone"
    )
    for mode in (0o640, 0o604, 0o620):
        keys.chmod(mode)
        found = look_at_key_file(tmp_path / "metadata.sqlite", None)
        assert (found.grade, found.mend) == (Grade.LIMITED, f"chmod 600 {keys}")
        assert f"mode {mode:04o}" in found.detail


def test_a_key_file_that_is_yet_to_be_made_is_good_and_one_that_was_lost_is_not(tmp_path: Path) -> None:
    database, named = tmp_path / "data" / "metadata.sqlite", tmp_path / "keys"
    assert look_at_key_file(database, None).grade is Grade.GOOD
    assert look_at_key_file(database, named).grade is Grade.GOOD
    database.parent.mkdir()
    database.touch()
    for key_file in (None, named):
        found = look_at_key_file(database, key_file)
        assert found.grade is Grade.LIMITED
        assert "not there" in found.detail
        assert "Put it back" in found.mend
    assert [*tmp_path.iterdir()] == [database.parent]
    assert [*database.parent.iterdir()] == [database]


def test_a_key_file_that_the_server_does_not_start_with_is_missing(tmp_path: Path) -> None:
    database, keys = tmp_path / "metadata.sqlite", tmp_path / "keys"
    found = look_at_key_file(database, tmp_path / "not-mounted" / "keys")
    assert found.grade is Grade.MISSING
    assert "--environment-key-file" in found.mend
    keys.write_text("no key\n")
    malformed = look_at_key_file(database, keys)
    assert malformed.grade is Grade.MISSING
    assert "line 1" in malformed.detail
    # Unreadable, for root as well.
    assert look_at_key_file(database, tmp_path).grade is Grade.MISSING
    assert look_at_key_file(database, keys / "below-a-file").grade is Grade.MISSING


def test_a_key_file_of_another_user_can_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    keys = tmp_path / "keys"
    keys.touch(mode=0o000)
    found = look_at_key_file(tmp_path / "metadata.sqlite", keys)
    assert found.grade is Grade.MISSING
    assert "Permission denied" in found.detail


def test_the_report_has_the_key_file(tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path, environment_key_file=tmp_path / "keys")
    assert f"key file {tmp_path}/keys" in [finding.subject for finding in examine(settings)]


def test_what_the_server_does_not_run_without_is_missing_and_the_rest_limited() -> None:
    assert judge(SandboxFinding("a", True, "there", needed=True)) == Finding("a", Grade.GOOD, "there")
    assert judge(SandboxFinding("a", False, "not there", "get it", needed=True)).grade is Grade.MISSING
    assert judge(SandboxFinding("a", False, "not there", "get it")) == Finding(
        "a", Grade.LIMITED, "not there", "get it"
    )


def test_without_isolation_the_report_says_that_there_is_none() -> None:
    found = [finding for finding in examine(Settings(port=0, sandbox="process")) if finding.subject == "isolation"]
    assert [finding.grade for finding in found] == [Grade.LIMITED]


def test_a_report_says_below_a_finding_how_to_mend_it() -> None:
    findings = [Finding("one", Grade.GOOD, "there"), Finding("two", Grade.MISSING, "not there", "Install two.")]
    assert report(findings, colour=False).splitlines() == [
        "good     one: there",
        "missing  two: not there",
        "         -> Install two.",
    ]


def test_the_exit_code_tells_whether_the_server_can_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    words = ["doctor", "--json", "--port", "0", "--runtimes-dir", str(tmp_path)]
    assert main([*words, "--data-dir", str(tmp_path / "file" / "data")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {finding["grade"] for finding in found} <= set(Grade)
    assert any(finding["subject"].startswith("data directory") and finding["mend"] for finding in found)


def test_a_place_of_interpreters_that_can_not_be_read_is_told_and_the_others_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unreadable = "/" + "x" * 300
    monkeypatch.setenv("PYENV_ROOT", unreadable)
    found = list(examine(Settings(port=0)))
    told = [finding for finding in found if finding.subject == f"interpreters in {unreadable}/versions"]
    assert [finding.grade for finding in told] == [Grade.LIMITED]
    assert any(finding.subject.startswith("python3.") for finding in found)


def test_an_interpreter_that_can_not_be_a_zygote_is_told(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "python3.14"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh\necho '["cpython", [3, 14, 0], "", "{tmp_path}", false]'\n""")
    program.chmod(0o755)
    found = {finding.subject: finding for finding in look_at_runtimes(Settings(python_search=str(tmp_path)))}
    assert found["python3.14"].grade is Grade.LIMITED
    assert "without the module ctypes" in found["python3.14"].detail
    assert "libffi" in found["python3.14"].mend


def test_networks_that_make_no_sense_are_missing_and_the_server_would_say_the_same() -> None:
    settings = Settings(networks={"database": NetworkSettings("allow", ("db.example",))})
    (found,) = look_at_networks(settings)
    assert found.grade is Grade.MISSING
    assert found.detail.startswith("[networks.database]: 'db.example' is not an IPv4 address")


def test_without_isolation_a_network_is_not_kept_to() -> None:
    (found,) = look_at_networks(Settings(sandbox="process", network="internet"))
    assert (found.subject, found.grade) == ("networks", Grade.LIMITED)
    assert list(look_at_networks(Settings(sandbox="process"))) == []


def test_the_report_tells_of_each_program_that_networks_take() -> None:
    programs = {"nftables": "nft"} if os.geteuid() == 0 else {"nftables": "nft", "pasta": "pasta"}
    found = {finding.subject: finding for finding in look_at_networks(Settings())}
    for subject, program in programs.items():
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            assert found[subject].grade is Grade.GOOD
            assert found[subject].detail.endswith(f"/{program}")
        else:
            assert found[subject].grade is Grade.LIMITED
            assert "Install the system's package" in found[subject].mend

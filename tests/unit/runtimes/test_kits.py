"""Building what functions find at /var/runtime: once, whole, whoever else builds at the same time."""

import multiprocessing
import sys
import threading
from pathlib import Path

import pytest

from lambent.worker.runtimes import kits
from lambent.worker.runtimes.launch import RuntimeUnavailable


def _build(place: Path) -> None:
    (place / "content").write_text("whole")


def _failing(place: Path) -> None:
    (place / "content").write_text("half")
    raise RuntimeUnavailable("no network")


def _install_counting(cache: Path) -> None:
    def build(place: Path) -> None:
        with open(cache / "builds", "ab") as log:
            log.write(b".")
        _build(place)

    kits.install(cache, "kit", build)


def test_a_kit_is_built_once(tmp_path: Path) -> None:
    kit = kits.install(tmp_path / "cache", "kit", _build)
    assert (kit / "content").read_text() == "whole"
    assert kits.install(tmp_path / "cache", "kit", _failing) == kit


def test_processes_and_threads_that_want_a_kit_at_once_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_install_counting, args=(tmp_path,)) for _ in range(3)]
    workers += [threading.Thread(target=_install_counting, args=(tmp_path,)) for _ in range(3)]  # type: ignore[misc]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "builds").read_bytes() == b"."


def test_a_failed_building_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="no network"):
        kits.install(tmp_path, "kit", _failing)
    assert [path.name for path in tmp_path.iterdir()] == [".kit.lock"]
    assert (kits.install(tmp_path, "kit", _build) / "content").read_text() == "whole"


def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".kit.building-dead").mkdir()
    kits.install(tmp_path, "kit", _build)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".kit.lock", "kit"]


def test_a_cache_that_can_not_be_written_is_told_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeUnavailable, match="runtimes_dir"):
        kits.install(tmp_path / "file" / "cache", "kit", _build)


def test_a_failed_step_is_told_by_the_end_of_what_it_said() -> None:
    script = "import sys; print('first'); print('the reason'); sys.exit(7)"
    with pytest.raises(RuntimeUnavailable, match=r"installing failed with exit status 7: first / the reason"):
        kits.run([sys.executable, "-c", script], "installing")


def test_a_kits_name_changes_with_its_pins_and_with_its_files() -> None:
    names = {
        kits.kit_name("python3.12", ("a==1",), {"x.py": b"1"}),
        kits.kit_name("python3.12", ("a==2",), {"x.py": b"1"}),
        kits.kit_name("python3.12", ("a==1",), {"x.py": b"2"}),
        kits.kit_name("python3.12", ("a==1",), {"y.py": b"1"}),
    }
    assert len(names) == 4

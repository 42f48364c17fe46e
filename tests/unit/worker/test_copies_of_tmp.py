"""Copies of a template's /tmp that take long: made one after another by processes of their own, for those that wait."""

import shutil
from pathlib import Path

import pytest

from lambent.worker.sandbox.run import Cell
from lambent.worker.sandbox.scratch import Scratches


class Directories:
    """A stage that makes directories and mounts nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make_scratch(self, name, size_mib):
        path = self._root / name
        path.mkdir()
        return str(path)

    def remove(self, target):
        shutil.rmtree(target)


class Processes:
    """Those that were asked to do something, in their order."""

    def __init__(self) -> None:
        self.begun = []

    def __call__(self, work, done):
        self.begun.append((work, done))

    def end(self, status=0):
        work, done = self.begun.pop(0)
        if not status:
            work()
        done(status)


class Place:
    """A template whose /tmp is too large to be copied at once, and those that are restored from it."""

    def __init__(self, root: Path) -> None:
        self.scratches = Scratches(Directories(root), str(root), 512, as_root=False)
        self.aside = Processes()
        self.template = Cell("template", {"ephemeral_mib": 64})
        self.template.kept = str(root / "kept")
        Path(self.template.kept).mkdir()
        Path(self.template.kept, "file").write_text("kept")
        self.told = []

    def restore(self, name):
        cell = Cell(name, {}, origin=self.template)
        self.scratches.give_copy(cell, self.template, self.aside, lambda failure: self.told.append((name, failure)))
        return cell

    def left(self, root):
        return sorted(path.name for path in root.iterdir() if path.name != "kept")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_whoever_waits_is_served_in_turn_and_holds_nobody_up(place):
    cells = [place.restore(name) for name in "abc"]
    assert place.told == []
    for told in range(1, 4):
        assert len(place.aside.begun) == 1
        place.aside.end()
        assert place.told == [(name, "") for name in "abc"[:told]]
    assert place.aside.begun == []
    assert len({cell.scratch for cell in cells}) == 3
    assert [Path(cell.scratch, "file").read_text() for cell in cells] == ["kept"] * 3


def test_one_that_was_made_ahead_is_had_at_once_and_one_that_is_being_made_goes_to_who_waits(place):
    place.scratches.prepare_copy(place.template, place.aside)
    place.scratches.prepare_copy(place.template, place.aside)
    place.aside.end()
    place.restore("a")
    assert place.told == [("a", "")]
    place.scratches.prepare_copy(place.template, place.aside)
    place.restore("b")
    place.aside.end()
    assert place.told == [("a", ""), ("b", "")]
    assert (place.aside.begun, place.template.spare) == ([], None)


def test_one_that_is_given_up_while_it_waits_is_told_nothing_and_its_copy_is_the_next_ones(place, tmp_path):
    first, second, last = (place.restore(name) for name in "abc")
    for given_up in (first, second):
        place.scratches.remove_all_of(given_up)
    place.aside.end()
    assert place.told == [("c", "")]
    assert place.left(tmp_path) == [Path(last.scratch).name]


def test_a_copy_that_fails_is_the_trouble_of_one_alone(place, tmp_path):
    cells = [place.restore(name) for name in "ab"]
    place.aside.end(status=256)
    place.aside.end()
    assert place.told == [("a", "its /tmp could not be copied"), ("b", "")]
    assert place.left(tmp_path) == [Path(cells[1].scratch).name]


def test_a_copy_of_a_template_that_has_gone_is_thrown_away(place, tmp_path):
    place.scratches.prepare_copy(place.template, place.aside)
    place.scratches.remove_all_of(place.template)
    place.aside.end(status=9)
    assert place.left(tmp_path) == []
    assert place.template.spare is None

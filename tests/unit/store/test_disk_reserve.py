"""Room that is kept: it is there or not, whatever the disk does."""

from pathlib import Path

from lambent.store.disk_reserve import DiskReserve

SIZE = 1 << 20


def test_it_takes_the_room_until_it_is_given_up(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "reserve", SIZE)
    assert reserve.take()
    status = (tmp_path / "reserve").stat()
    assert status.st_blocks * 512 >= SIZE
    assert status.st_mode & 0o777 == 0o600
    reserve.give_up()
    assert not reserve.is_held
    assert list(tmp_path.iterdir()) == []
    assert reserve.take()


def test_a_disk_on_which_no_file_can_be_made_ends_nobody(tmp_path: Path) -> None:
    """Who asks is the queue's writer, which must not end."""
    (tmp_path / "file").touch()
    reserve = DiskReserve(tmp_path / "file" / "reserve", SIZE)
    assert not reserve.take()
    reserve.give_up()
    assert not reserve.is_held


def test_one_that_does_not_fit_leaves_no_part_of_it(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "reserve", 1 << 60)
    assert not reserve.take()
    assert list(tmp_path.iterdir()) == []

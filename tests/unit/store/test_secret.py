import stat
from pathlib import Path

from lambent.store.secret import read_or_make


def test_a_secret_is_made_once_and_is_the_owners_alone(disk: Path) -> None:
    path = disk / "new" / "secret"
    secret = read_or_make(path)
    assert len(secret) == 32
    assert read_or_make(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    assert read_or_make(disk / "other") != secret


def test_of_two_that_make_it_at_one_time_both_get_the_first(disk: Path) -> None:
    path = disk / "secret"

    def other_is_quicker(length: int) -> bytes:
        path.write_bytes(b"o" * length)
        return b"m" * length

    assert read_or_make(path, other_is_quicker) == b"o" * 32

"""The keys that encrypt environment variables: what they seal, whose it is, and the file that they are in."""

import base64
import stat
from pathlib import Path

import pytest

from lambent.store.keyring import KeyFileError, Keyring, Unopenable, read_key_file

OLD, NEW = b"o" * 32, b"n" * 32


def lines(*keys: bytes) -> bytes:
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)


def test_what_is_sealed_opens_for_its_owner_and_tells_nothing() -> None:
    keyring = Keyring([NEW])
    sealed = keyring.seal(b"hunter2", b"me")
    assert b"hunter2" not in sealed
    assert keyring.open(sealed, b"me") == b"hunter2"
    assert keyring.seal(b"hunter2", b"me") != sealed, "a nonce was used twice"


def test_what_was_changed_or_moved_does_not_open() -> None:
    keyring = Keyring([NEW])
    sealed = keyring.seal(b"hunter2", b"me")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for what, owner in ((sealed, b"you"), (changed, b"me"), (sealed[:20], b"me")):
        with pytest.raises(Unopenable, match="changed"):
            keyring.open(what, owner)


def test_a_key_that_is_not_the_first_any_more_still_opens_and_another_one_does_not() -> None:
    sealed = Keyring([OLD]).seal(b"hunter2", b"me")
    assert Keyring([NEW, OLD]).open(sealed, b"me") == b"hunter2"
    assert not sealed.startswith(Keyring([NEW, OLD]).prefix)
    with pytest.raises(Unopenable, match="is not in the server's key file"):
        Keyring([NEW]).open(sealed, b"me")


def test_the_key_file_is_made_once_for_its_owner_alone(disk: Path) -> None:
    path = disk / "keys"
    sealed = read_key_file(path).seal(b"hunter2", b"me")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path).open(sealed, b"me") == b"hunter2"


def test_the_key_file_has_a_key_a_line_and_the_first_one_seals(disk: Path) -> None:
    path = disk / "keys"
    path.write_bytes(b"# new\n\n" + lines(NEW, OLD))
    keyring = read_key_file(path)
    assert keyring.prefix == Keyring([NEW]).prefix
    assert keyring.open(Keyring([OLD]).seal(b"x", b"me"), b"me") == b"x"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no key in it"),
        (b"# only this\n", "has no key in it"),
        (lines(NEW) + b"secret!\n", "line 2 of the key file .* is not 32 bytes in base64"),
        (lines(b"short"), "line 1 of the key file"),
    ],
)
def test_a_key_file_that_can_not_be_used_is_refused_without_showing_it(disk: Path, content: bytes, told: str) -> None:
    path = disk / "keys"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=told) as raised:
        read_key_file(path)
    assert "secret!" not in str(raised.value)


def test_a_key_is_not_made_where_the_directory_of_the_keys_is_missing(disk: Path) -> None:
    with pytest.raises(KeyFileError, match=r"the directory of the key file .* is not there"):
        read_key_file(disk / "unmounted" / "keys")
    assert not (disk / "unmounted").exists()


def test_a_key_file_that_can_not_be_read_is_refused(disk: Path) -> None:
    with pytest.raises(KeyFileError, match="can not be used: Is a directory"):
        read_key_file(disk)

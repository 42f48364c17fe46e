"""The keys that encrypt environment variables, and the file that they are in: not the database, so that a copy of the
database alone tells nothing.

AES-256 in Galois/Counter Mode. What is sealed is bound to its owner, so that it can not be moved to another one's
record, and begins with the id of its key, so that who lacks the key knows which one it lacks. A nonce is drawn at
random for each sealing: NIST SP 800-38D, section 8.3, allows 2^32 of them under one key.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lambent.store.secret import read_or_write

KEY_BYTES = 32
NONCE_BYTES = 12
_ID_BYTES = 8
_FORM = b"\x01"
_PREFIX_BYTES = len(_FORM) + _ID_BYTES

_HEAD = """\
# Encrypts the environment variables of functions. One key a line, 32 bytes in base64: the first encrypts, the others
# still decrypt. Without its key a variable can not be read any more. docs/security.md tells how keys are changed.
"""


class KeyFileError(Exception):
    """The key file can not be used. The message is for the person who started the server."""


class Unopenable(Exception):
    """What is sealed does not open. The message tells why, and nothing of what is in it."""


class Keyring:
    """`keys` are of 32 bytes each; the first one seals. `random_bytes` gives the nonces."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        assert keys
        assert all(len(key) == KEY_BYTES for key in keys)
        self._ciphers = {_prefix(key): AESGCM(key) for key in keys}
        self.prefix = _prefix(keys[0])
        """What everything begins with that the first key sealed."""
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, owner: bytes) -> bytes:
        nonce = self._random_bytes(NONCE_BYTES)
        return self.prefix + nonce + self._ciphers[self.prefix].encrypt(nonce, plain, owner)

    def open(self, sealed: bytes, owner: bytes) -> bytes:
        """Raises Unopenable where the key is not here, or what is sealed was changed or is somebody else's."""
        prefix, rest = sealed[:_PREFIX_BYTES], sealed[_PREFIX_BYTES:]
        cipher = self._ciphers.get(prefix)
        if cipher is None:
            raise Unopenable(f"their key, {prefix[len(_FORM) :].hex()}, is not in the server's key file")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], owner)
        except (InvalidTag, ValueError):
            raise Unopenable("they were changed where they are stored, or are those of another function") from None


def _prefix(key: bytes) -> bytes:
    return _FORM + hashlib.sha256(b"lambent key id\0" + key).digest()[:_ID_BYTES]


def read_key_file(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> Keyring:
    """The keys in the file, which is made with a new one, readable by its owner alone, if it is missing. Raises
    KeyFileError."""
    if not path.parent.is_dir():
        # A volume that is not mounted must not have its keys replaced.
        raise KeyFileError(f"the directory of the key file {path} is not there")
    try:
        text = read_or_write(path, lambda: _HEAD.encode() + base64.b64encode(random_bytes(KEY_BYTES)) + b"\n")
    except OSError as error:
        raise KeyFileError(f"the key file {path} can not be used: {error.strerror}") from error
    return Keyring(_parse(text, path), random_bytes)


def _parse(text: bytes, path: Path) -> list[bytes]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith(b"#"):
            continue
        try:
            key = base64.b64decode(word, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyFileError(f"line {number} of the key file {path} is not {KEY_BYTES} bytes in base64")
        keys.append(key)
    if not keys:
        raise KeyFileError(f"the key file {path} has no key in it")
    return keys

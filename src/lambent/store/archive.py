"""Deployment packages are zip archives from strangers: what is in one is checked before anything is written.

`inspect` reads only the archive's directory and decides what each entry becomes; `extract` writes that, and nothing
else, into an empty directory, and checks what the entries hold. All refusals are AWS's errors, for the caller who sent
the archive.
"""

import calendar
import errno
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from lambent.core.errors import InvalidParameterValueException, RequestEntityTooLargeException
from lambent.core.limits import PACKAGE_ENTRIES, UNZIPPED_BYTES, ZIPPED_BYTES
from lambent.core.record import Record

COULD_NOT_UNZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"

_CHUNK = 1 << 20
_NAME_BYTES = 255
_PATH_BYTES = 3_500
"""The kernel takes 4,096 with the way to the tree, which is longer where a package stays than where it is unpacked."""
_DEPTH = 100
"""Directories in directories. A tree is walked by calls in calls, and its depth is its sender's choice."""
_LINKS_IN_A_ROW = 40
"""As many as the kernel follows."""
_LINK_STEPS = 300_000
"""Names that are looked at, for all links of a package together: a link may lead through thousands."""
_ENCRYPTED = 0x1 | 0x40
_DIRECTORY_BYTES = 64 * 1024**2
"""Of the archive's directory: a kilobyte for each entry."""
_DIRECTORY_ENTRY = b"PK\x01\x02"
"""How each entry of it begins."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, OverflowError)
"""What zipfile raises for archives that are none: a name that is no text, an offset that is no number of bytes..."""


class Entry(Record, frozen=True):
    """A file or a link of the package. `parts` are the names on the way to it, from the package's root."""

    parts: tuple[str, ...]
    info: zipfile.ZipInfo
    executable: bool
    is_link: bool


class Contents(Record, frozen=True):
    """What an archive becomes: every directory before what is in it."""

    directories: Sequence[tuple[str, ...]]
    entries: Sequence[Entry]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(entry.info.file_size for entry in self.entries)


def check_size(archive: bytes) -> None:
    """Raises what AWS answers to a package that is too large to be sent, or empty."""
    if not archive:
        raise InvalidParameterValueException(EMPTY)
    if len(archive) >= ZIPPED_BYTES:
        raise RequestEntityTooLargeException(f"Zipped size must be smaller than {ZIPPED_BYTES} bytes")


class _Directory:
    """An archive's file while zipfile reads its directory, which it takes in one piece and makes an object of each
    entry: one of too many is refused before. As much memory and time as a stranger's entries would take, no one has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is too large")
        data = self._file.read(size)
        if data.count(_DIRECTORY_ENTRY) > PACKAGE_ENTRIES:
            raise zipfile.BadZipFile("its directory has too many entries")
        return data


def inspect(file: BinaryIO) -> Contents:
    """What the archive holds. Raises InvalidParameterValueException for one that can not be unpacked, or must not."""
    try:
        with zipfile.ZipFile(cast("BinaryIO", _Directory(file))) as archive:
            infos = archive.infolist()
    except (*_UNREADABLE, OSError) as error:
        raise InvalidParameterValueException(COULD_NOT_UNZIP) from error
    if not infos:
        raise InvalidParameterValueException(EMPTY)
    if len(infos) > PACKAGE_ENTRIES:
        raise InvalidParameterValueException(COULD_NOT_UNZIP)
    if sum(info.file_size for info in infos) >= UNZIPPED_BYTES:
        raise InvalidParameterValueException(f"Unzipped size must be smaller than {UNZIPPED_BYTES} bytes")
    return _contents(infos)


def _contents(infos: list[zipfile.ZipInfo]) -> Contents:
    directories: dict[tuple[str, ...], None] = {}
    entries: dict[tuple[str, ...], Entry] = {}
    for info in infos:
        # zipfile cuts `filename` at a NUL; an honest name has none.
        name = info.orig_filename
        parts = _parts(name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_directory = name.endswith("/") or kind == stat.S_IFDIR
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS or info.header_offset < 0:
            raise InvalidParameterValueException(COULD_NOT_UNZIP)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise InvalidParameterValueException(COULD_NOT_UNZIP)
        if not is_directory:
            if not parts or parts in entries or (kind == stat.S_IFLNK and info.file_size > _PATH_BYTES):
                raise InvalidParameterValueException(COULD_NOT_UNZIP)
            executable = bool(info.external_attr >> 16 & 0o111)
            entries[parts] = Entry(parts, info, executable, kind == stat.S_IFLNK)
        for depth in range(len(parts) - 1 + is_directory, 0, -1):
            if parts[:depth] in directories:
                break
            directories[parts[:depth]] = None
        # A name of a few bytes may imply a hundred directories.
        if len(directories) + len(entries) > PACKAGE_ENTRIES:
            raise InvalidParameterValueException(COULD_NOT_UNZIP)
    # A name that is a file or a link, and also a directory of others: so nothing is written through a link.
    if directories.keys() & entries.keys():
        raise InvalidParameterValueException(COULD_NOT_UNZIP)
    return Contents(tuple(sorted(directories, key=len)), tuple(entries.values()))


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    encoded = [os.fsencode(part) for part in parts if _is_encodable(part)]
    if (
        name.startswith("/")
        or "\0" in name
        or ".." in parts
        or len(encoded) != len(parts)
        or len(parts) > _DEPTH
        or any(len(part) > _NAME_BYTES for part in encoded)
        or sum(len(part) + 1 for part in encoded) > _PATH_BYTES
    ):
        raise InvalidParameterValueException(COULD_NOT_UNZIP)
    return parts


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def extract(file: BinaryIO, contents: Contents, root: Path) -> None:
    """Unpack the `contents` that `inspect` found into `root`, which is empty. Raises InvalidParameterValueException for
    an archive that does not hold what its directory says, or has a link that leaves the tree or a path too long for
    this place; what was written until then stays.

    Everything is readable by all; what the archive has as executable for anyone is so for all.
    """
    root.chmod(0o755)
    try:
        for parts in contents.directories:
            directory = root.joinpath(*parts)
            directory.mkdir()
            directory.chmod(0o755)
        with zipfile.ZipFile(file) as archive:
            for entry in contents.entries:
                if entry.is_link:
                    target = archive.read(entry.info)
                    if not target or b"\0" in target or target.startswith(b"/"):
                        raise InvalidParameterValueException(COULD_NOT_UNZIP)
                    root.joinpath(*entry.parts).symlink_to(os.fsdecode(target))
                else:
                    # A Path for each file takes longer than its bytes.
                    _write(archive, entry, "/".join((str(root), *entry.parts)))
    except _UNREADABLE as error:
        raise InvalidParameterValueException(COULD_NOT_UNZIP) from error
    except OSError as error:
        # The way to the root counts in what the kernel takes for a path, and only here it is known.
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidParameterValueException(COULD_NOT_UNZIP) from error
        raise
    check_links([root.joinpath(*entry.parts) for entry in contents.entries if entry.is_link], root)


def _write(archive: zipfile.ZipFile, entry: Entry, path: str) -> None:
    # zipfile gives no more bytes than the directory says, and checks them; so the total holds.
    with archive.open(entry.info) as source:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(target, "wb", buffering=0) as written:
            while chunk := source.read(_CHUNK):
                remaining = memoryview(chunk)
                while remaining:
                    remaining = remaining[written.write(remaining) :]
            os.fchmod(target, 0o755 if entry.executable else 0o644)
            os.utime(target, _modified(entry.info))


def _modified(info: zipfile.ZipInfo) -> tuple[int, int]:
    """When the file was accessed and modified, in seconds. Bytecode in a package names the time of its source: an other
    time would have Python compile again."""
    year, month, *rest = info.date_time
    # Archives that are made to be the same each time often have a date of nothing but zeros.
    modified = calendar.timegm((year, min(max(month, 1), 12), *rest, 0, 0, 0))
    return modified, modified


def check_links(links: Sequence[Path], root: Path) -> None:
    """Raises InvalidParameterValueException for links that leave the tree. Where one leads is known only when all are
    there: one may go through another."""
    steps = _LINK_STEPS
    for link in links:
        steps = _follow(link.relative_to(root).parts, root, steps)


def _follow(names: Sequence[str], root: Path, steps: int) -> int:
    """Go where the kernel would, from the root on, and return how many of the steps are left. Raises
    InvalidParameterValueException for a way that leaves the tree, or has no end."""
    ahead = list(reversed(names))
    here: list[str] = []
    followed = 0
    while ahead:
        name = ahead.pop()
        steps -= 1
        if name in ("", "."):
            continue
        if name == ".." and here:
            here.pop()
            continue
        if name == ".." or steps <= 0:
            raise InvalidParameterValueException(COULD_NOT_UNZIP)
        try:
            target = os.readlink("/".join((str(root), *here, name)))  # noqa: PTH115 a Path a step takes the longest
        except OSError:  # no link, or nothing
            here.append(name)
            continue
        followed += 1
        if target.startswith("/") or followed > _LINKS_IN_A_ROW:
            raise InvalidParameterValueException(COULD_NOT_UNZIP)
        ahead += reversed(target.split("/"))
    return steps

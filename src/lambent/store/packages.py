"""Deployment packages on disk, by content: `<directory>/<SHA-256>/package.zip`, and the tree unpacked from it. The tree
of several layers together is kept in the same way, without an archive, by a digest of their digests.

A package is unpacked before it is kept: what can not be unpacked is refused, and nothing of it stays. What `put`
returned is durable. A tree can be made again from its archive, so it is not synced: instead it belongs to one boot of
the machine, whose id is in its name, and a tree that a crash of the machine may have torn is not looked at again.
Everything appears by a rename, a new package with its tree: there is no half-written package and no half-unpacked tree.

Reading, hashing, writing and unpacking happen in threads of their own. Small packages are unpacked in others than large
ones, and no thread waits for another: whoever sends large ones, who sends a small one has it unpacked.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import Package
from lambent.core.layer import merged_digest
from lambent.core.limits import TIMEOUT_S_MAX
from lambent.store import archive as archives
from lambent.store.abandonable import AbandonableThreads
from lambent.store.merging import merge

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ARCHIVE = "package.zip"
_CHUNK = 1 << 20
_RECEIVING_THREADS = 4
_UNPACKING_THREADS = 2
_MAKING_THREADS = 2
_FETCHING_THREADS = 4
_SMALL_ENTRIES = 2_000
_SMALL_BYTES = 32 * 1024**2
"""A package of no more is small. The machine makes a few thousand files in a second."""

_TakenIn = tuple[Package, "Future[None] | None"]
_Submit = Callable[[Callable[[], _TakenIn]], "Future[_TakenIn]"]

UNUSED_FOR_US = (TIMEOUT_S_MAX + 60) * 1_000_000
"""An environment outlives its version by the invocation that it is busy with, at most."""


class PackageStore:
    """`directory` is made if it is missing. Leftovers of a server that was killed are removed: `incoming` names the
    place of what is under way, one for each process that has the directory open."""

    def __init__(self, directory: Path, *, incoming: str = "incoming") -> None:
        self._directory = directory
        self._incoming = directory / incoming
        directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._tree_name = f"tree.{boot}"
        self._receiving = ThreadPoolExecutor(_RECEIVING_THREADS, thread_name_prefix="package-receiving")
        # A large package may take a minute, and an account may send many.
        self._unpacking_small = ThreadPoolExecutor(_UNPACKING_THREADS, thread_name_prefix="small-package-unpacking")
        self._unpacking_large = ThreadPoolExecutor(_UNPACKING_THREADS, thread_name_prefix="large-package-unpacking")
        # Trees of several layers, and those that were made before the machine was started.
        self._making = ThreadPoolExecutor(_MAKING_THREADS, thread_name_prefix="tree-making")
        self._fetching = AbandonableThreads(_FETCHING_THREADS, "package-fetching")
        self._unpacking: dict[str, asyncio.Future[Path]] = {}
        self._arriving = 0
        self._arrivals = 0
        self._unused_since: dict[str, int] = {}

    async def close(self) -> None:
        """What is being unpacked is awaited; a package that is being fetched is not, and not kept when it comes."""
        self._fetching.close()
        for threads in (self._receiving, self._unpacking_small, self._unpacking_large, self._making):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        await asyncio.to_thread(shutil.rmtree, self._incoming, ignore_errors=True)

    async def put(self, archive: bytes, *, keep: bool = True) -> Package:
        """Unpack a package and keep it, durably. Raises InvalidParameterValueException for what is no zip archive that
        can be unpacked, and for one of 250 MB or more; RequestEntityTooLargeException for one of 50 MB or more. Then,
        and where it is not to be kept, nothing of it stays.

        A package that no version refers to yet is the caller's to protect from `forget`, with `arriving`.
        """
        archives.check_size(archive)
        return await self._receive(self._receiving.submit, lambda file: file.write(archive), keep)

    async def fetch(self, download: Callable[[BinaryIO], None], *, keep: bool = True) -> Package:
        """As `put`, of what `download` writes to the file that it is given. It is called in a thread that may wait,
        bounds what it writes, and what it raises is raised here."""
        return await self._receive(self._fetching.submit, download, keep)

    async def _receive(self, submit: _Submit, write: Callable[[BinaryIO], object], keep: bool) -> Package:
        package, unpacking = await asyncio.wrap_future(submit(lambda: self._take_in(write, keep)))
        if unpacking is not None:
            # Who gives up waiting before it has begun is not served.
            await asyncio.wrap_future(unpacking)
        self._unused_since.pop(package.digest, None)
        return package

    def _take_in(self, write: Callable[[BinaryIO], object], keep: bool) -> _TakenIn:
        """The package, and the unpacking of it, which is on its way; None of one that is there."""
        temporary = Path(tempfile.mkdtemp(dir=self._incoming))
        unpacking = None
        try:
            with open(temporary / _ARCHIVE, "w+b") as file:
                write(file)
                package, contents = _inspect(file)
            # It was unpacked since the machine was started: so it can be.
            if not (self._archive(package.digest).exists() and self.tree(package).is_dir()):
                threads = self._unpacking_small if _is_small(contents) else self._unpacking_large
                # After `close` this raises: so what was abandoned is not kept.
                unpacking = threads.submit(self._unpack_new, temporary, package, contents, keep)
        finally:
            if unpacking is None:
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                unpacking.add_done_callback(lambda done: _remove_if_cancelled(temporary, done))
        return package, unpacking

    def _unpack_new(self, temporary: Path, package: Package, contents: archives.Contents, keep: bool) -> None:
        try:
            tree = temporary / self._tree_name
            tree.mkdir()
            with open(temporary / _ARCHIVE, "rb") as file:
                archives.extract(file, contents, tree)
                if keep:
                    self._keep(temporary, file, package)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _keep(self, temporary: Path, file: BinaryIO, package: Package) -> None:
        if self._archive(package.digest).exists():
            self._place_tree(temporary / self._tree_name, self.tree(package))
            return
        os.fsync(file.fileno())
        temporary.chmod(0o755)
        _sync_directory(temporary)
        _rename_unless_there(temporary, self._directory / package.digest)
        _sync_directory(self._directory)

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """To be held from before `put` until a version refers to the package: nothing is forgotten meanwhile."""
        self._arriving += 1
        self._arrivals += 1
        try:
            yield
        finally:
            self._arriving -= 1

    def tree(self, package: Package) -> Path:
        """Where the unpacked package is, if `unpack` has been called since the machine was started."""
        return self._tree(package.digest)

    def _tree(self, digest: str) -> Path:
        return self._directory / digest / self._tree_name

    async def unpack(self, package: Package) -> Path:
        """The package's tree, which `put` made, or which is unpacked again. Raises InvalidParameterValueException for
        an archive that was damaged since: then nothing is kept of its tree."""
        return await self._have(package.digest, lambda temporary: self._extract(package, temporary))

    async def merge(self, layers: Sequence[Package]) -> Path:
        """One tree of the packages' trees, later ones over earlier ones, made unless it is there. Raises as `unpack`
        does, and InvalidParameterValueException for packages that make something hostile together."""
        trees = [await self.unpack(layer) for layer in layers]
        digest = merged_digest([layer.digest for layer in layers])
        return await self._have(digest, lambda temporary: merge(trees, temporary))

    async def _have(self, digest: str, make: Callable[[Path], None]) -> Path:
        tree = self._tree(digest)
        if tree.is_dir():
            return tree
        running = self._unpacking.get(digest)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._making, self._make, tree, make)
            self._unpacking[digest] = running
            running.add_done_callback(lambda done: self._unpacked(digest, done))
        # Who gives up waiting does not stop it for the others.
        return await asyncio.shield(running)

    def _unpacked(self, digest: str, done: asyncio.Future[Path]) -> None:
        del self._unpacking[digest]
        if not done.cancelled():
            done.exception()

    def _extract(self, package: Package, temporary: Path) -> None:
        with open(self._archive(package.digest), "rb") as file:
            archives.extract(file, archives.inspect(file), temporary)

    def _make(self, tree: Path, make: Callable[[Path], None]) -> Path:
        if tree.is_dir():
            return tree
        temporary = Path(tempfile.mkdtemp(dir=self._incoming))
        try:
            make(temporary)
            tree.parent.mkdir(exist_ok=True)
            self._place_tree(temporary, tree)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return tree

    def _place_tree(self, made: Path, tree: Path) -> None:
        for stale in tree.parent.glob("tree.*"):
            if stale != tree:
                shutil.rmtree(stale, ignore_errors=True)
        _rename_unless_there(made, tree)

    def open_archive(self, digest: str) -> BinaryIO | None:
        """The archive's bytes, or None when no package has the digest."""
        if not _DIGEST.fullmatch(digest):
            return None
        try:
            return open(self._archive(digest), "rb")
        except FileNotFoundError:
            return None

    async def forget(
        self, in_use: Callable[[], Awaitable[set[str]]], now_us: int, *, unused_for_us: int = UNUSED_FOR_US
    ) -> list[str]:
        """Remove the packages that no version has referred to for so long that no invocation can be running one, and
        return their digests. `in_use` says what versions refer to now; `now_us` is of a monotonic clock. While a
        package is arriving, nothing is removed. Where nothing is running at all, 0 is long enough."""
        if self._arriving:
            return []
        arrivals = self._arrivals
        present = {path.name for path in self._directory.iterdir() if _DIGEST.fullmatch(path.name)}
        unused = present - await in_use() - self._unpacking.keys()
        if self._arrivals != arrivals:
            return []
        self._unused_since = {digest: self._unused_since.get(digest, now_us) for digest in unused}
        gone = {digest for digest, since in self._unused_since.items() if now_us - since >= unused_for_us}
        for digest in gone:
            del self._unused_since[digest]
            (self._directory / digest).rename(Path(tempfile.mkdtemp(dir=self._incoming)) / digest)
        await asyncio.get_running_loop().run_in_executor(self._making, self._empty_incoming, gone)
        return sorted(gone)

    def _empty_incoming(self, digests: set[str]) -> None:
        for path in self._incoming.glob("*/*"):
            if path.name in digests:
                shutil.rmtree(path.parent)

    def _archive(self, digest: str) -> Path:
        return self._directory / digest / _ARCHIVE


def _remove_if_cancelled(temporary: Path, unpacking: Future[None]) -> None:
    if unpacking.cancelled():
        shutil.rmtree(temporary, ignore_errors=True)


def _is_small(contents: archives.Contents) -> bool:
    return len(contents.directories) + len(contents.entries) <= _SMALL_ENTRIES and contents.size <= _SMALL_BYTES


def _inspect(archive: BinaryIO) -> tuple[Package, archives.Contents]:
    size = archive.seek(0, os.SEEK_END)
    if not size:
        raise InvalidParameterValueException(archives.EMPTY)
    contents = archives.inspect(archive)
    archive.seek(0)
    digest = hashlib.sha256()
    while chunk := archive.read(_CHUNK):
        digest.update(chunk)
    return Package(digest.hexdigest(), size, contents.size), contents


def _rename_unless_there(temporary: Path, final: Path) -> None:
    """Another thread, or a worker's process, may have made the same in the meantime: then that one stays."""
    try:
        temporary.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(temporary)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

import asyncio
import contextlib
import errno
import hashlib
import io
import resource
import stat
import struct
import tempfile
import threading
import tracemalloc
import warnings
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.core import limits
from lambent.core.errors import InvalidParameterValueException, RequestEntityTooLargeException
from lambent.store.archive import COULD_NOT_UNZIP, Contents, extract, inspect
from lambent.store.packages import UNUSED_FOR_US, PackageStore

FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777

Entry = tuple[str, bytes, int]


def zipped(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name, (2024, 2, 3, 4, 5, 6))
            info.external_attr = mode << 16
            info.compress_type = method
            archive.writestr(info, content)
    return buffer.getvalue()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[PackageStore]:
    store = PackageStore(directory)
    try:
        yield store
    finally:
        await store.close()


def left_over(directory: Path) -> list[Path]:
    return list((directory / "incoming").iterdir())


def test_a_package_is_kept_by_its_digest_and_unpacked_once(disk: Path) -> None:
    archive = zipped(
        ("app.py", b"print()", FILE),
        ("bin/tool", b"#!", FILE | 0o100),
        ("private", b"", stat.S_IFREG | 0o600),
        ("empty/", b"", stat.S_IFDIR | 0o700),
        ("lib/current", b"../app.py", LINK),
    )

    async def main() -> None:
        async with opened(disk) as store:
            package = await store.put(archive)
            assert (package.digest, package.size) == (hashlib.sha256(archive).hexdigest(), len(archive))
            first = store.tree(package)
            inode = first.stat().st_ino
            assert await asyncio.gather(store.unpack(package), store.unpack(package)) == [first, first]
            assert await store.put(archive) == package
            assert first.stat().st_ino == inode
            modes = {
                str(path.relative_to(first)): stat.S_IMODE(path.lstat().st_mode)
                for path in first.rglob("*")
                if not path.is_symlink()
            }
            assert modes == {
                "app.py": 0o644,
                "bin": 0o755,
                "bin/tool": 0o755,
                "private": 0o644,
                "empty": 0o755,
                "lib": 0o755,
            }
            assert stat.S_IMODE(first.stat().st_mode) == 0o755
            assert (first / "lib/current").read_bytes() == b"print()"
            assert (first / "app.py").stat().st_mtime == 1_706_933_106
            assert left_over(disk) == []
            file = store.open_archive(package.digest)
            assert file is not None
            with file:
                assert file.read() == archive

    asyncio.run(main())


def test_no_archive_is_opened_by_a_name_that_is_no_digest(disk: Path) -> None:
    async def main() -> None:
        (disk / "package.zip").write_bytes(b"secret")
        async with opened(disk / "packages") as store:
            assert store.open_archive("..") is None
            assert store.open_archive("0" * 64) is None

    asyncio.run(main())


def test_a_name_beyond_ascii_is_unpacked_as_it_is(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as store:
            tree = await store.unpack(await store.put(zipped(("größe/ü.txt", b"x", FILE))))
            assert (tree / "größe" / "ü.txt").read_bytes() == b"x"

    asyncio.run(main())


def refused_at_once(archive: bytes) -> str | None:
    with pytest.raises(InvalidParameterValueException) as raised:
        inspect(io.BytesIO(archive))
    return raised.value.message


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", b"", FILE)],
        [("a/../../evil", b"", FILE)],
        [("a/../b", b"", FILE)],
        [("/etc/passwd", b"", FILE)],
        [("a", b"1", FILE), ("a", b"2", FILE)],
        [("a", b"1", FILE), ("./a", b"2", FILE)],
        [("a//b", b"1", FILE), ("a/b", b"2", FILE)],
        [("a", b"1", FILE), ("a/b", b"2", FILE)],
        [("a", b"..", LINK), ("a/b", b"2", FILE)],
        [("device", b"", stat.S_IFCHR | 0o666)],
        [("disk", b"", stat.S_IFBLK | 0o666)],
        [("pipe", b"", stat.S_IFIFO | 0o666)],
        [("socket", b"", stat.S_IFSOCK | 0o666)],
        [("long" * 64, b"", FILE)],
        [("long/" * 900 + "x", b"", FILE)],
        [("d/" * 101 + "x", b"", FILE)],
        [(".", b"", FILE)],
        [("link", b"x" * 5000, LINK)],
    ],
    ids=lambda entries: "+".join(name[:20] for name, _, _ in entries),
)
def test_a_hostile_directory_is_refused_before_anything_is_written(entries: list[Entry]) -> None:
    assert refused_at_once(zipped(*entries)) == COULD_NOT_UNZIP


def test_encrypted_and_exotic_archives_are_refused() -> None:
    plain = bytearray(zipped(("a", b"x", FILE)))
    plain[plain.index(b"PK\x01\x02") + 8] |= 1
    assert refused_at_once(bytes(plain)) == COULD_NOT_UNZIP
    assert refused_at_once(zipped(("a", b"x", FILE), method=zipfile.ZIP_LZMA)) == COULD_NOT_UNZIP


def test_too_many_entries_are_refused() -> None:
    many = zipped(*((str(number), b"", FILE) for number in range(65_536)), method=zipfile.ZIP_STORED)
    assert refused_at_once(many) == COULD_NOT_UNZIP


def crowded(count: int) -> bytes:
    """An archive whose directory has one entry so many times."""
    one = zipped(("a", b"", FILE))
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    directory = one[start:end] * count
    offset = len(one[:start])
    far = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), offset)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, offset + len(directory), 1)
    last = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return one[:start] + directory + far + locator + last


def test_a_crowd_of_entries_is_refused_before_an_object_is_made_of_each() -> None:
    with zipfile.ZipFile(io.BytesIO(crowded(2_000))) as control:
        assert len(control.infolist()) == 2_000
    crowd = crowded(200_000)
    tracemalloc.start()
    try:
        assert refused_at_once(crowd) == COULD_NOT_UNZIP
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(crowd)


def test_too_many_directories_are_refused_though_the_entries_are_few() -> None:
    few = zipped(*((f"{number}/" + "d/" * 98 + "x", b"", FILE) for number in range(700)), method=zipfile.ZIP_STORED)
    assert refused_at_once(few) == COULD_NOT_UNZIP


def chain(length: int) -> list[Entry]:
    return [(f"l{number}", f"l{number + 1}".encode(), LINK) for number in range(length)]


def read_at_last(path: Path) -> bytes:
    """A walk that the kernel begins anew, since something changed meanwhile, counts the links of both times."""
    for _ in range(20):
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
    return path.read_bytes()


def test_links_are_followed_as_far_as_the_kernel_does(disk: Path) -> None:
    async def main() -> None:
        async with opened(disk) as store:
            tree = await store.unpack(await store.put(zipped(*chain(40), ("l40", b"end", FILE))))
            assert read_at_last(tree / "l0") == b"end"
            for hostile in (chain(1_500), [("one", b"two", LINK), ("two", b"one", LINK)]):
                with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
                    await store.put(zipped(*hostile))
            assert left_over(disk) == []

    asyncio.run(main())


def test_links_that_lead_through_thousands_of_names_end_soon(disk: Path) -> None:
    winding = b"d/../" * 790 + b"x"
    hostile = [("d/", b"", stat.S_IFDIR), *((f"l{number}", winding, LINK) for number in range(2_000))]

    async def main() -> None:
        async with opened(disk) as store:
            with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
                await store.put(zipped(*hostile))

    asyncio.run(main())


def test_sizes_have_their_own_answers(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(disk) as store:
            with pytest.raises(RequestEntityTooLargeException) as zipped_size:
                await store.put(bytes(limits.ZIPPED_BYTES))
            assert zipped_size.value.message == "Zipped size must be smaller than 52428800 bytes"
            for archive in (b"", zipped()):
                with pytest.raises(InvalidParameterValueException) as empty:
                    await store.put(archive)
                assert empty.value.message == "Uploaded file must be a non-empty zip"

    asyncio.run(main())
    bomb = zipped(*((str(number), bytes(26_214_400), FILE) for number in range(10)))
    assert len(bomb) < 1_000_000
    assert refused_at_once(bomb) == "Unzipped size must be smaller than 262144000 bytes"


LYING = {
    "content": (b"x" * 50, b"y" * 50),
    "name in the local header": (b"PK\x03\x04", b"PK\x03\x05"),
}


@pytest.mark.parametrize("change", LYING.values(), ids=LYING)
def test_a_damaged_archive_leaves_nothing_behind(disk: Path, change: tuple[bytes, bytes]) -> None:
    archive = zipped(("good", b"g", FILE), ("bad", b"x" * 50, FILE), method=zipfile.ZIP_STORED)
    archive = archive.replace(*change)

    async def main() -> None:
        async with opened(disk) as store:
            for keep in (True, True, False):
                await assert_refused_and_nothing_kept(store, disk, archive, keep=keep)

    asyncio.run(main())


async def assert_refused_and_nothing_kept(
    store: PackageStore, disk: Path, archive: bytes, *, keep: bool = True
) -> None:
    for put in (store.put(archive, keep=keep), store.fetch(lambda file: file.write(archive), keep=keep)):
        with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
            await put
        assert left_over(disk) == []
        assert [path.name for path in disk.iterdir()] == ["incoming"]


def test_an_entry_gives_no_more_than_it_declares(disk: Path) -> None:
    archive = bytearray(zipped(("big", bytes(1_000_000), FILE)))
    directory = archive.index(b"PK\x01\x02")
    archive[directory + 24 : directory + 28] = (10).to_bytes(4, "little")

    async def main() -> None:
        async with opened(disk) as store:
            await assert_refused_and_nothing_kept(store, disk, bytes(archive))

    asyncio.run(main())


def test_a_path_that_is_too_long_for_this_place_is_refused(disk: Path) -> None:
    archive = zipped(("/".join(["d" * 99] * 35), b"x", FILE))
    far = disk.joinpath(*["f" * 100] * 6)

    async def main() -> None:
        async with opened(disk / "near") as store:
            tree = store.tree(await store.put(archive))
            assert sum(path.is_file() for path in tree.rglob("*")) == 1
        async with opened(far) as store:
            await assert_refused_and_nothing_kept(store, far, archive)

    asyncio.run(main())


def test_a_disk_that_takes_no_more_leaves_nothing_and_is_not_the_senders_fault(disk: Path) -> None:
    archive = zipped(("big", bytes(2_000_000), FILE))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def main() -> None:
        async with opened(disk) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
            try:
                with pytest.raises(OSError, match="too large"):
                    await store.put(archive)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert [path.name for path in disk.iterdir()] == ["incoming"]
            assert left_over(disk) == []
            assert (store.tree(await store.put(archive)) / "big").stat().st_size == 2_000_000

    asyncio.run(main())


def test_an_archive_that_an_earlier_start_kept_is_unpacked_before_it_is_taken_again(disk: Path) -> None:
    archive = zipped(("bad", b"x" * 50, FILE), method=zipfile.ZIP_STORED).replace(b"x" * 50, b"y" * 50)
    kept = disk / hashlib.sha256(archive).hexdigest()
    kept.mkdir()
    (kept / "package.zip").write_bytes(archive)

    async def main() -> None:
        async with opened(disk) as store:
            with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
                await store.put(archive)
            assert [path.name for path in kept.iterdir()] == ["package.zip"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "entries",
    [
        [("out", b"/etc/passwd", LINK)],
        [("out", b"..", LINK)],
        [("a/out", b"../../x", LINK)],
        [("here", b".", LINK), ("out", b"here/../x", LINK)],
        [("d/e/", b"", stat.S_IFDIR), ("deep", b"d/e", LINK), ("out", b"deep/../../../x", LINK)],
        [("one", b"two/../..", LINK), ("two", b".", LINK)],
        [("nothing", b"", LINK)],
    ],
    ids=lambda entries: "+".join(f"{name}-{target.decode()}" for name, target, _ in entries),
)
def test_links_that_leave_the_tree_are_refused(disk: Path, entries: list[Entry]) -> None:
    async def main() -> None:
        async with opened(disk) as store:
            await assert_refused_and_nothing_kept(store, disk, zipped(*entries))

    asyncio.run(main())


def test_links_inside_the_tree_are_kept_even_when_they_lead_nowhere(disk: Path) -> None:
    entries = [("d/", b"", stat.S_IFDIR), ("d/up", b"../app", LINK), ("nowhere", b"d/none", LINK), ("app", b"a", FILE)]

    async def main() -> None:
        async with opened(disk) as store:
            tree = await store.unpack(await store.put(zipped(*entries)))
            assert (tree / "d/up").read_bytes() == b"a"
            assert (tree / "nowhere").is_symlink()

    asyncio.run(main())


def test_what_an_earlier_boot_unpacked_is_unpacked_again(disk: Path) -> None:
    archive = zipped(("a", b"whole", FILE))

    async def main() -> None:
        async with opened(disk) as store:
            package = await store.put(archive)
            torn = disk / package.digest / "tree.earlier-boot"
            for again in (store.unpack(package), store.put(archive)):
                store.tree(package).rename(torn)
                await again
                assert (store.tree(package) / "a").read_bytes() == b"whole"
                assert not torn.exists()

    asyncio.run(main())


def test_what_a_killed_server_left_is_swept_at_the_next_start(disk: Path) -> None:
    (disk / "incoming" / "half").mkdir(parents=True)

    async def main() -> None:
        async with opened(disk):
            assert left_over(disk) == []

    asyncio.run(main())


def test_forget_removes_what_has_been_unused_for_long_and_nothing_that_is_arriving(disk: Path) -> None:
    one, two, three = (zipped(("a", str(number).encode(), FILE)) for number in range(3))

    async def main() -> None:
        async with opened(disk) as store:
            old = await store.put(one)
            kept = await store.put(two)
            await store.unpack(old)

            async def in_use() -> set[str]:
                return {kept.digest}

            async def while_another_arrives() -> set[str]:
                with store.arriving():
                    await store.put(three)
                return {kept.digest}

            assert await store.forget(in_use, 0) == []
            assert await store.forget(in_use, UNUSED_FOR_US - 1) == []
            with store.arriving():
                assert await store.forget(in_use, UNUSED_FOR_US) == []
            assert await store.forget(while_another_arrives, UNUSED_FOR_US) == []
            assert await store.forget(in_use, UNUSED_FOR_US) == [old.digest]
            assert store.open_archive(old.digest) is None
            assert left_over(disk) == []
            file = store.open_archive(kept.digest)
            assert file is not None
            file.close()
            # What arrived later has its own time.
            assert await store.forget(in_use, 2 * UNUSED_FOR_US) == [hashlib.sha256(three).hexdigest()]

    asyncio.run(main())


def test_where_nothing_runs_forget_waits_for_nothing_but_what_arrives(disk: Path) -> None:
    one, two = (zipped(("a", str(number).encode(), FILE)) for number in range(2))

    async def main() -> None:
        async with opened(disk) as store:
            unused, kept = await store.put(one), await store.put(two)

            async def in_use() -> set[str]:
                return {kept.digest}

            with store.arriving():
                assert await store.forget(in_use, 0, unused_for_us=0) == []
            assert await store.forget(in_use, 0, unused_for_us=0) == [unused.digest]

    asyncio.run(main())


def test_a_package_that_is_sent_again_has_its_time_again(disk: Path) -> None:
    archive = zipped(("a", b"1", FILE))

    async def nothing() -> set[str]:
        return set()

    async def main() -> None:
        async with opened(disk) as store:
            package = await store.put(archive)
            assert await store.forget(nothing, 0) == []
            await store.put(archive)
            assert await store.forget(nothing, UNUSED_FOR_US) == []
            assert await store.forget(nothing, 2 * UNUSED_FOR_US) == [package.digest]

    asyncio.run(main())


NAMES = st.text("ab./\\\0é", min_size=1, max_size=12)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=5), st.sampled_from((FILE, LINK, 0, stat.S_IFDIR))), max_size=6))
def test_whatever_a_directory_says_every_path_stays_inside(entries: list[Entry]) -> None:
    try:
        contents = inspect(io.BytesIO(zipped(*entries)))
    except InvalidParameterValueException:
        return
    paths = [*contents.directories, *(entry.parts for entry in contents.entries)]
    assert len(set(paths)) == len(paths)
    for parts in paths:
        assert parts
        assert not {"", ".", ".."} & set(parts)
        assert not any("/" in part or "\0" in part for part in parts)


@given(st.binary(max_size=400))
def test_random_bytes_never_do_more_than_be_refused(archive: bytes) -> None:
    with pytest.raises(InvalidParameterValueException):
        inspect(io.BytesIO(b"PK\x03\x04" + archive))


@given(st.data())
def test_changed_bytes_give_a_refusal_or_a_tree_and_nothing_outside(data: st.DataObject) -> None:
    archive = bytearray(zipped(("a/b", b"content", FILE), ("link", b"a", LINK)))
    for position in data.draw(st.lists(st.integers(0, len(archive) - 1), min_size=1, max_size=3)):
        archive[position] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as directory:
        root = Path(directory, "root")
        root.mkdir()
        with contextlib.suppress(InvalidParameterValueException):
            file = io.BytesIO(archive)
            extract(file, inspect(file), root)
        assert [path.name for path in Path(directory).iterdir()] == ["root"]


def test_a_date_of_zeros_is_a_date(disk: Path) -> None:
    archive = bytearray(zipped(("a", b"x", FILE)))
    for header, offset in ((b"PK\x03\x04", 10), (b"PK\x01\x02", 12)):
        start = archive.index(header) + offset
        archive[start : start + 4] = bytes(4)

    async def main() -> None:
        async with opened(disk) as store:
            tree = await store.unpack(await store.put(bytes(archive)))
            assert (tree / "a").read_bytes() == b"x"

    asyncio.run(main())


def test_a_fetched_package_is_the_one_that_would_have_been_sent(disk: Path) -> None:
    archive = zipped(("app.py", b"print()", FILE))

    def download(file: BinaryIO) -> None:
        file.write(archive)

    async def main() -> None:
        async with opened(disk) as store:
            package = await store.fetch(download, keep=False)
            assert await store.put(archive, keep=False) == package
            assert [path.name for path in disk.iterdir()] == ["incoming"]
            assert left_over(disk) == []
            assert await store.fetch(download) == await store.fetch(download) == package
            kept = store.open_archive(package.digest)
            assert kept is not None
            with kept:
                assert kept.read() == archive
            assert await store.put(archive) == package
            assert left_over(disk) == []

    asyncio.run(main())


def test_a_download_that_fails_or_brings_no_archive_leaves_nothing_behind(disk: Path) -> None:
    class Broken(Exception):
        pass

    def breaks(file: BinaryIO) -> None:
        file.write(b"half of")
        raise Broken

    def garbles(file: BinaryIO) -> None:
        file.write(b"no archive")

    async def main() -> None:
        async with opened(disk) as store:
            with pytest.raises(Broken):
                await store.fetch(breaks)
            with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
                await store.fetch(garbles)
            with pytest.raises(InvalidParameterValueException, match="non-empty zip"):
                await store.fetch(lambda _file: None)
            assert left_over(disk) == []
            assert [path.name for path in disk.iterdir()] == ["incoming"]

    asyncio.run(main())


def test_a_small_package_does_not_wait_for_large_ones(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def large(which: int) -> bytes:
        return zipped(*((f"{which}/{number}", b"", FILE) for number in range(2_001)), method=zipfile.ZIP_STORED)

    def held(file: BinaryIO, contents: Contents, root: Path) -> None:
        if len(contents.entries) > 2_000:
            gate.wait(60)
        extract(file, contents, root)

    monkeypatch.setattr("lambent.store.archive.extract", held)

    async def main() -> None:
        archives = [large(which) for which in range(6)]
        async with opened(disk) as store, asyncio.TaskGroup() as tasks:
            for archive in archives:
                tasks.create_task(store.put(archive))
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(30):
                    small = await store.put(zipped(("app.py", b"print()", FILE)))
                assert (store.tree(small) / "app.py").is_file()
            finally:
                gate.set()

    asyncio.run(main())


def test_a_store_that_closes_does_not_wait_for_a_download_and_keeps_nothing_of_it(disk: Path) -> None:
    archive = zipped(("app.py", b"print()", FILE))
    begun, resumed = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def download(file: BinaryIO) -> None:
        threads.append(threading.current_thread())
        file.write(archive[:10])
        begun.set()
        resumed.wait(60)
        file.write(archive[10:])

    async def main() -> None:
        async with opened(disk) as store:
            fetching = asyncio.create_task(store.fetch(download))
            waiting = [asyncio.create_task(store.fetch(lambda _file: None)) for _ in range(4)]
            await asyncio.to_thread(begun.wait, 60)
        fetching.cancel()
        await asyncio.gather(fetching, *waiting, return_exceptions=True)
        resumed.set()
        await asyncio.to_thread(threads[0].join, 60)
        assert not threads[0].is_alive()
        assert list(disk.iterdir()) == []

    asyncio.run(main())

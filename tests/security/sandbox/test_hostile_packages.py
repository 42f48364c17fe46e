"""Deployment packages and layers that would have the server write or read outside of their tree.

Each goes through the real package store, which must refuse it and leave what is outside as it was. The control is
somebody who trusts what an archive says, and unpacks the same ones.
"""

import asyncio
import contextlib
import io
import os
import shutil
import stat
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from arena import Arena

from lambent.core.errors import InvalidParameterValueException
from lambent.store.packages import PackageStore

FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
Entry = tuple[str, bytes, int]
LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")


def archive(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, content)
    return buffer.getvalue()


def renamed_in_passing(shown: bytes, hidden: bytes) -> bytes:
    """An archive whose directory, where names are checked, shows one name and whose data, as they are read, another."""
    assert len(shown) == len(hidden)
    return archive((shown.decode(), b"overwritten", FILE)).replace(shown, hidden, 1)


# Each as the archives of one function: its package, or its layers in their order. OUT stands for a directory outside.
HOSTILE: dict[str, Callable[[str], list[bytes]]] = {
    "a name that climbs": lambda out: [archive(("../out/canary", b"overwritten", FILE))],
    "a name from the root": lambda out: [archive((f"{out}/canary", b"overwritten", FILE))],
    "a link, and a file behind it": lambda out: [
        archive(("way", out.encode(), LINK), ("way/canary", b"overwritten", FILE))
    ],
    "a link, and a file of its name": lambda out: [
        archive(("way", f"{out}/canary".encode(), LINK), ("way", b"overwritten", FILE))
    ],
    "a link to a file outside": lambda out: [archive(("leak", f"{out}/canary".encode(), LINK))],
    "a climbing link": lambda out: [archive(("leak", b"../out/canary", LINK))],
    "a link of one layer, a file behind it in the next": lambda out: [
        archive(("way", out.encode(), LINK)),
        archive(("way/canary", b"overwritten", FILE)),
    ],
    "links of two layers that are harmless alone": lambda out: [
        archive(("a/b/file", b"", FILE), ("leak", b"a/b/../out/canary", LINK)),
        archive(("a/b", b"..", LINK)),
    ],
    "a name that is another when it is read": lambda out: [renamed_in_passing(b"xxx/canary", b"../out/new")],
}
RACES = {"sandbox": 3, "process": 100}


@pytest.fixture
def place() -> Iterator[Path]:
    """With `out`, which nothing may reach, and the store or a tree beside it."""
    directory = Path(tempfile.mkdtemp(prefix="lambent-test-", dir="/var/tmp"))
    (directory / "out").mkdir()
    (directory / "out" / "canary").write_text("canary")
    yield directory
    shutil.rmtree(directory)


def reached(tree: Path, out: Path) -> bool:
    """Whether something outside was written to, or can be read by way of the tree."""
    if [path.name for path in out.iterdir()] != ["canary"] or (out / "canary").read_text() != "canary":
        return True
    leak = tree / "leak"
    return leak.is_file() and leak.read_text() == "canary"


def unpack_trusting(archives: Sequence[bytes], tree: Path) -> None:
    """As a program would that does what archives say, one over the other, in the order of their data."""
    tree.mkdir()
    for content in archives:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            infos = opened.infolist()
        for info in infos:
            header = LOCAL_HEADER.unpack_from(content, info.header_offset)
            begin = info.header_offset + LOCAL_HEADER.size
            name = content[begin : begin + header[9]].decode()
            data = content[begin + header[9] + header[10] :][: info.compress_size]
            target = tree / name  # which is the name alone, if that begins at the root
            target.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(info.external_attr >> 16):
                if target.is_dir():
                    shutil.rmtree(target)
                target.symlink_to(os.fsdecode(data))
            else:
                target.write_bytes(data)


@pytest.mark.parametrize("archives", HOSTILE.values(), ids=HOSTILE)
def test_the_store_refuses_it_and_touches_nothing_outside(place: Path, archives: Callable[[str], list[bytes]]) -> None:
    async def run() -> None:
        store = PackageStore(place / "store")
        try:
            with pytest.raises(InvalidParameterValueException):
                await store.merge([await store.put(content) for content in archives(str(place / "out"))])
            assert list((place / "store" / "incoming").iterdir()) == []
        finally:
            await store.close()
        assert not any(reached(tree, place / "out") for tree in (place / "store").glob("*/tree.*"))

    asyncio.run(run())


@pytest.mark.parametrize("archives", HOSTILE.values(), ids=HOSTILE)
def test_control_who_trusts_it_reaches_outside(place: Path, archives: Callable[[str], list[bytes]]) -> None:
    unpack_trusting(archives(str(place / "out")), place / "tree")
    assert reached(place / "tree", place / "out")


RACE = """
import glob, os, sys
incoming, out = sys.argv[1:]
print('up', flush=True)
while True:
    for directory in glob.glob(incoming + '/*/tree.*/d'):
        try:
            os.rename(directory, directory + '.away')
            os.symlink(out, directory)
        except OSError:
            continue
"""


@pytest.mark.parametrize("bench", ["sandbox", "process"])
def test_nothing_changes_a_tree_between_its_check_and_its_use(arena: Arena, place: Path, bench: str) -> None:
    """A function replaces the directories of packages that are being unpacked by links to the outside. Without
    isolation it is in time for one of them."""
    if arena.as_root != (os.geteuid() == 0):
        pytest.skip("the store is another user's than the function's, who may not enter it anyway")
    out = place / "out"
    sandbox = arena.create(bench)
    program = arena.start(sandbox, RACE, str(place / "store" / "incoming"), str(out), bench=bench)
    arena.says(program, "up")

    async def run() -> None:
        store = PackageStore(place / "store")
        try:
            for attempt in range(RACES[bench]):
                files = ((f"d/f{number}", b"%d" % attempt, FILE) for number in range(1_000))
                sent = store.put(archive(*files))
                if bench == "sandbox":
                    await sent
                else:
                    with contextlib.suppress(OSError, InvalidParameterValueException):
                        await sent
                if (out / "f999").exists():
                    return
        finally:
            await store.close()

    asyncio.run(run())
    arena.destroy(sandbox)
    arena.outcome(program)
    assert (out / "f999").exists() == (bench == "process")


def test_a_package_that_comes_many_times_at_once_is_one_whole_tree(place: Path) -> None:
    """Whoever is second neither sees half of the first one's tree nor writes into it."""
    content = archive(*((f"d{number % 7}/f{number}", b"%d" % number, FILE) for number in range(200)))
    evil = archive(("d1", b"../out", LINK), *((f"f{number}", b"", FILE) for number in range(200)))

    async def run() -> None:
        store = PackageStore(place / "store")
        try:
            sent = [store.put(one) for _ in range(4) for one in (content, evil)]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            assert all(isinstance(answer, InvalidParameterValueException) for answer in answers[1::2])
            (package,) = set(answers[::2])
            tree = store.tree(package)
            files = {path.name: path.read_bytes() for path in tree.rglob("f*")}
            assert files == {f"f{number}": b"%d" % number for number in range(200)}
        finally:
            await store.close()

    asyncio.run(run())
    assert not reached(place / "store", place / "out")

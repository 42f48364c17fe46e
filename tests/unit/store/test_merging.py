import asyncio
import io
import stat
import zipfile
from pathlib import Path

import pytest

from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import Package
from lambent.core.layer import merged_digest
from lambent.store.merging import merge
from lambent.store.packages import UNUSED_FOR_US, PackageStore


def trees(directory: Path, *layers: dict[str, str]) -> list[Path]:
    """A tree for each layer; a name that ends in `@` is a link to its text."""
    made = []
    for number, files in enumerate(layers):
        tree = directory / f"layer-{number}"
        for name, text in files.items():
            path = tree / name.removesuffix("@")
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("@"):
                path.symlink_to(text)
            else:
                path.write_text(text)
        made.append(tree)
    return made


def merged(directory: Path, *layers: dict[str, str]) -> dict[str, str]:
    root = directory / "merged"
    root.mkdir()
    merge(trees(directory, *layers), root)
    return {
        str(path.relative_to(root)) + ("@" if path.is_symlink() else ""): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_a_later_file_takes_the_place_of_an_earlier_one_and_the_layers_stay_as_they_are(disk: Path) -> None:
    assert merged(disk, {"a": "1", "d/x": "1"}, {"a": "2", "d/y": "2"}) == {"a": "2", "d/x": "1", "d/y": "2"}
    assert (disk / "layer-0/a").read_text() == "1"
    assert (disk / "merged/a").samefile(disk / "layer-1/a")
    assert stat.S_IMODE((disk / "merged").stat().st_mode) == 0o755
    assert stat.S_IMODE((disk / "merged/d").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"x/y/z": "1"}, {"x": "2"}),
        ({"x": "1"}, {"x/y/z": "2"}),
        ({"x@": "elsewhere", "elsewhere/y": "0"}, {"x/y": "2"}),
        ({"x/y": "1", "elsewhere": "0"}, {"x@": "elsewhere"}),
        ({"x@": "elsewhere", "elsewhere": "0"}, {"x": "2"}),
    ],
)
def test_a_later_entry_takes_the_place_of_one_of_another_kind(
    disk: Path, earlier: dict[str, str], later: dict[str, str]
) -> None:
    untouched = {name: text for name, text in earlier.items() if name.startswith("elsewhere")}
    assert merged(disk, earlier, later) == {**untouched, **later}


def test_a_link_that_leaves_the_tree_by_way_of_another_layers_link_is_refused(disk: Path) -> None:
    within = {"a/b/file": "", "up@": "a/b/../../data"}
    alone, together = disk / "alone", disk / "together"
    for directory in (alone, together):
        directory.mkdir()
    assert merged(alone, within) == within
    with pytest.raises(InvalidParameterValueException):
        merged(together, within, {"a/b@": ".."})


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, name)
    return buffer.getvalue()


def test_layers_are_merged_once_and_that_of_one_layer_is_its_own(disk: Path) -> None:
    async def main() -> None:
        store = PackageStore(disk)
        one, two = [await store.put(zipped(name)) for name in ("one", "two")]
        first, second = await asyncio.gather(store.merge([one, two]), store.merge([one, two]))
        assert first == second == disk / merged_digest([one.digest, two.digest]) / store.tree(one).name
        made = first.stat().st_ino
        assert (await store.merge([one, two])).stat().st_ino == made
        assert sorted(path.name for path in first.iterdir()) == ["one", "two"]
        assert await store.merge([one]) == store.tree(one)
        assert await store.merge([two, one]) != first
        assert store.open_archive(first.parent.name) is None
        assert list((disk / "incoming").iterdir()) == []
        await store.close()

    asyncio.run(main())


def test_a_merged_tree_that_nobody_uses_is_forgotten_and_can_be_made_again(disk: Path) -> None:
    async def main() -> None:
        store = PackageStore(disk)
        layers = [await store.put(zipped(name)) for name in ("one", "two")]
        tree = await store.merge(layers)

        async def in_use() -> set[str]:
            return {layer.digest for layer in layers}

        assert await store.forget(in_use, 0) == []
        assert await store.forget(in_use, UNUSED_FOR_US) == [tree.parent.name]
        assert not tree.parent.exists()
        assert await store.merge(layers) == tree
        assert (tree / "two").read_text() == "two"
        await store.close()

    asyncio.run(main())


def test_nothing_is_kept_of_a_tree_that_can_not_be_merged(disk: Path) -> None:
    async def main() -> None:
        store = PackageStore(disk)
        one = await store.put(zipped("one"))
        with pytest.raises(OSError):
            await store.merge([one, Package("0" * 64, 0)])
        assert list((disk / "incoming").iterdir()) == []
        assert not (disk / merged_digest([one.digest, "0" * 64])).exists()
        await store.close()

    asyncio.run(main())

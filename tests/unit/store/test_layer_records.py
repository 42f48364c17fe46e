import asyncio
from pathlib import Path

from msgspec.structs import replace
from records import ACCOUNT, REGION, record

from lambent.core.function import AttachedLayer, Package
from lambent.core.function_state import PUBLISHED, UpdateAccepted, step
from lambent.core.layer import LayerName, LayerVersion, merged_digest
from lambent.store import functions, layers
from lambent.store.metadata import MetadataStore, WritingConnection

LAYER = LayerName(ACCOUNT, REGION, "shared")


def attached(*digests: str) -> tuple[AttachedLayer, ...]:
    return tuple(AttachedLayer(f"arn:{digest}", Package(digest, 1)) for digest in digests)


def test_what_layers_and_functions_with_layers_need_on_disk_is_in_use(disk: Path) -> None:
    async def main() -> None:
        store = MetadataStore(disk / "metadata.sqlite")
        await store.open()

        async def in_use() -> set[str]:
            return await store.read(functions.digests_in_use)

        def publish(connection: WritingConnection) -> None:
            number = layers.allocate_version(connection, LAYER)
            layers.insert(connection, LayerVersion(LAYER, number, Package("layer", 1), 0))

        await store.run(publish)
        assert await in_use() == {"layer"}

        before = record(lifecycle=PUBLISHED, layers=attached("a", "b"))
        await store.run(lambda connection: functions.insert(connection, before))
        old = {"a", "b", merged_digest(["a", "b"])}
        assert await in_use() == {"layer", "d1", *old}

        # While an update is in progress, what serves is in use as well as what is to.
        lifecycle = step(PUBLISHED, UpdateAccepted())
        configuration = replace(before.configuration, layers=attached("b", "a"))
        after = replace(
            before,
            configuration=configuration,
            revision_id="r2",
            state=lifecycle.state,
            last_update=lifecycle.last_update,
        )
        await store.run(lambda connection: functions.replace(connection, after, expected_revision="r1"))
        assert await in_use() == {"layer", "d1", *old, merged_digest(["b", "a"])}

        await store.run(lambda connection: functions.delete(connection, before.function))
        await store.run(lambda connection: layers.delete(connection, LAYER, 1))
        assert await in_use() == set()
        await store.close()

    asyncio.run(main())


def test_functions_of_before_there_were_layers_are_read_as_having_none(disk: Path) -> None:
    async def main() -> None:
        store = MetadataStore(disk / "metadata.sqlite")
        await store.open()
        made = record(lifecycle=PUBLISHED)
        await store.run(lambda connection: functions.insert(connection, made))
        # As the record was written before: without these members.
        await store.run(
            lambda connection: connection.execute(
                "UPDATE function_version SET record = CAST(json_remove(CAST(record AS TEXT), '$.configuration.layers', "
                "'$.package.unzipped') AS BLOB)"
            )
        )
        assert await store.read(lambda connection: functions.get(connection, made.function)) == made
        await store.close()

    asyncio.run(main())

import asyncio

from benchmarks.parts import many_functions

from lambent.core.function import (
    Configuration,
    FunctionName,
    FunctionVersion,
    Package,
    State,
    Status,
    UpdateStatus,
)
from lambent.store import functions
from lambent.store.metadata import MetadataStore

ECHO = FunctionVersion(
    function=FunctionName("000000000000", "us-east-1", "echo"),
    version="$LATEST",
    configuration=Configuration("arn:aws:iam::000000000000:role/bench", "python3.11", "echo.handler"),
    package=Package("0" * 64, 1),
    architectures=("x86_64",),
    revision_id="first",
    config_revision="first",
    last_modified_ms=0,
    state=Status(State.ACTIVE),
    last_update=Status(UpdateStatus.SUCCESSFUL),
)


def test_an_account_is_filled_with_copies_that_have_versions_and_revisions_of_their_own(tmp_path):
    async def filled():
        store = MetadataStore(tmp_path / "metadata.sqlite")
        await store.open()
        await store.run(lambda connection: functions.insert(connection, ECHO))
        await store.close()
        await many_functions.fill(tmp_path, ["one", "two"])
        await store.open()
        records = [change.current for change in await store.read(lambda connection: [*functions.load_all(connection)])]
        await store.close()
        return records

    records = [record for record in asyncio.run(filled()) if record != ECHO]
    assert [(record.function.name, record.version) for record in records] == [
        (name, version) for name in ("one", "two") for version in ("$LATEST", "1", "2", "3")
    ]
    assert [record for record in records if record.configuration != ECHO.configuration] == []
    assert len({record.revision_id for record in records} | {record.config_revision for record in records}) == 16

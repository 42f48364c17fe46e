"""Event source mappings on a real store, with and without the work that settles their states."""

import asyncio
from typing import Any

import pytest
from plane import Plane, with_plane

from lambent.control.mapping_settlement import MappingSettlement
from lambent.core.errors import ResourceInUseException, ResourceNotFoundException
from lambent.store.changes import MappingChanged, MappingRemoved

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
IN_USE = "Cannot {} the event source mapping because it is in use."


async def mapped(plane: Plane, source: str = QUEUE, **members: Any) -> str:
    await plane.active()
    if source == STREAM:
        members["StartingPosition"] = "LATEST"
    created = await plane.call("CreateEventSourceMapping", FunctionName="echo", EventSourceArn=source, **members)
    return str(created["UUID"])


async def state(plane: Plane, uuid: str) -> Any:
    return (await plane.call("GetEventSourceMapping", UUID=uuid))["State"]


async def settle(plane: Plane, uuid: str, wanted: str | None) -> None:
    """Run the settlement until the mapping is in this state, or, for None, not there."""
    task = asyncio.create_task(MappingSettlement(plane.deps, retry_after_s=0).run())

    def is_there() -> bool:
        states = [
            change.mapping.state.value if isinstance(change, MappingChanged) else None
            for change in plane.changes
            if isinstance(change, MappingChanged | MappingRemoved) and change.mapping.uuid == uuid
        ]
        return states[-1] == wanted

    try:
        await plane.heard(is_there)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_mapping_on_its_way_takes_no_change_and_stays_on_its_way_until_settled() -> None:
    async def scenario(plane: Plane) -> None:
        uuid = await mapped(plane)
        assert await state(plane, uuid) == "Creating"
        with pytest.raises(ResourceInUseException, match=IN_USE.format("update")):
            await plane.call("UpdateEventSourceMapping", UUID=uuid, BatchSize=1)
        with pytest.raises(ResourceInUseException, match=IN_USE.format("delete")):
            await plane.call("DeleteEventSourceMapping", UUID=uuid)
        assert (await plane.call("GetEventSourceMapping", UUID=uuid))["BatchSize"] == 10
        await settle(plane, uuid, "Enabled")
        assert await state(plane, uuid) == "Enabled"

    with_plane(scenario)


@pytest.mark.parametrize(
    ("enabled", "update", "on_the_way", "settled"),
    [
        (True, {"BatchSize": 1}, "Updating", "Enabled"),
        (True, {"Enabled": True}, "Updating", "Enabled"),
        (True, {"Enabled": False, "BatchSize": 1}, "Disabling", "Disabled"),
        (False, {"Enabled": True}, "Enabling", "Enabled"),
        (False, {"BatchSize": 1}, "Updating", "Disabled"),
    ],
)
def test_an_update_shows_the_way_and_then_what_was_asked_for(
    enabled: bool, update: dict[str, Any], on_the_way: str, settled: str
) -> None:
    async def scenario(plane: Plane) -> None:
        uuid = await mapped(plane, STREAM, Enabled=enabled)
        await settle(plane, uuid, "Enabled" if enabled else "Disabled")
        before = await plane.call("GetEventSourceMapping", UUID=uuid)
        plane.clock.advance_ms(1000)
        answer = await plane.call("UpdateEventSourceMapping", UUID=uuid, **update)
        assert answer["State"] == on_the_way
        assert answer["LastModified"] > before["LastModified"]
        assert await plane.call("GetEventSourceMapping", UUID=uuid) == answer
        plane.clock.advance_ms(1000)
        await settle(plane, uuid, settled)
        after = await plane.call("GetEventSourceMapping", UUID=uuid)
        assert after["LastModified"] > answer["LastModified"]
        changed = {name: value for name, value in update.items() if name != "Enabled"}
        assert after == {**before, **changed, "State": settled, "LastModified": after["LastModified"]}

    with_plane(scenario)


def test_a_queue_that_is_not_to_be_read_is_disabled_at_once_and_a_stream_when_settled() -> None:
    async def scenario(plane: Plane) -> None:
        assert await state(plane, await mapped(plane, QUEUE, Enabled=False)) == "Disabled"
        await plane.call("DeleteFunction", FunctionName="echo")
        assert await state(plane, await mapped(plane, STREAM, Enabled=False)) == "Creating"

    with_plane(scenario)


def test_a_deleted_mapping_is_there_until_settled_and_then_gone() -> None:
    async def scenario(plane: Plane) -> None:
        uuid = await mapped(plane)
        await settle(plane, uuid, "Enabled")
        deleted = await plane.call("DeleteEventSourceMapping", UUID=uuid)
        assert deleted["State"] == "Deleting"
        assert await plane.call("GetEventSourceMapping", UUID=uuid) == deleted
        with pytest.raises(ResourceInUseException):
            await plane.call("DeleteEventSourceMapping", UUID=uuid)
        # The settlement was not there to hear of it: so what a killed server left is settled by the next one.
        await settle(plane, uuid, None)
        with pytest.raises(ResourceNotFoundException):
            await plane.call("GetEventSourceMapping", UUID=uuid)
        assert await plane.call("ListEventSourceMappings") == {"EventSourceMappings": []}

    with_plane(scenario)


def test_lists_do_not_show_filters_that_have_a_key() -> None:
    async def scenario(plane: Plane) -> None:
        filters = {"Filters": [{"Pattern": '{"body": ["x"]}'}]}
        uuid = await mapped(plane, FilterCriteria=filters, KMSKeyArn="arn:aws:kms:eu-west-1:123456789012:key/k")
        assert (await plane.call("GetEventSourceMapping", UUID=uuid))["FilterCriteria"] == filters
        (listed,) = (await plane.call("ListEventSourceMappings"))["EventSourceMappings"]
        assert "FilterCriteria" not in listed
        assert listed["KMSKeyArn"].endswith("key/k")

    with_plane(scenario)

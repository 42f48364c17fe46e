"""Whatever is written and however it is paged through, the pages are those of a plain list."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs_under_test import FixedClock, Logs

from lambent.observe.log_store import LogStore

GROUP = "/aws/lambda/echo"

appends = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.lists(st.text(max_size=20), min_size=1, max_size=4),
        st.booleans(),  # a flush behind it
    ),
    min_size=1,
    max_size=25,
)


@given(appends=appends, limit=st.integers(1, 7), segment_bytes=st.sampled_from([1, 200, 10_000]), reopen=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_way_through_the_pages_shows_each_event_once_and_in_order(
    appends: list[tuple[str, list[str], bool]], limit: int, segment_bytes: int, reopen: bool
) -> None:
    async def main(directory: Path) -> None:
        store = LogStore(directory, FixedClock(), segment_bytes=segment_bytes)
        await store.open()
        written: list[tuple[str, int, str]] = []
        for stream, lines, flush in appends:
            stamped = [(len(written) + position, text) for position, text in enumerate(lines)]
            Logs(store).put(GROUP, stream, *stamped)
            written += [(stream, stamp, f"{text}\n") for stamp, text in stamped]
            if flush:
                await store.flush()
        if reopen:
            await store.close()
            store = LogStore(directory, FixedClock(), segment_bytes=segment_bytes)
            await store.open()
        logs = Logs(store)
        assert await filtered(logs, limit, forward=True) == written
        for stream in {stream for stream, _, _ in written}:
            of_stream = [event for event in written if event[0] == stream]
            assert await got(logs, stream, limit, forward=True) == of_stream
            assert await got(logs, stream, limit, forward=False) == of_stream
            assert await filtered(logs, limit, forward=True, stream=stream) == of_stream
        await store.close()

    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lambent-test-") as path:
        asyncio.run(main(Path(path) / "logs"))


async def filtered(logs: Logs, limit: int, *, forward: bool, stream: str | None = None) -> list[tuple[str, int, str]]:
    params: dict[str, object] = {"limit": limit, "startFromHead": forward}
    if stream is not None:
        params["logStreamNames"] = [stream]
    found: list[tuple[str, int, str]] = []
    while True:
        answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, **params)
        assert len(answer["events"]) <= limit
        found += [(event["logStreamName"], event["timestamp"], event["message"]) for event in answer["events"]]
        if answer["nextToken"] is None:
            return found
        params["nextToken"] = answer["nextToken"]


async def got(logs: Logs, stream: str, limit: int, *, forward: bool) -> list[tuple[str, int, str]]:
    key = "nextForwardToken" if forward else "nextBackwardToken"
    params: dict[str, object] = {"limit": limit, "startFromHead": forward}
    found: list[tuple[str, int, str]] = []
    while True:
        answer = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName=stream, **params)
        page = [(stream, event["timestamp"], event["message"]) for event in answer["events"]]
        assert len(page) <= limit
        found = found + page if forward else page + found
        if answer[key] == params.get("nextToken"):
            assert page == []
            return found
        params["nextToken"] = answer[key]

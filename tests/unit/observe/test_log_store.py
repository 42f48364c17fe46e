"""What was logged is there, in order, within its bounds, after a crash and for its owner only."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from logs_under_test import ACCOUNT, REGION, FixedClock, Logs

from lambent.observe.log_store import LogStore
from lambent.observe.segments import BLOCK_BYTES, MAX_EVENT_CHARS

GROUP = "/aws/lambda/echo"
WithLogs = Callable[..., None]


async def texts(logs: Logs, group: str = GROUP) -> list[str]:
    page = await logs.store.search(ACCOUNT, REGION, group)
    return [event.text for event in page.events]


def segments_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*/*/*.log"))


def test_lines_appended_before_a_flush_are_on_disk_after_it(with_logs: WithLogs, directory: Path) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "first"), (2, "second"))
        assert segments_of(directory) == []
        await logs.store.flush()
        (segment,) = segments_of(directory)
        assert b"second" in segment.read_bytes()

    with_logs(scenario)


def test_lines_reach_the_disk_without_anyone_asking(with_logs: WithLogs, directory: Path) -> None:
    class TellingClock(FixedClock):
        def __init__(self) -> None:
            super().__init__()
            self.told = threading.Event()

        def wall_ms(self) -> int:  # asked by the thread that begins to write
            self.told.set()
            return self.now_ms

    clock = TellingClock()

    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "alone"))
        assert await asyncio.to_thread(clock.told.wait, 10)

    with_logs(scenario, clock=clock)
    assert len(segments_of(directory)) == 1


def test_lines_appended_while_a_batch_is_written_are_flushed_too(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(5000):
            logs.put(GROUP, "s", (number, f"line {number} " + "x" * 50))
            if number % 700 == 0:
                await asyncio.sleep(0)
        await logs.store.flush()
        assert await texts(logs) == [f"line {number} " + "x" * 50 for number in range(5000)]

    with_logs(scenario)


def test_lines_survive_a_restart_and_more_can_follow(with_logs: WithLogs) -> None:
    async def first(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "before"))

    async def second(logs: Logs) -> None:
        assert await texts(logs) == ["before"]
        logs.put(GROUP, "s", (2, "after"))
        assert await texts(logs) == ["before", "after"]

    with_logs(first)
    with_logs(second)


def test_a_line_cut_short_by_a_crash_is_dropped_and_the_whole_ones_are_kept(
    with_logs: WithLogs, directory: Path
) -> None:
    async def first(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "whole"))

    async def second(logs: Logs) -> None:
        logs.put(GROUP, "s", (3, "next"))
        assert await texts(logs) == ["whole", "next"]

    with_logs(first)
    (segment,) = segments_of(directory)
    with segment.open("ab") as file:
        file.write(b'["s",5,[[2,"to')
    with_logs(second)
    assert b"to" not in segment.read_bytes()


def test_a_damaged_record_hides_nothing_but_itself(with_logs: WithLogs, directory: Path) -> None:
    async def first(logs: Logs) -> None:
        for number in range(3):
            logs.put(GROUP, "s", (number, f"line{number}"))

    async def second(logs: Logs) -> None:
        assert await texts(logs) == ["line0", "line2"]

    with_logs(first)
    (segment,) = segments_of(directory)
    segment.write_bytes(segment.read_bytes().replace(b'"line1"', b'"li\xffe1"'))
    with_logs(second)


def test_a_group_left_without_its_name_by_a_crash_is_passed_over(with_logs: WithLogs, directory: Path) -> None:
    (directory / ACCOUNT / REGION / "unfinished").mkdir(parents=True)

    async def scenario(logs: Logs) -> None:
        assert await logs.store.groups(ACCOUNT, REGION) == []

    with_logs(scenario)


def test_a_group_name_with_slashes_stays_within_the_directory(with_logs: WithLogs, directory: Path) -> None:
    names = ["/aws/lambda/a", "aws-lambda-a", "../../../escape", "x" * 512, "a/../../b"]

    async def scenario(logs: Logs) -> None:
        for name in names:
            logs.put(name, "s", (1, name))
        for name in names:
            assert await texts(logs, name) == [name]
        assert [group.name for group in await logs.store.groups(ACCOUNT, REGION)] == sorted(names)

    with_logs(scenario)
    assert len(list(directory.glob("*/*/*/group.json"))) == len(names)
    assert [path.name for path in directory.parent.iterdir()] == ["logs"]


@pytest.mark.parametrize("region", ["..", ".", "", "a/b", "../.."])
def test_a_hostile_region_stays_within_the_directory(directory: Path, region: str) -> None:
    async def main() -> None:
        store = LogStore(directory, FixedClock())
        await store.open()
        store.append(ACCOUNT, region, GROUP, "s", [(1, "x")])
        await store.flush()
        assert [group.name for group in await store.groups(ACCOUNT, region)] == [GROUP]
        await store.close()

    asyncio.run(main())
    assert [path.name for path in directory.parent.iterdir()] == ["logs"]
    assert len(list(directory.glob("*/*/*/group.json"))) == 1


def test_accounts_do_not_see_each_others_groups(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "mine"))
        logs.put(GROUP, "s", (1, "theirs"), account="999999999999")
        assert await texts(logs) == ["mine"]
        (group,) = await logs.store.groups(ACCOUNT, REGION)
        assert group.name == GROUP

    with_logs(scenario)


def test_a_full_buffer_drops_and_counts(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "fits"))
        logs.put(GROUP, "s", (2, "x" * 10_000), (3, "y"))
        assert logs.store.dropped_lines == 2
        await logs.store.flush()
        logs.put(GROUP, "s", (4, "room again"))
        assert await texts(logs) == ["fits", "room again"]

    with_logs(scenario, buffer_chars=5000)


def test_lines_that_the_disk_refuses_are_counted_and_the_store_goes_on(with_logs: WithLogs, directory: Path) -> None:
    async def scenario(logs: Logs) -> None:
        await logs.store.flush()
        account = directory / "111111111111"
        account.write_text("a file where a directory is to be")
        logs.put(GROUP, "s", (1, "lost"), account="111111111111")
        logs.put(GROUP, "s", (2, "kept"))
        assert await texts(logs) == ["kept"]
        assert logs.store.dropped_lines == 1
        account.unlink()

    with_logs(scenario)


def test_the_oldest_segments_of_the_largest_group_go_when_the_store_is_full(
    with_logs: WithLogs, directory: Path
) -> None:
    clock = FixedClock()

    async def scenario(logs: Logs) -> None:
        logs.put("quiet", "s", (1, "still here"))
        for number in range(60):
            clock.now_ms += 1
            logs.put("flood", "s", (number, f"{number:04d}" + "x" * 1000))
            await logs.store.flush()
        kept = await texts(logs, "flood")
        assert kept[-1].startswith("0059")
        assert [int(text[:4]) for text in kept] == list(range(60 - len(kept), 60))
        assert 10 <= len(kept) <= 20
        assert await texts(logs, "quiet") == ["still here"]

    with_logs(scenario, clock=clock, retention_bytes=20_000, segment_bytes=4000)
    assert sum(path.stat().st_size for path in segments_of(directory)) <= 20_000


def test_segment_numbers_ascend_even_when_the_clock_stands_still(with_logs: WithLogs, directory: Path) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(5):
            logs.put(GROUP, "s", (number, f"{number}"))
            await logs.store.flush()
        assert await texts(logs) == ["0", "1", "2", "3", "4"]

    with_logs(scenario, segment_bytes=1)
    assert len(segments_of(directory)) == 5


def test_a_lost_index_is_built_again(with_logs: WithLogs, directory: Path) -> None:
    async def first(logs: Logs) -> None:
        for number in range(4):
            logs.put(GROUP, f"s{number}", (number, f"{number}"))
            await logs.store.flush()

    async def second(logs: Logs) -> None:
        assert await texts(logs) == ["0", "1", "2", "3"]
        assert set(await logs.store.streams(ACCOUNT, REGION, GROUP)) == {"s0", "s1", "s2", "s3"}

    with_logs(first, segment_bytes=1)
    indexes = sorted(directory.glob("*/*/*/*.idx"))
    assert len(indexes) == 3
    indexes[0].unlink()
    indexes[1].write_bytes(b"not an index")
    with_logs(second, segment_bytes=1)
    assert indexes[0].exists()


def test_a_search_by_time_or_stream_reads_only_the_blocks_that_may_match(with_logs: WithLogs, directory: Path) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(20):
            logs.put(GROUP, f"s{number}", (number, "x" * BLOCK_BYTES))
            await logs.store.flush()
        # What a search does not read can be spoilt without its noticing.
        (segment,) = segments_of(directory)
        data = segment.read_bytes().split(b"\n")
        spoilt = [b"#" * len(line) if position != 7 else line for position, line in enumerate(data)]
        segment.write_bytes(b"\n".join(spoilt))
        by_time = await logs.store.search(ACCOUNT, REGION, GROUP, first_ms=7, last_ms=7)
        by_stream = await logs.store.search(ACCOUNT, REGION, GROUP, streams=["s7"])
        assert [event.timestamp_ms for event in by_time.events] == [7]
        assert by_stream.events == by_time.events

    with_logs(scenario)


def test_a_line_too_long_for_an_event_goes_on_in_the_next(with_logs: WithLogs) -> None:
    long = "".join(chr(97 + number % 26) for number in range(2 * MAX_EVENT_CHARS + 5))

    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "short"), (2, long), (3, ""))
        found = await texts(logs)
        assert [len(text) for text in found] == [5, 262_118, 262_118, 5, 0]
        assert "".join(found[1:4]) == long

    with_logs(scenario)


def test_text_without_a_utf8_form_is_kept_as_well_as_can_be(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "a\udcffb"), (2, "tab\tand \x00 and \r"))
        assert await texts(logs) == ["a?b", "tab\tand \x00 and \r"]

    with_logs(scenario)


def test_the_files_are_for_the_servers_user_only(with_logs: WithLogs, directory: Path) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "secret"))

    previous = os.umask(0o022)
    try:
        with_logs(scenario)
    finally:
        os.umask(previous)
    (segment,) = segments_of(directory)
    assert segment.stat().st_mode & 0o077 == 0

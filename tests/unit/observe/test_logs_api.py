"""The CloudWatch Logs API over the store, called as a client calls it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from logs_under_test import ACCOUNT, REGION, FixedClock, Logs

from lambent.observe.errors import InvalidParameterException, ResourceNotFoundException

GROUP = "/aws/lambda/echo"
ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
WithLogs = Callable[..., None]


def messages(answer: Mapping[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def numbers(answer: Mapping[str, Any]) -> list[int]:
    return [event["timestamp"] for event in answer["events"]]


def put_numbers(logs: Logs, count: int, stream: str = "s", **times: int) -> None:
    for number in range(count):
        logs.put(GROUP, stream, (number, f"line {number}"), **times)


def test_a_group_appears_with_its_first_line(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        assert (await logs.ask("DescribeLogGroups"))["logGroups"] == []
        logs.put(GROUP, "s", (1, "hello"))
        (group,) = (await logs.ask("DescribeLogGroups"))["logGroups"]
        assert group.pop("storedBytes") > 0
        assert group == {
            "logGroupName": GROUP,
            "creationTime": 1_700_000_000_000,
            "metricFilterCount": 0,
            "arn": f"{ARN}:*",
            "logGroupClass": "STANDARD",
            "logGroupArn": ARN,
            "deletionProtectionEnabled": False,
        }

    with_logs(scenario)


def test_groups_are_found_by_prefix_pattern_and_identifier(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for name in ("/aws/lambda/alpha", "/aws/lambda/Beta", "/other/alpha"):
            logs.put(name, "s", (1, "x"))

        async def found(**params: Any) -> list[str]:
            return [group["logGroupName"] for group in (await logs.ask("DescribeLogGroups", **params))["logGroups"]]

        assert await found() == ["/aws/lambda/Beta", "/aws/lambda/alpha", "/other/alpha"]
        assert await found(logGroupNamePrefix="/aws/") == ["/aws/lambda/Beta", "/aws/lambda/alpha"]
        assert await found(logGroupNamePattern="alpha") == ["/aws/lambda/alpha", "/other/alpha"]
        assert await found(logGroupNamePattern="beta") == []
        (by_pattern,) = (await logs.ask("DescribeLogGroups", logGroupNamePattern="Beta"))["logGroups"]
        assert by_pattern.keys() == {"logGroupName", "creationTime", "arn"}
        assert await found(logGroupIdentifiers=["/other/alpha"]) == ["/other/alpha"]
        assert await found(logGroupClass="INFREQUENT_ACCESS") == []
        with pytest.raises(InvalidParameterException, match="mutually exclusive"):
            await found(logGroupNamePrefix="a", logGroupNamePattern="b")

    with_logs(scenario)


def test_pages_of_groups_follow_each_other(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(5):
            logs.put(f"g{number}", "s", (1, "x"))
        seen: list[str] = []
        params: dict[str, Any] = {"limit": 2}
        for _ in range(3):
            answer = await logs.ask("DescribeLogGroups", **params)
            seen += [group["logGroupName"] for group in answer["logGroups"]]
            params["nextToken"] = answer["nextToken"]
        assert seen == [f"g{number}" for number in range(5)]
        assert params["nextToken"] is None
        with pytest.raises(InvalidParameterException, match="nextToken"):
            await logs.ask("DescribeLogGroups", nextToken="no token of ours")

    with_logs(scenario)


def test_a_stream_tells_its_times(with_logs: WithLogs) -> None:
    clock = FixedClock()

    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "2026/01/01/[$LATEST]ab", (5, "a"), (3, "b"))
        await logs.store.flush()
        clock.now_ms += 1000
        logs.put(GROUP, "2026/01/01/[$LATEST]ab", (9, "c"))
        (stream,) = (await logs.ask("DescribeLogStreams", logGroupName=GROUP))["logStreams"]
        assert stream == {
            "logStreamName": "2026/01/01/[$LATEST]ab",
            "creationTime": 1_700_000_000_000,
            "firstEventTimestamp": 3,
            "lastEventTimestamp": 9,
            "lastIngestionTime": 1_700_000_001_000,
            "uploadSequenceToken": "0" * 56,
            "arn": f"{ARN}:log-stream:2026/01/01/[$LATEST]ab",
            "storedBytes": 0,
        }

    with_logs(scenario, clock=clock)


def test_streams_come_in_the_order_asked_for(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for stream, stamp in (("a", 30), ("b", 10), ("c", 20)):
            logs.put(GROUP, stream, (stamp, "x"))

        async def found(**params: Any) -> str:
            names = ""
            while True:
                answer = await logs.ask("DescribeLogStreams", logGroupName=GROUP, limit=2, **params)
                names += "".join(stream["logStreamName"] for stream in answer["logStreams"])
                if answer["nextToken"] is None:
                    return names
                params["nextToken"] = answer["nextToken"]

        assert await found() == "abc"
        assert await found(descending=True) == "cba"
        assert await found(orderBy="LastEventTime") == "bca"
        assert await found(orderBy="LastEventTime", descending=True) == "acb"
        assert await found(logStreamNamePrefix="b") == "b"
        with pytest.raises(InvalidParameterException, match="Cannot order by LastEventTime"):
            await found(orderBy="LastEventTime", logStreamNamePrefix="b")

    with_logs(scenario)


@pytest.mark.parametrize("operation", ["DescribeLogStreams", "FilterLogEvents", "GetLogEvents"])
def test_a_group_that_is_not_there_is_not_found(with_logs: WithLogs, operation: str) -> None:
    async def scenario(logs: Logs) -> None:
        with pytest.raises(ResourceNotFoundException) as raised:
            await logs.ask(operation, logGroupName="nobody", logStreamName="s")
        assert raised.value.message == "The specified log group does not exist."
        assert raised.value.members == {}

    with_logs(scenario)


@pytest.mark.parametrize("identifier", [GROUP, ARN, f"{ARN}:*"])
def test_a_group_is_found_by_name_and_by_both_forms_of_its_arn(with_logs: WithLogs, identifier: str) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "x"))
        answer = await logs.ask("GetLogEvents", logGroupIdentifier=identifier, logStreamName="s")
        assert messages(answer) == ["x\n"]

    with_logs(scenario)


def test_the_arn_of_another_account_is_refused(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "s", (1, "x"), account="999999999999")
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupIdentifier=ARN.replace(ACCOUNT, "999999999999"))
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupIdentifier=ARN, logGroupName=GROUP)
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents")

    with_logs(scenario)


def test_get_log_events_gives_the_latest_first_and_the_head_on_request(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        put_numbers(logs, 10)
        latest = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="s", limit=3)
        assert numbers(latest) == [7, 8, 9]
        head = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="s", limit=3, startFromHead=True)
        assert numbers(head) == [0, 1, 2]
        assert head["events"][0] == {"timestamp": 0, "message": "line 0\n", "ingestionTime": 1_700_000_000_000}

    with_logs(scenario)


def test_tokens_walk_a_stream_both_ways_and_repeat_at_its_ends(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        put_numbers(logs, 8)
        put_numbers(logs, 8, stream="another")

        async def walk(token: str, key: str) -> tuple[list[list[int]], str]:
            pages = []
            while True:
                answer = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="s", limit=3, nextToken=token)
                if answer[key] == token:
                    assert answer["events"] == []
                    return pages, token
                if answer["events"]:
                    pages.append(numbers(answer))
                token = answer[key]

        latest = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="s", limit=3)
        assert re.fullmatch(r"f/\d{56}/s", latest["nextForwardToken"])
        assert re.fullmatch(r"b/\d{56}/s", latest["nextBackwardToken"])
        backward, start = await walk(latest["nextBackwardToken"], "nextBackwardToken")
        assert backward == [[2, 3, 4], [0, 1]]
        forward, _ = await walk(start.replace("b/", "f/"), "nextForwardToken")
        assert forward == [[0, 1, 2], [3, 4, 5], [6, 7]]
        _, end = await walk(latest["nextForwardToken"], "nextForwardToken")
        logs.put(GROUP, "s", (8, "new"))
        more, _ = await walk(end, "nextForwardToken")
        assert more == [[8]]
        for bad in ("f/12/s", "nonsense", "f/" + "x" * 56 + "/s"):
            with pytest.raises(InvalidParameterException):
                await walk(bad, "nextForwardToken")

    with_logs(scenario)


def test_get_log_events_excludes_the_end_of_its_range_and_filter_log_events_does_not(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        put_numbers(logs, 10)
        got = await logs.ask("GetLogEvents", logGroupName=GROUP, logStreamName="s", startTime=3, endTime=5)
        assert numbers(got) == [3, 4]
        filtered = await logs.ask("FilterLogEvents", logGroupName=GROUP, startTime=3, endTime=5)
        assert numbers(filtered) == [3, 4, 5]

    with_logs(scenario)


def test_a_page_holds_at_most_a_mebibyte(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(30):
            logs.put(GROUP, "s", (number, "x" * 100_000))
            await logs.store.flush()
        seen: list[int] = []
        params: dict[str, Any] = {}
        for expected in (10, 10, 10):
            answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, **params)
            assert len(answer["events"]) == expected
            seen += numbers(answer)
            params["nextToken"] = answer["nextToken"]
        assert seen == list(range(30))
        assert params["nextToken"] is None

    with_logs(scenario)


def test_an_unknown_stream_is_not_found(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        put_numbers(logs, 1)
        for params in ({"logStreamName": "t"}, {"logStreamNames": ["s", "t"]}):
            operation = "GetLogEvents" if "logStreamName" in params else "FilterLogEvents"
            with pytest.raises(ResourceNotFoundException) as raised:
                await logs.ask(operation, logGroupName=GROUP, **params)
            assert raised.value.message == "The specified log stream does not exist."
        answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, logStreamNamePrefix="t")
        assert answer["events"] == []

    with_logs(scenario)


def test_filtered_events_of_several_streams_are_interleaved_by_time(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        logs.put(GROUP, "a", (1, "a1"), (4, "a4"))
        logs.put(GROUP, "b", (2, "b2"), (3, "b3"))
        answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, interleaved=True)
        assert messages(answer) == ["a1\n", "b2\n", "b3\n", "a4\n"]
        assert answer["searchedLogStreams"] == []
        only = await logs.ask("FilterLogEvents", logGroupName=GROUP, logStreamNames=["b"])
        assert messages(only) == ["b2\n", "b3\n"]
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupName=GROUP, logStreamNames=["b"], logStreamNamePrefix="b")

    with_logs(scenario)


def test_event_ids_are_unique_and_stay_the_same_over_restarts(with_logs: WithLogs) -> None:
    ids: list[str] = []

    async def write(logs: Logs) -> None:
        for number in range(6):
            logs.put(GROUP, "s", (7, "same"), (7, "same"))
            if number % 2:
                await logs.store.flush()
        ids.extend(event["eventId"] for event in (await logs.ask("FilterLogEvents", logGroupName=GROUP))["events"])

    async def read(logs: Logs) -> None:
        answer = await logs.ask("FilterLogEvents", logGroupName=GROUP)
        assert [event["eventId"] for event in answer["events"]] == ids

    with_logs(write, segment_bytes=60)
    assert len(set(ids)) == 12
    assert all(re.fullmatch(r"\d{56}", event_id) for event_id in ids)
    with_logs(read, segment_bytes=60)


def test_following_a_group_as_the_command_line_does_shows_each_event_once(with_logs: WithLogs) -> None:
    """`aws logs tail --follow`: again and again from the last timestamp on, leaving out the ids it has seen."""

    async def scenario(logs: Logs) -> None:
        seen: dict[str, str] = {}
        start = 0
        for round_number in range(5):
            logs.put(GROUP, f"s{round_number % 2}", (round_number, f"a{round_number}"), (round_number, "b"))
            answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, startTime=start, interleaved=True)
            assert answer["nextToken"] is None
            fresh = [event for event in answer["events"] if event["eventId"] not in seen]
            assert [event["message"] for event in fresh] == [f"a{round_number}\n", "b\n"]
            seen.update((event["eventId"], event["message"]) for event in fresh)
            start = max(event["timestamp"] for event in answer["events"])

    with_logs(scenario)


def test_pages_of_a_filter_hold_only_what_matches(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        put_numbers(logs, 30)
        params: dict[str, Any] = {"filterPattern": '"line 1"', "limit": 4}
        seen: list[int] = []
        while True:
            answer = await logs.ask("FilterLogEvents", logGroupName=GROUP, **params)
            assert len(answer["events"]) <= 4
            seen += numbers(answer)
            if answer["nextToken"] is None:
                break
            params["nextToken"] = answer["nextToken"]
        assert seen == [1, *range(10, 20)]
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupName=GROUP, filterPattern="{ nonsense }")
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupName=GROUP, nextToken="bm9uc2Vuc2U=")

    with_logs(scenario)


def test_a_filter_can_give_the_newest_first(with_logs: WithLogs) -> None:
    base = 1_750_000_000_000

    async def scenario(logs: Logs) -> None:
        for number in range(5):
            logs.put(GROUP, "s", (base + number, str(number)))
        params: dict[str, Any] = {"startTime": base, "startFromHead": False, "limit": 3}
        first = await logs.ask("FilterLogEvents", logGroupName=GROUP, **params)
        second = await logs.ask(
            "FilterLogEvents", logGroupName=GROUP, startTime=base, limit=3, nextToken=first["nextToken"]
        )
        assert messages(first) == ["4\n", "3\n", "2\n"]
        assert messages(second) == ["1\n", "0\n"]
        assert second["nextToken"] is None
        with pytest.raises(InvalidParameterException):
            await logs.ask("FilterLogEvents", logGroupName=GROUP, startFromHead=False)

    with_logs(scenario)


def test_a_long_search_answers_with_what_it_has_and_a_token(with_logs: WithLogs) -> None:
    async def scenario(logs: Logs) -> None:
        for number in range(100):
            logs.put(GROUP, "s", (number, "x" * 100_000))
        logs.put(GROUP, "s", (100, "needle"))
        first = await logs.ask("FilterLogEvents", logGroupName=GROUP, filterPattern="needle")
        assert first["events"] == []
        second = await logs.ask(
            "FilterLogEvents", logGroupName=GROUP, filterPattern="needle", nextToken=first["nextToken"]
        )
        assert messages(second) == ["needle\n"]
        assert second["nextToken"] is None

    with_logs(scenario)

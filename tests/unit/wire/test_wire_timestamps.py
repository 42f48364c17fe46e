"""Timestamps in their three forms."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambent.wire.timestamps import from_text, to_epoch, to_http_date, to_iso, to_text

PATIENT = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""For machines that have more to do than this."""

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
MILLIS = st.integers(-62_135_596_800_000, 253_402_300_799_000)


def at(millis: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)


def test_each_form_is_written() -> None:
    assert to_iso(MOMENT) == "2026-01-02T03:04:05.678Z"
    assert to_http_date(MOMENT) == "Fri, 02 Jan 2026 03:04:05.678 GMT"
    assert to_epoch(MOMENT) == 1767323045.678
    assert to_text(MOMENT, "unixTimestamp") == "1767323045.678"
    assert to_text(1767323045.0, "unixTimestamp") == "1767323045"


def test_fractions_are_written_only_where_there_are_any() -> None:
    assert to_iso(1767323045) == "2026-01-02T03:04:05Z"
    assert to_http_date(1767323045) == "Fri, 02 Jan 2026 03:04:05 GMT"


def test_offsets_are_turned_to_utc() -> None:
    assert from_text("2019-12-16T22:48:18-01:00") == datetime(2019, 12, 16, 23, 48, 18, tzinfo=UTC)
    moment = datetime(2019, 12, 17, 0, 48, 18, tzinfo=timezone(timedelta(hours=1)))
    assert to_iso(moment) == "2019-12-16T23:48:18Z"


@PATIENT
@given(MILLIS, st.sampled_from(["iso8601", "rfc822", "unixTimestamp"]))
def test_what_is_written_is_read_again(millis: int, form: str) -> None:
    moment = at(millis)
    text = to_text(moment, form)
    if form == "unixTimestamp":
        # Seconds as a float do not tell milliseconds apart at the ends of the calendar.
        assert abs(from_text(text) - moment) < timedelta(milliseconds=1)
    else:
        assert from_text(text) == moment


@PATIENT
@given(st.text(max_size=40))
def test_other_text_is_refused(text: str) -> None:
    try:
        moment = from_text(text)
    except ValueError:
        return
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-13-01T00:00:00Z",
        "2026-01-01",
        "Fri, 02 Foo 2026 03:04:05 GMT",
        "1e99",
        "NaN",
        "0001-01-01T00:00:00+23:00",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)

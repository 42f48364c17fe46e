"""Timestamps in their three forms on the wire: epoch seconds, ISO 8601 and HTTP dates.

Inside, a timestamp is an aware datetime in UTC, or a number of seconds since the epoch where a handler has only that.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(
    r"(?:[A-Z][a-z]{2}), (\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))? (?:GMT|UTC)",
    re.ASCII,
)
_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:?\d{2})?", re.ASCII
)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?", re.ASCII)

Timestamp = datetime | int | float


def from_epoch(seconds: float) -> datetime:
    """Raises ValueError for a moment outside of the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("timestamp out of range") from error


def from_text(text: str) -> datetime:
    """A timestamp in any of the three forms. Raises ValueError."""
    found = _ISO.fullmatch(text)
    if found is not None:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        offset = UTC if zone is None or zone in "Zz" else _offset(zone)
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), _micros(fraction), tzinfo=offset
        )
        try:
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("timestamp out of range") from error
    found = _HTTP_DATE.fullmatch(text)
    if found is not None:
        day, name, year, hour, minute, second, fraction = found.groups()
        if name not in _MONTHS:
            raise ValueError(f"not a month: {name}")
        month_number = _MONTHS.index(name) + 1
        return datetime(
            int(year), month_number, int(day), int(hour), int(minute), int(second), _micros(fraction), tzinfo=UTC
        )
    if _NUMBER.fullmatch(text):
        return from_epoch(float(text))
    raise ValueError(f"not a timestamp: {text!r}")


def _micros(fraction: str | None) -> int:
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _offset(zone: str) -> timezone:
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])))


def to_epoch(moment: Timestamp) -> int | float:
    """Seconds since the epoch: a whole number where it is one, else with milliseconds, the finest that AWS sends."""
    if isinstance(moment, datetime):
        # Whole numbers all the way: a float of today's seconds does not keep every microsecond apart.
        micros = (moment - _EPOCH) // timedelta(microseconds=1)
        return micros // 1_000_000 if micros % 1_000_000 == 0 else round(micros / 1_000_000, 3)
    whole = int(moment)
    return whole if whole == moment else round(moment, 3)


def _moment(moment: Timestamp) -> datetime:
    return moment.astimezone(UTC) if isinstance(moment, datetime) else from_epoch(moment)


def to_iso(moment: Timestamp) -> str:
    utc = _moment(moment)
    millis = utc.microsecond // 1000
    text = utc.strftime("%Y-%m-%dT%H:%M:%S") if utc.year >= 1000 else utc.isoformat()[:19]
    return f"{text}.{millis:03d}Z" if millis else f"{text}Z"


def to_http_date(moment: Timestamp) -> str:
    """The form of RFC 9110 5.6.7, whatever the process's locale, with milliseconds where there are any (Smithy)."""
    utc = _moment(moment)
    millis = utc.microsecond // 1000
    fraction = f".{millis:03d}" if millis else ""
    day, month = _DAYS[utc.weekday()], _MONTHS[utc.month - 1]
    return f"{day}, {utc.day:02d} {month} {utc.year:04d} {utc:%H:%M:%S}{fraction} GMT"


def to_text(moment: Timestamp, form: str) -> str:
    """In the form that a model names: `iso8601`, `rfc822` or `unixTimestamp`."""
    if form == "iso8601":
        return to_iso(moment)
    if form == "rfc822":
        return to_http_date(moment)
    seconds = to_epoch(moment)
    return str(seconds) if isinstance(seconds, int) else f"{seconds:.3f}".rstrip("0")

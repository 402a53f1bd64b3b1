"""The dates that Qdrant recognises in a payload, read here by the same rules."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_DATE = re.compile(
    r"\s*(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{1,2})"
    r"(?::(\d{1,2})(?:\.(\d{1,9}))?(?:\s*(?:Z|z|UTC|([+-])(\d{2}):?(\d{2})?))?)?)?",
    re.ASCII,
)


def as_utc(instant: datetime) -> datetime:
    """The same instant in UTC; a datetime without an offset is taken to be in UTC.

    >>> as_utc(datetime(2026, 1, 2)).isoformat()
    '2026-01-02T00:00:00+00:00'
    """
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:  # an offset that leads out of the years 1 to 9999
        return instant.replace(tzinfo=UTC)


def parse_date(text: str) -> datetime | None:
    """Read a date as Qdrant does, to the microsecond and in UTC; None where it wouldn't read one.

    >>> parse_date("2026-01-02T10:00:00+02:00").isoformat()
    '2026-01-02T08:00:00+00:00'
    >>> parse_date("20260102") is None
    True
    """
    match = _DATE.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction, sign, hours, minutes = match[7], match[8], match[9], match[10]
    try:
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
        microsecond = int((fraction or "0").ljust(6, "0")[:6])
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

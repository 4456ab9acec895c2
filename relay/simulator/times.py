"""Dates and times as Planday writes and reads them."""

import re
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

LocalForm = Literal["local", "local_seconds", "utc", "offset", "utc_bare"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,7})?)?(Z|[+-]\d{2}:\d{2})?")


def parse_date(text: str) -> date:
    """Read `yyyy-mm-dd` and nothing else."""
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text!r} is not a date")
    return date.fromisoformat(text)


def parse_date_time(text: str) -> datetime:
    """Read a date-time, with or without zone, with 0 to 7 decimals."""
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a date-time")
    return datetime.fromisoformat(text)


def parse_instant(text: str) -> datetime:
    """Read a date-time or a bare date as an instant; without a zone it is UTC."""
    moment = datetime.fromisoformat(text) if _DATE.fullmatch(text) else parse_date_time(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """`2026-10-21T07:45:12Z`, the form of a shift's own timestamps."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fine_stamp(moment: datetime) -> str:
    """`2026-10-20T08:14:09.1234567Z`: seven decimals, as an employee's timestamps come."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "7Z"


def exact_stamp(moment: datetime) -> str:
    """An RFC 3339 instant with microseconds: our own form, for logs and events."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wall_clock(moment: datetime, zone: str) -> str:
    """The minute on the wall in `zone`, without offset."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def show_local(text: str, *, zone: str, form: LocalForm) -> str:
    """Write a stored wall-clock time in one of the forms Planday might use."""
    if form == "local":
        return text
    moment = datetime.fromisoformat(text)
    if form == "local_seconds":
        return moment.strftime("%Y-%m-%dT%H:%M:%S")
    moment = moment.replace(tzinfo=ZoneInfo(zone))
    if form == "offset":
        return moment.isoformat(timespec="seconds")
    utc = stamp(moment)
    return utc if form == "utc" else utc.removesuffix("Z")

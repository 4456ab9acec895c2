"""Dates and times as Planday writes and reads them."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

LocalForm = Literal["local", "local_seconds", "utc", "offset", "utc_bare"]
ZoneForm = Literal["iana", "windows", "offset", "empty"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,7})?)?(Z|[+-]\d{2}:\d{2})?")
_WINDOWS = {"Europe/Copenhagen": "Romance Standard Time", "Europe/London": "GMT Standard Time"}


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


@lru_cache(maxsize=1 << 16)
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


def settle(text: str, zone: str) -> tuple[str, bool]:
    """A time as it is stored: the minute on the wall, and whether it is the second of a repeated hour.

    A text with an offset names one instant, also on the night the clocks go back; without one it is taken as it
    stands, also when no clock ever showed it.
    """
    moment = parse_date_time(text)
    if moment.tzinfo is None:
        return text, False
    moment = moment.astimezone(ZoneInfo(zone))
    return moment.strftime("%Y-%m-%dT%H:%M"), bool(moment.fold)


def show_local(text: str, *, zone: str, form: LocalForm, second: bool = False) -> str:
    """Write a stored wall-clock time in one of the forms Planday might use."""
    if form == "local":
        return text
    moment = datetime.fromisoformat(text)
    if form == "local_seconds":
        return moment.strftime("%Y-%m-%dT%H:%M:%S")
    moment = moment.replace(tzinfo=ZoneInfo(zone), fold=int(second))
    if form == "offset":
        return moment.isoformat(timespec="seconds")
    utc = stamp(moment)
    return utc if form == "utc" else utc.removesuffix("Z")


def show_zone(zone: str, form: ZoneForm) -> str:
    """Write a portal's zone in one of the forms it might have; a shift's own is always IANA."""
    if form == "windows":
        return _WINDOWS.get(zone, "UTC")
    if form == "offset":
        hours = (datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()) // timedelta(hours=1)
        return f"UTC{hours:+03}:00"
    return "" if form == "empty" else zone


@lru_cache(maxsize=1 << 16)
def hours_between(start: str, end: str, zone: str) -> float:
    """Hours that really pass between two stored times, clock changes included."""
    whole = [datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in (start, end)]
    shifted = (whole[0].utcoffset() or timedelta()) - (whole[1].utcoffset() or timedelta())
    return (whole[1].replace(tzinfo=None) - whole[0].replace(tzinfo=None) + shifted) / timedelta(hours=1)

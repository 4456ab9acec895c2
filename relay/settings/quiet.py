"""Quiet hours: spans of the week, on the wall clock of a zone, in which people are not disturbed.

A span is written "22:00-06:00", or with the days on which it begins: "Sat-Sun 00:00-24:00", "Fri 18:00-24:00".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_SPAN = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:[-,](?:{_DAY}))*) +)?(?P<h1>\d\d):(?P<m1>\d\d) ?[-–] ?(?P<h2>\d\d):(?P<m2>\d\d)",
    re.IGNORECASE,
)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end` (minutes of the day), past midnight if `end` is not later; `days` are those it begins."""

    days: frozenset[int]
    start: int
    end: int

    @property
    def length(self) -> int:
        """In minutes of the wall clock."""
        return (self.end - self.start) % _DAY_MINUTES or _DAY_MINUTES


def read(text: str) -> Span:
    """Raises ValueError, with what would be right."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError('is no span of quiet hours, such as "22:00-06:00" or "Sat-Sun 00:00-24:00"')
    hours = (int(found["h1"]), int(found["m1"])), (int(found["h2"]), int(found["m2"]))
    start, end = (hour * 60 + minute for hour, minute in hours)
    if any(minute > 59 for _, minute in hours) or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError("goes beyond the day: hours are 00:00 to 24:00")
    if start == end:
        raise ValueError('begins when it ends; a whole day is "00:00-24:00"')
    return Span(_days(found["days"] or "mon-sun"), start, end)


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, *rest = (_DAYS.index(name) for name in part.split("-"))
        last = rest[-1] if rest else first
        days |= {(first + number) % 7 for number in range((last - first) % 7 + 1)}
    return frozenset(days)


def whole_week(spans: Iterable[Span]) -> bool:
    """Whether they leave no minute of the week."""
    quiet: set[int] = set()
    for span in spans:
        for day in span.days:
            begin = day * _DAY_MINUTES + span.start
            quiet |= {minute % (7 * _DAY_MINUTES) for minute in range(begin, begin + span.length)}
    return len(quiet) == 7 * _DAY_MINUTES


def until(spans: Iterable[Span], zone: ZoneInfo, now: float) -> float:
    """The end of the quiet hours that `now` (Unix seconds) lies in, or `now`. Not all of the week may be quiet."""
    spans, at = tuple(spans), now
    while ends := [end for span in spans if (end := _end(span, zone, at)) is not None]:
        at = max(ends)
    return at


def _end(span: Span, zone: ZoneInfo, at: float) -> float | None:
    """When a span that `at` lies in ends."""
    today = datetime.fromtimestamp(at, zone).date()
    for day in (today, today - timedelta(days=1)):
        if day.weekday() in span.days:
            start, end = (_instant(day, span.start + passed, zone) for passed in (0, span.length))
            if start <= at < end:
                return end
    return None


def _instant(day: date, minute: int, zone: ZoneInfo) -> float:
    """By the wall clock, so that a night on which the clock changes is an hour shorter or longer."""
    local = datetime.combine(day + timedelta(days=minute // _DAY_MINUTES), time.min)
    return (local + timedelta(minutes=minute % _DAY_MINUTES)).replace(tzinfo=zone).timestamp()

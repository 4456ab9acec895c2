"""Reads every date form that Planday sends; local times keep their zone and are never guessed.

The forms and rules are those of planday-api.md 9: what carries `Z` or an offset is an instant, everything else is
wall-clock time in a zone that has to be known, and a local hour that comes twice or not at all stays unresolved.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

# The autumn change makes a full day 25 hours long.
LONGEST_SHIFT = timedelta(hours=25)

_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
# Names that mean "this machine's zone" or nothing at all.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


def local_time(text: Any, zone: str | None) -> dict[str, Any] | None:
    """One time of a record as ours: `local`, `zone`, `instant` and a `flag` that says what is wrong, if anything."""
    if text is None:
        return None
    moment = _read(text)
    if moment is None:
        return _time(str(text), zone=zone, flag="unreadable")
    rules = _rules(zone)
    if moment.tzinfo is not None:
        return _placed(moment, zone=zone, rules=rules)
    if rules is None:
        return _time(_iso(moment), zone=zone, flag="unknown_zone")
    first, second = (moment.replace(tzinfo=rules, fold=fold) for fold in (0, 1))
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None
    assert after is not None
    if before != after:
        return _time(_iso(moment), zone=zone, flag="ambiguous" if before > after else "missing")
    try:
        return _time(_iso(moment), zone=zone, instant=_stamp(first))
    except OverflowError:
        return _time(_iso(moment), zone=zone, flag="unreadable")


def instant(text: Any) -> datetime | None:
    """A modification time: an instant; without a zone, and as a bare date, it is UTC. None if it cannot be read."""
    moment = _read(text)
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


def local_date(at: float, zone: str | None) -> date:
    """The calendar day of an instant, where it is known to be in which zone; else the day in UTC."""
    return datetime.fromtimestamp(at, _rules(zone) or UTC).date()


def plausible_span(start: dict[str, Any] | None, end: dict[str, Any] | None) -> bool:
    """Whether an end lies after its start and at most a day later; unresolved times are not judged."""
    moments = [_read(side["instant"]) if side else None for side in (start, end)]
    if moments[0] is None or moments[1] is None:
        return True
    return timedelta() < moments[1] - moments[0] <= LONGEST_SHIFT


def known_zone(zone: Any) -> bool:
    """Whether this names a time zone."""
    return _rules(zone) is not None


def _read(text: Any) -> datetime | None:
    """A datetime with a zone if the text has one, else naive; None if it is none of the forms."""
    if not isinstance(text, str) or (match := _FORM.fullmatch(text)) is None:
        return None
    day, minute, second, decimals, offset = match.groups()
    # Planday sends up to seven decimals; the platform holds six.
    micros = (decimals or "").ljust(6, "0")[:6]
    suffix = "+00:00" if offset in ("Z", "z") else offset or ""
    try:
        return datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}.{micros}{suffix}")
    except ValueError:
        return None


def _placed(moment: datetime, *, zone: str | None, rules: ZoneInfo | None) -> dict[str, Any]:
    try:
        at = _stamp(moment)
        there = moment.astimezone(rules) if rules is not None else moment
    except OverflowError:
        return _time(_iso(moment.replace(tzinfo=None)), zone=zone, flag="unreadable")
    flag = None if rules is not None else "unknown_zone"
    return _time(_iso(there.replace(tzinfo=None)), zone=zone, instant=at, flag=flag)


def _time(local: str, *, zone: str | None, instant: str | None = None, flag: str | None = None) -> dict[str, Any]:
    return {"local": local, "zone": zone, "instant": instant, "flag": flag}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")


def _stamp(moment: datetime) -> str:
    return _iso(moment.astimezone(UTC)).replace("+00:00", "Z")


@lru_cache(maxsize=512)
def _rules(zone: str | None) -> ZoneInfo | None:
    if not isinstance(zone, str) or zone in _NO_ZONES or not _ZONE.fullmatch(zone):
        return None
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        return None

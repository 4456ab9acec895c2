"""Dates, times and spans of payroll lines: in the portal's zone, by real hours, and never guessed.

A time is what enrichment makes of Planday's (`{"local", "zone", "instant", "flag"}`), or a text. A night of a clock
change has 23 or 25 hours; an hour that comes twice or not at all is refused where it matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from relay.targets.payroll.values import Refusal, number

_CLOCK = re.compile(r"(-?)([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9])(?:\.0+)?)?")
_ISO_SPAN = re.compile(r"(-?)P(?:([0-9]{1,4})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,7})S)?)?")
_FLAGS = {
    "ambiguous": "is in the hour that comes twice when the clock is set back: which one is not known",
    "missing": "is in the hour that is left out when the clock is set forward",
    "unknown_zone": "is in a time zone that is not known",
}
_NO_ZONE = "has to be shown in the portal's time zone, and that is not known"


@dataclass(frozen=True, slots=True)
class Moment:
    """A wall-clock time and, where it is certain, its instant; `doubt` says why it is not."""

    local: datetime
    instant: datetime | None
    doubt: str = ""

    def certain(self) -> datetime:
        """The instant (aware, UTC). Raises Refusal."""
        if self.instant is None:
            raise Refusal(self.doubt or _NO_ZONE)
        return self.instant


def moment(value: Any, *, zone: str | None) -> Moment:
    """A time of an envelope on the wall clock of `zone`. Raises Refusal."""
    if isinstance(value, Mapping):
        return _made(value)
    read = _read(value)
    rules = _rules(zone)
    if read.tzinfo is not None:
        if rules is None:
            raise Refusal(_NO_ZONE)
        return Moment(read.astimezone(rules).replace(tzinfo=None), read.astimezone(UTC))
    if rules is None:
        return Moment(read, None, _NO_ZONE)
    first, second = (read.replace(tzinfo=rules, fold=fold) for fold in (0, 1))
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None
    assert after is not None
    if before != after:
        return Moment(read, None, _FLAGS["ambiguous" if before > after else "missing"])
    return Moment(read, first.astimezone(UTC))


def written(found: Moment, form: str, *, zone: str, here: str | None) -> str:
    """A moment by a format, on the portal's clock or in UTC. Raises Refusal where its place in time matters."""
    if zone == "utc":
        return found.certain().strftime(form)
    if "%z" not in form:
        return found.local.strftime(form)
    rules = _rules(here)
    if rules is None:
        raise Refusal(_NO_ZONE)
    return found.certain().astimezone(rules).strftime(form)


def between(start: Moment, end: Moment) -> Decimal:
    """Real seconds from start to end, clock changes counted. Raises Refusal."""
    gone = end.certain() - start.certain()
    if gone.total_seconds() < 0:
        raise Refusal("ends before it starts")
    return Decimal(gone.days * 86400 + gone.seconds) + Decimal(gone.microseconds) / 1_000_000


def span(value: Any) -> Decimal:
    """Seconds of a length: "07:30:00", "PT7H30M", or a number of hours. Raises Refusal."""
    if isinstance(value, str):
        text = value.strip()
        if match := _CLOCK.fullmatch(text):
            sign, hours, minutes, seconds = match.groups()
            return _signed(sign, 0, hours, minutes, seconds)
        if text.lstrip("-") not in ("P", "PT") and (match := _ISO_SPAN.fullmatch(text)):
            sign, days, hours, minutes, seconds = match.groups()
            return _signed(sign, days, hours, minutes, seconds)
    try:
        return number(value) * 3600
    except Refusal:
        raise Refusal('is no length of time, such as "07:30:00" or 7.5') from None


def _signed(sign: str, *parts: Any) -> Decimal:
    days, hours, minutes, seconds = (int(part or 0) for part in parts)
    total = Decimal(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    return -total if sign else total


def _made(value: Mapping[str, Any]) -> Moment:
    flag = value.get("flag")
    if flag == "unreadable":
        raise Refusal("is a time that could not be read")
    instant = value.get("instant")
    known = _read(instant) if isinstance(instant, str) else None
    doubt = _FLAGS.get(str(flag), "is a time that could not be read") if flag else ""
    return Moment(_read(value.get("local")).replace(tzinfo=None), known, doubt)


def _read(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise Refusal("is not a date or time")


@lru_cache(maxsize=64)
def _rules(zone: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(zone) if zone else None
    except (ValueError, OSError, KeyError):
        return None

"""Wall-clock times as a shift manager reads them: weekday, date, hours, and a word where the clock changes.

A time is what enrichment makes of Planday's: `{"local", "zone", "instant", "flag"}`. The local wall clock is shown;
a flag (an hour that comes twice, or not at all, on the night of a clock change) is never resolved by guessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

UNCLEAR = "(clock change: check in Planday)"
_FLAGS = {"ambiguous": UNCLEAR, "missing": UNCLEAR, "unknown_zone": "(time zone not known)"}
_ODD = "(check in Planday)"

# Not strftime: its names follow the machine's locale.
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def span(start: Any, end: Any) -> str:
    """From start to end: "Sat 24 Oct 2026, 20:00–03:30 (next day)"; what is not known is left out."""
    first, last = _local(start), _local(end)
    if first is None:
        text = f"until {_moment(last)}" if last else ""
    elif last is None:
        text = f"{day(first)}, from {_clock(first)}"
    elif last.date() == first.date():
        text = f"{day(first)}, {_clock(first)}–{_clock(last)}"
    elif last.date() == first.date() + timedelta(days=1):
        text = f"{day(first)}, {_clock(first)}–{_clock(last)} (next day)"
    else:
        text = f"{_moment(first)} – {_moment(last)}"
    flag = _flag(start) or _flag(end)
    return f"{text or 'time not readable'} {flag}" if flag else text


def hours(start: Any, end: Any) -> str:
    """The start and end of day alone: "09:00–17:00"."""
    first, last = _local(start), _local(end)
    if first is None or last is None:
        return ""
    return f"{_clock(first)}–{_clock(last)} {_flag(start) or _flag(end)}".rstrip()


def on_one_day(one: Any, other: Any) -> bool:
    """Whether both are known and of the same local day."""
    first, second = _local(one), _local(other)
    return first is not None and second is not None and first.date() == second.date()


def moment(value: Any) -> str:
    """One point in time: "Sat 24 Oct 2026, 20:00"."""
    at = _local(value)
    if at is None:
        return ""
    return f"{_moment(at)} {_flag(value)}".rstrip()


def length(start: Any, end: Any) -> str:
    """How long it was by the instants, clock change counted: "8 h 5 min"; nothing if one is not known."""
    first, last = _instant(start), _instant(end)
    if first is None or last is None:
        return ""
    minutes = round((last - first).total_seconds() / 60)
    if not 0 < minutes < 60 * 24 * 7:
        return ""
    parts = (f"{minutes // 60} h" if minutes >= 60 else "", f"{minutes % 60} min" if minutes % 60 else "")
    return " ".join(part for part in parts if part)


def period(value: Any) -> str:
    """Whole days: "Mon 21 Dec 2026 – Wed 23 Dec 2026"."""
    if not isinstance(value, Mapping):
        return ""
    days = [day(found) for key in ("start", "end") if (found := _date(value.get(key))) is not None]
    return days[0] if len(set(days)) == 1 else " – ".join(days)


def day(value: date) -> str:
    return f"{_WEEKDAYS[value.weekday()]} {value.day} {_MONTHS[value.month - 1]} {value.year}"


def _clock(value: datetime) -> str:
    return f"{value.hour:02}:{value.minute:02}"


def _moment(value: datetime) -> str:
    return f"{day(value)}, {_clock(value)}"


def _local(value: Any) -> datetime | None:
    text = value.get("local") if isinstance(value, Mapping) else value
    # An offset would make comparisons with other times fail; the wall clock is what is shown.
    found = _parsed(text)
    return found.replace(tzinfo=None) if found is not None else None


def _instant(value: Any) -> datetime | None:
    found = _parsed(value.get("instant")) if isinstance(value, Mapping) else None
    return found if found is not None and found.tzinfo is not None else None


def _parsed(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _date(text: Any) -> date | None:
    found = _parsed(text)
    return found.date() if found is not None else None


def _flag(value: Any) -> str:
    """The words for what is wrong with a time, or nothing."""
    flag = value.get("flag") if isinstance(value, Mapping) else None
    return _FLAGS.get(flag, _ODD) if isinstance(flag, str) and flag else ""

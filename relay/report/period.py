"""Whole days of one time zone as instants; a day is from midnight to midnight there, 23 or 25 hours where it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from relay.errors import RefusedError

LONGEST = 400  # days
_RELATIVE = {"today": 0, "yesterday": 1}


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both included. Raises RefusedError for none, too many, and an unknown zone."""

    first: date
    last: date
    zone: str

    def __post_init__(self) -> None:
        zone_of(self.zone)
        if self.last < self.first:
            raise RefusedError(f"the period ends ({self.last}) before it begins ({self.first})")
        if (self.last - self.first).days >= LONGEST:
            raise RefusedError(f"a report covers {LONGEST} days at most; {self.first} to {self.last} is longer")

    def days(self) -> Iterator[tuple[date, float, float]]:
        """Each day with its first instant and that of the next day, in seconds."""
        for number in range((self.last - self.first).days + 1):
            day = self.first + timedelta(days=number)
            yield day, self._midnight(day), self._midnight(day + timedelta(days=1))

    @property
    def since(self) -> float:
        """The first instant."""
        return self._midnight(self.first)

    def local(self, at: float) -> str:
        """An instant as a clock on the wall of this zone shows it."""
        return datetime.fromtimestamp(at, zone_of(self.zone)).strftime("%Y-%m-%d %H:%M")

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=zone_of(self.zone)).timestamp()


def day_of(text: str, zone: str, *, now: float) -> date:
    """A day as it is written: `2026-11-25`, `today` or `yesterday` (there). Raises RefusedError."""
    if text in _RELATIVE:
        return datetime.fromtimestamp(now, zone_of(zone)).date() - timedelta(days=_RELATIVE[text])
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        day = date.min
    # Beyond these years not every zone can say when a day begins.
    if not 1971 <= day.year <= 2999:
        raise RefusedError(f'{text!r} is no day: write it as "2026-11-25", "today" or "yesterday"')
    return day


def zone_of(name: str) -> ZoneInfo:
    """The rules of a zone. Raises RefusedError for a name that nobody knows."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # no such zone, a folder of zones, or a path
        raise RefusedError(f"there is no time zone {name!r}: name one as in Europe/Copenhagen, or UTC") from None

"""What each feed looks at, in the order in which it does (planday-api.md 7).

A look that is not `whole` asks only for what may have changed since the mark, where Planday can be asked that. Nothing
is concluded from a record that is missing unless the list was whole, held still, and covers the record's day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from relay.planday.feeds import FeedReader, Sight
from relay.planday.models import Record

# A window begins so long before the mark: Planday's clocks, its own delays, a change that was saved while we read.
OVERLAP = 300.0
# By which day a deactivation is filed is documented nowhere, so that one is looked for further back.
_DEACTIVATED_BACK = 2 * 86400.0
# Shifts are planned far ahead and corrected long after; 31 days back is what the daily pass promises.
_SHIFTS_BACK, _SHIFTS_AHEAD = timedelta(days=45), timedelta(days=366)
# A window of punches may not be longer than 31 days; a night shift began the day before.
_PUNCHES_OFTEN, _PUNCHES_BACK = timedelta(days=3), timedelta(days=33)
_ABSENCE = timedelta(days=400)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of record as a look found it."""

    kind: str
    rows: Mapping[str, Record]
    at: float
    steady: bool = True
    complete: bool = True
    covers: tuple[int, int] | None = None
    """The days (ordinals, both included; 0: none) of which the list shows all; None: it is not whole."""
    deleted: bool = False
    """These are the records that are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a look is to read: what changed since then (None: all), seen from today."""

    now: float
    since: float | None
    whole: bool

    @property
    def today(self) -> date:
        """The day in UTC; windows are a day wider on both sides, so that no portal's own day is cut."""
        return datetime.fromtimestamp(self.now, UTC).date()

    @property
    def since_day(self) -> date:
        return self.today if self.since is None else datetime.fromtimestamp(self.since, UTC).date()


async def employees(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """Active people, then those who were deactivated; whoever is in both lists is settled by a read of the person."""
    since = None if window.whole else window.since
    active = await reader.employees(since)
    yield _part(active)
    back = None if since is None else since - _DEACTIVATED_BACK
    yield _part(await reader.deactivated(back))


async def shifts(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """Shifts that were modified, then those that were deleted: in that order, since a shift may be both."""
    first, last = window.today - _SHIFTS_BACK, window.today + _SHIFTS_AHEAD
    sight = await reader.shifts(first, last, None if window.whole else window.since)
    yield _part(sight, first + _DAY, last - _DAY) if window.whole else _part(sight)
    deleted = await reader.deleted_shifts(window.now - OVERLAP if window.since is None else window.since)
    yield _part(deleted, deleted=True)


async def punches(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """The last days often, a month daily; after a gap, as far back as the gap reaches and Planday lets us look."""
    first = window.today - _PUNCHES_OFTEN
    if window.whole:
        first = window.today - _PUNCHES_BACK
    elif window.since is not None:
        first = max(min(first, window.since_day - _DAY), window.today - _PUNCHES_BACK)
    last = window.today + _DAY
    yield _part(await reader.punches(first, last), first + _DAY, last)


async def absence(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """Requests and records, found by their period alone: a request for next summer needs a wide window."""
    first, last = window.today - _ABSENCE, window.today + _ABSENCE
    inside = (first + timedelta(days=92), last - _DAY)
    yield _part(await reader.absence_requests(first, last), *inside)
    yield _part(await reader.absence_records(first, last), *inside)


async def payroll(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """The lines of last month, this one and the next, each for itself: a window across months changes salaries."""
    departments = sorted(int(number) for number in (await reader.table("department")).rows)
    month = window.today.replace(day=1)
    for first in ((month - _DAY).replace(day=1), month, _next(month)):
        last = _next(first) - _DAY
        if departments:
            yield _part(await reader.payroll(first, last, departments), first, last)


async def reference(reader: FeedReader, window: Window) -> AsyncIterator[Part]:
    """Departments, employee groups, positions, shift types and the portal itself, whole each time."""
    for kind in ("department", "employee_group", "position", "shift_type", "portal"):
        if reader.wanted(kind):
            sight = await reader.table(kind)
            whole = (0, 0) if kind != "portal" else None
            yield replace(_part(sight), covers=whole)


Reading = Callable[[FeedReader, Window], AsyncIterator[Part]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed: how it reads, how often (seconds) when there is room, and how often while nothing happens."""

    name: str
    read: Reading
    every: float
    idle: float
    daily: bool = False
    """Whether an ordinary look sees less than everything, so that a daily whole one has to repair what it misses."""


FEEDS: Mapping[str, Feed] = {
    feed.name: feed
    for feed in (
        Feed(name="employees", read=employees, every=300.0, idle=600.0, daily=True),
        Feed(name="shifts", read=shifts, every=60.0, idle=180.0, daily=True),
        Feed(name="punchclock", read=punches, every=60.0, idle=180.0, daily=True),
        Feed(name="absence", read=absence, every=300.0, idle=900.0),
        Feed(name="payroll", read=payroll, every=900.0, idle=1800.0),
        Feed(name="reference", read=reference, every=1800.0, idle=3600.0),
    )
}


def _part(sight: Sight, first: date | None = None, last: date | None = None, *, deleted: bool = False) -> Part:
    covers = None if first is None or last is None else (first.toordinal(), last.toordinal())
    return Part(
        kind=sight.kind,
        rows=sight.rows,
        at=sight.at,
        steady=sight.steady,
        complete=sight.complete,
        covers=covers,
        deleted=deleted,
    )


def _next(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)

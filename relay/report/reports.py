"""Makes reports: one walk over the period's events in time order, each looked at once, so that numbers and list agree.

What happens meanwhile is never counted twice or not at all: an event is what it is when its turn comes, and what is
accepted after the report began is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from relay.errors import NotFoundError, RefusedError
from relay.pipeline import Outside
from relay.report.period import Period, day_of, zone_of
from relay.report.tally import LISTS, WITHOUT, Report, Tally
from relay.routing import matches
from relay.settings import Settings
from relay.store.reading import Reading
from relay.store.reporting import ListedEvent, Reporting, Stretch

_SHORTEST = 0.001  # the store tells instants apart by it


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What is asked: days as they are written, both included; `zone` None means the portal's; `type` a pattern."""

    target: str
    first: str = "today"
    last: str = "today"
    zone: str | None = None
    type: str | None = None
    listed: str | None = None


class Reports:
    """The one door for CLI and API. Changes nothing."""

    def __init__(self, *, reporting: Reporting, reading: Reading, settings: Settings, outside: Outside) -> None:
        self._reporting = reporting
        self._reading = reading
        self._settings = settings
        self._outside = outside

    async def begin(self, wanted: ReportRequest) -> Walk:
        """A report that is ready to be walked.

        Raises NotFoundError for a target that nobody ever had, RefusedError for days, a zone or a list that make no
        sense.
        """
        known = dict.fromkeys((*self._settings.targets, *await self._reading.known_targets()))
        if wanted.target not in known:
            raise NotFoundError(f"there is no target {wanted.target}; there are {', '.join(known) or 'none'}")
        if wanted.listed is not None and wanted.listed not in LISTS:
            raise RefusedError(f"there is no list of {wanted.listed!r}; there are {', '.join(LISTS)}")
        now = self._outside.clock()
        zone, zone_from = await self._zone(wanted)
        period = Period(day_of(wanted.first, zone, now=now), day_of(wanted.last, zone, now=now), zone)
        return Walk(
            wanted,
            period,
            zone_from,
            now=now,
            reporting=self._reporting,
            settings=self._settings,
            state=await self._reading.stats((wanted.target,), now=now),
        )

    async def _zone(self, wanted: ReportRequest) -> tuple[str, str]:
        """The zone of the days, and whose it is."""
        if wanted.zone is not None:
            return wanted.zone, ""
        names = {portal.id: name for name, portal in self._settings.portals.items()}
        found = await self._reporting.zones(tuple(names))
        for portal in [portal for portal, zone in found.items() if not _is_known(zone)]:
            del found[portal]
        zones = dict.fromkeys(found.values())
        if len(zones) > 1:
            seen = ", ".join(f"{names[portal]} in {zone}" for portal, zone in found.items())
            raise RefusedError(f"the portals are in different zones ({seen}): say whose days are meant with a zone")
        if not zones:
            return "UTC", "no portal's zone is known here yet"
        portal, zone = next(iter(found.items()))
        return zone, f"portal {names[portal]}"


class Walk:
    """One report on its way: `stretches` must be walked to the end, then `report` has the numbers."""

    def __init__(
        self,
        wanted: ReportRequest,
        period: Period,
        zone_from: str,
        *,
        now: float,
        reporting: Reporting,
        settings: Settings,
        state: Mapping[str, Any],
    ) -> None:
        self.wanted = wanted
        self.period = period
        self._zone_from = zone_from
        self._now = now
        self._reporting = reporting
        self._retention = settings.retention
        target = settings.targets.get(wanted.target)
        self._patterns = None if target is None else target.events
        self._state = state
        self._tallies: dict[tuple[date, str], Tally] = {}
        self._first_at: dict[str, float] = {}
        self._other_types = 0
        self._ended = False

    async def stretches(self) -> AsyncIterator[tuple[ListedEvent, ...]]:
        """Walk the period; each stretch gives what is listed of it, in the order of acceptance. Raises StoreError."""
        listed = self.wanted.listed or ""
        for day, since, until in self.period.days():
            until = min(until, self._now + _SHORTEST)  # noqa: PLW2901 - what comes in while we walk is no part of it
            if since >= until:
                break
            async for stretch in self._reporting.stretches(self.wanted.target, since=since, until=until, listed=listed):
                self._count(day, stretch)
                if rows := tuple(row for row in stretch.rows if self._is_meant(row.type, row.what)):
                    yield rows
        self._ended = True

    def report(self) -> Report:
        """The numbers of a walk that came to its end."""
        assert self._ended, "the walk is not over"
        total: Tally = Tally(self.period.last, "")
        for tally in self._tallies.values():
            total.counts.update(tally.counts)
            total.again.update(tally.again)
        row = self._state["targets"][self.wanted.target]
        breaker = row.get("breaker")
        return Report(
            target=self.wanted.target,
            type=self.wanted.type,
            period=self.period,
            zone_from=self._zone_from,
            as_of=self._now,
            tallies=tuple(self._tallies[place] for place in sorted(self._tallies)),
            total=total,
            other_types=self._other_types,
            first_at=self._first_at,
            kept_from=self._kept_from(),
            configured=self._patterns is not None,
            paused=row["paused"],
            breaker_since=None if breaker is None else breaker["since"],
            workers=self._state["workers"],
        )

    def _count(self, day: date, stretch: Stretch) -> None:
        tallies: defaultdict[str, list[Any]] = defaultdict(list)
        for one in stretch.counts:
            if self._is_meant(one.type, one.what):
                tallies[one.type].append(one)
            elif self._fits(one.type):
                self._other_types += one.count
        for type_, counted in tallies.items():
            tally = self._tallies.setdefault((day, type_), Tally(day, type_))
            for one in counted:
                tally.counts[one.what] += one.count
                if one.again:
                    tally.again[one.again] += one.count
                self._first_at.setdefault(one.what, one.first_at)

    def _is_meant(self, type_: str, what: str) -> bool:
        """Whether it counts: it has a delivery, or is of a type that the target asks for."""
        if not self._fits(type_):
            return False
        return what not in WITHOUT or self._patterns is None or any(matches(one, type_) for one in self._patterns)

    def _fits(self, type_: str) -> bool:
        return self.wanted.type is None or matches(self.wanted.type, type_)

    def _kept_from(self) -> dict[str, float]:
        """Kinds of record that are not whole for all of the period, and since when they are."""
        kept = {
            kind: self._now - age
            for kind, age in (
                ("delivered", self._retention.delivered),
                ("failed", self._retention.failed),
                ("attempts", self._retention.attempts),
            )
        }
        return {kind: since for kind, since in kept.items() if since > self.period.since}


def _is_known(zone: str) -> bool:
    try:
        zone_of(zone)
    except RefusedError:
        return False
    return True

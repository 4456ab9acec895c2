"""Chooses what a plan takes, part by part, so that neither Redis nor this process ever holds all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic_core

from relay.events import EventState
from relay.planday.records import READABLE
from relay.replay.missing import Missing
from relay.replay.request import PlanRequest
from relay.settings import Portal, Target
from relay.store.choosing import Candidate, Choice, Choosing, Counted, Index
from relay.store.plans import Item, Plans
from relay.store.reading import Reading

# So many envelopes are read at once.
_AT_ONCE = 200
_SAMPLES = 5
_DELIVERY_STATES = ("waiting", "dead", "parked", "cancelled", "superseded", "delivered")
# An event that died before it was routed belongs to no target.
_BEFORE_ROUTING = ""

Told = Callable[[int], None]


@dataclass(slots=True)
class _Tally:
    """What was counted so far, by (target, state, fate)."""

    rows: dict[tuple[str, str, str], Counted] = field(default_factory=dict)

    def add(self, one: Counted) -> None:
        key = (one.target, one.state, one.fate)
        if known := self.rows.get(key):
            first, last = min(known.first_at, one.first_at), max(known.last_at, one.last_at)
            one = replace(known, count=known.count + one.count, first_at=first, last_at=last)
        self.rows[key] = one

    def of(self, *fates: str) -> list[Counted]:
        return [one for _, one in sorted(self.rows.items()) if one.fate in fates]


class Planning:
    """One plan in the making."""

    def __init__(
        self,
        plan: str,
        wanted: PlanRequest,
        *,
        plans: Plans,
        choosing: Choosing,
        reading: Reading,
        targets: Mapping[str, Target],
        portals: Mapping[str, Portal],
        told: Told,
    ) -> None:
        self._plan = plan
        self._wanted = wanted
        self._plans = plans
        self._choosing = choosing
        self._reading = reading
        self._targets = {name: one for name, one in targets.items() if wanted.target in (None, name)}
        self._told = told
        self._missing = Missing(self._targets, portals, reread=wanted.reread)
        self._tally = _Tally()
        self._looked = 0
        self._gone: dict[str, int] = {}
        self._choice = Choice(
            since=wanted.since,
            until=wanted.until,
            portal="" if wanted.portal is None else str(wanted.portal),
            entity=(wanted.entity or "").replace("/", ":", 1),
            type=wanted.type or "",
            employee=wanted.employee or "",
            department=wanted.department or "",
            force=wanted.force,
            kinds=tuple(sorted(READABLE - {"portal"})) if wanted.reread else (),
            portals=tuple(portal.id for portal in portals.values()),
            states=wanted.states,
            targets=tuple(self._targets),
        )

    async def make(self, facts: Mapping[str, Any], *, now: float) -> None:
        """Choose, count, fix."""
        index = self._index_of_events()
        if index is not None:
            await self._look(Index(key=index), self._takes)
        else:
            await self._deliveries()
            await self._events()
        await self._left_behind()
        parts = await self._plans.seal(self._plan, (*self._targets, _BEFORE_ROUTING))
        shown = {**facts, **self._counts(), "samples": await self._samples(parts)}
        await self._plans.save(self._plan, shown, parts, now=now)

    # Where to look ---------------------------------------------------------------------------------

    def _index_of_events(self) -> str | None:
        """The index that is shortest for a filter by record or person, None where those by state are."""
        keys, wanted = self._plans.keys, self._wanted
        if wanted.portal is not None and wanted.entity is not None:
            return keys.entity_events(f"{wanted.portal}:{self._choice.entity}")
        if wanted.portal is not None and wanted.employee is not None:
            return keys.events_of(wanted.portal, wanted.employee)
        return None

    async def _deliveries(self) -> None:
        for target in self._targets:
            for state in _DELIVERY_STATES:
                index = Index(key=self._plans.keys.deliveries_in(target, state), target=target, state=state)
                if state in self._wanted.states or self._wanted.fine:
                    await self._look(index, lambda _: False)
                else:
                    await self._count(index)

    async def _count(self, index: Index) -> None:
        """What is not taken needs no look at each, unless the filter does."""
        count, first, last = await self._choosing.span_of(index.key, since=self._wanted.since, until=self._wanted.until)
        if count:
            self._tally.add(Counted(index.target, index.state, "left", count, first, last))

    async def _events(self) -> None:
        keys, states = self._plans.keys, self._wanted.states
        if "missing" in states:
            await self._look(Index(key=keys.events), self._is_missing)
        elif "unrouted" in states:
            await self._look(Index(key=keys.events_in(EventState.UNROUTED)), self._is_missing)
        if "dead" in states and self._wanted.target is None:
            await self._look(Index(key=keys.events_in(EventState.DEAD)), self._is_dead)

    # What of it is taken ---------------------------------------------------------------------------

    def _is_missing(self, one: Candidate) -> bool:
        return one.state == EventState.UNROUTED or (one.state == EventState.ROUTED and "missing" in self._wanted.states)

    def _is_dead(self, one: Candidate) -> bool:
        return one.state == EventState.DEAD and self._wanted.target is None and "dead" in self._wanted.states

    def _takes(self, one: Candidate) -> bool:
        events = "missing" in self._wanted.states or "unrouted" in self._wanted.states
        return self._is_dead(one) or (events and self._is_missing(one))

    async def _look(self, index: Index, takes: Callable[[Candidate], bool]) -> None:
        """A whole index, stretch by stretch."""
        choice = self._choice
        if not index.target and index.key in (self._plans.keys.events, *map(self._plans.keys.events_in, EventState)):
            # Deliveries were looked at by their own indexes: here only what has none counts.
            choice = replace(choice, states=())
        place: tuple[str, str] | None = None
        while True:
            stretch = await self._choosing.select(self._plan, index, choice, place)
            if choice.states or index.target:
                for one in stretch.counts:
                    self._tally.add(one)
            await self._judge([one for one in stretch.candidates if takes(one)])
            self._looked += stretch.looked
            self._told(self._looked)
            place = stretch.place
            if place is None:
                return

    async def _judge(self, candidates: Sequence[Candidate]) -> None:
        dead = [one for one in candidates if one.state == EventState.DEAD]
        await self._add([Item(one.at, one.sequence, one.event, _BEFORE_ROUTING, "dead", "first") for one in dead], {})
        routed = [one for one in candidates if one.state != EventState.DEAD and self._missing.may_take(one)]
        for some in _parts(routed):
            envelopes = await self._choosing.envelopes([one.event for one in some])
            items = [
                item
                for one, envelope in zip(some, envelopes, strict=True)
                if envelope is not None
                for item in self._missing.of(one, envelope)
            ]
            lanes = {one.event: pydantic_core.from_json(raw) for one, raw in zip(some, envelopes, strict=True) if raw}
            await self._add(items, {event: _lane(envelope) for event, envelope in lanes.items()})

    async def _add(self, items: Sequence[Item], lanes: Mapping[str, str]) -> None:
        if not items:
            return
        await self._plans.draft(self._plan, items)
        asked = [(lanes[item.event], item.target) for item in items if item.target]
        marks = iter(await self._choosing.high_marks(asked))
        for item in items:
            fate = item.data
            if item.target:
                high = next(marks)
                if item.sequence < high and fate == "first" and not self._wanted.force:
                    fate = "superseded"
            self._tally.add(Counted(item.target, item.state, fate, 1, item.at, item.at))

    async def _left_behind(self) -> None:
        """What would be taken, but goes to targets that are not in the configuration any more."""
        if self._wanted.target is not None:
            return
        for target in await self._reading.known_targets():
            if target in self._targets:
                continue
            for state in set(self._wanted.states) & set(_DELIVERY_STATES):
                key = self._plans.keys.deliveries_in(target, state)
                count, _, _ = await self._choosing.span_of(key, since=self._wanted.since, until=self._wanted.until)
                if count:
                    self._gone[target] = self._gone.get(target, 0) + count

    # What is shown ---------------------------------------------------------------------------------

    def _counts(self) -> dict[str, Any]:
        chosen = self._tally.of("first", "reread", "superseded")
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for one in chosen:
            row = rows.setdefault(
                (one.target, one.state),
                {"target": one.target, "state": one.state, "count": 0, "first": 0, "reread": 0, "superseded": 0},
            )
            row["count"] += one.count
            row[one.fate] += one.count
        return {
            "counts": list(rows.values()),
            "left": [
                {"target": one.target, "state": "erased" if one.fate == "erased" else one.state, "count": one.count}
                for one in self._tally.of("left", "erased")
            ],
            "gone_targets": dict(sorted(self._gone.items())),
            "cut": dict(self._missing.cut),
            "unclear": dict(self._missing.unclear),
            "looked": self._looked,
            "first_at": min((one.first_at for one in chosen), default=None),
            "last_at": max((one.last_at for one in chosen), default=None),
        }

    async def _samples(self, parts: Mapping[str, tuple[int, int]]) -> list[dict[str, str]]:
        """A few items per target, its oldest."""
        found: list[dict[str, str]] = []
        for first, size in parts.values():
            for text in await self._plans.items(self._plan, start=first, most=min(_SAMPLES, size)):
                event, target, state, data = text.split(":")
                found.append({"event": event, "target": target, "state": state, "data": data})
        types = await self._choosing.types_of([one["event"] for one in found])
        return [{**one, "type": type_} for one, type_ in zip(found, types, strict=True)]


def _lane(envelope: Mapping[str, Any]) -> str:
    return f"{envelope['portalid']}:{str(envelope['subject']).replace('/', ':', 1)}"


def _parts(items: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]

"""The watch: one of all workers looks every few seconds, records incidents and tells of them, each edge once.

It tells by events that are accepted, routed and delivered like any other. A record changes together with the event
that tells of the change, and only from the state that was seen, so that it does not matter who dies or who else looks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from relay import telemetry
from relay.alerts.conditions import KINDS, FeedState, Situation, conditions
from relay.alerts.heartbeat import Heartbeat
from relay.alerts.incidents import Incident, is_well, step
from relay.feed.marks import Mark
from relay.pipeline import Outside
from relay.planday.tokens import Authorisation
from relay.settings import Settings
from relay.store.alerts import AlertStore
from relay.store.checks import Finding

WATCH_EVERY = 15.0


class Marks(Protocol):
    """How far feeds have come; the part of the feeds' store that the watch needs."""

    async def mark(self, portal: int, feed: str) -> dict[str, str]: ...


class Watch:
    """`tick` is called every few seconds in every worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: AlertStore,
        marks: Marks,
        known_targets: Callable[[], Awaitable[Sequence[str]]],
        portal_states: Callable[[], Awaitable[Mapping[str, Authorisation]]],
        findings: Callable[[], Sequence[Finding]],
        heartbeat: Heartbeat | None,
        outside: Outside,
    ) -> None:
        """`known_targets`: every target that ever had a delivery; `findings`: what was found wrong with Redis last."""
        self._settings = settings
        self._store = store
        self._marks = marks
        self._known_targets = known_targets
        self._portal_states = portal_states
        self._findings = findings
        self._heartbeat = heartbeat
        self._outside = outside

    async def tick(self) -> None:
        """Look and tell, and call the heartbeat, as far as it is time and nobody else does. Raises StoreError."""
        if await self._store.take_turn("watch", now=self._outside.clock(), every=WATCH_EVERY):
            await self.look()
        if self._heartbeat is not None and await self._heartbeat.is_due():
            incidents = await open_incidents(self._store)
            await self._heartbeat.call(well=is_well(incidents, now=self._outside.clock()))

    async def look(self) -> None:
        """Compare what is wrong now with what is recorded, and tell what is new or over."""
        now = self._outside.clock()
        recorded = await _recorded(self._store)
        wrong = {one.key: one for one in conditions(await self._situation(now), self._settings.alerts)}
        for key in dict.fromkeys((*recorded, *wrong)):
            was, incident = recorded.get(key, (b"", None))
            if incident is not None and incident.event and not incident.taken:
                incident = replace(incident, taken=await self._store.was_taken(incident.event))
            following = step(incident, wrong.get(key), now=now, settings=self._settings.alerts)
            record = b"" if following.incident is None else following.incident.to_json()
            if record == was:
                continue
            changed = await self._store.change(key, expected=was, record=record, now=now, event=following.event)
            if changed and following.event is not None:
                is_over = following.incident is None
                self._outside.record(
                    telemetry.IncidentTold(
                        incident=key,
                        type=following.event.type,
                        event=following.event.id,
                        over=is_over,
                        reason=following.summary,
                    )
                )

    async def _situation(self, now: float) -> Situation:
        settings = self._settings
        names = dict.fromkeys((*settings.targets, *await self._known_targets()))
        states = await self._portal_states()
        return Situation(
            now=now,
            store=await self._store.state(tuple(names), quarantine_count=settings.alerts.quarantine_count, now=now),
            feeds=tuple([one async for one in self._feeds(states)]),
            findings=tuple(str(one) for one in self._findings() if one.level == "error"),
            lost_portals=frozenset(settings.portals[name].id for name, state in states.items() if state == "lost"),
            backlog_limit=settings.relay.backlog_limit,
        )

    async def _feeds(self, states: Mapping[str, Authorisation]) -> AsyncIterator[FeedState]:
        for name, portal in self._settings.portals.items():
            for feed in portal.feeds:
                mark = Mark.read(await self._marks.mark(portal.id, feed))
                yield FeedState(
                    portal=name,
                    portal_id=portal.id,
                    feed=feed,
                    failures=mark.failures,
                    due=mark.due,
                    first=mark.first,
                    why=mark.why,
                    authorised=states[name] == "ok",
                )


async def open_incidents(store: AlertStore) -> list[Incident]:
    """The incidents that were told and are not over, the oldest first. Raises StoreError."""
    known = [incident for _, incident in (await _recorded(store)).values()]
    return sorted((one for one in known if one.began is not None), key=lambda one: (one.began or 0.0, one.key))


async def _recorded(store: AlertStore) -> dict[str, tuple[bytes, Incident]]:
    """Every record with what it says; a kind that only a newer release knows is that one's business."""
    read = {key: (raw, Incident.from_json(raw)) for key, raw in (await store.incidents()).items()}
    return {key: pair for key, pair in read.items() if pair[1].kind in KINDS}

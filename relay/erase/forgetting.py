"""For the line: who is erased, and the end of an event that comes about them all the same."""

from __future__ import annotations

from typing import Any

import pydantic_core

from relay.composing import envelope_of
from relay.events import Event
from relay.persons import by_ids, cut_envelope, cut_stored, owners_of_envelope, owners_of_event, skeleton
from relay.pipeline import Outside
from relay.planday.enrich import Enrichment
from relay.store.erasing import ErasingStore
from relay.store.tombstones import Tombstones
from relay.store.work import ClaimedEvent


class Forgetting:
    """Keeps erased people out of the line (`relay.pipeline.Forgetting`)."""

    def __init__(self, store: ErasingStore, tombstones: Tombstones, outside: Outside) -> None:
        self._store = store
        self.tombstones = tombstones
        self._outside = outside

    async def takes(self, event: Event, claimed: ClaimedEvent, enrichment: Enrichment | None = None) -> bool:
        """End an event that is about an erased person: nothing of it stays but that it came. False: it is not.

        Whom it is about may be known only by its enrichment.
        """
        gone = await self.tombstones.of(event.portal)
        if gone is None:
            return False
        owners = owners_of_event(event)
        if enrichment is not None:
            owners = owners_of_envelope(envelope_of(event, enrichment, sequence=claimed.sequence))
        employee = next((one for one in owners if gone(one)), None)
        if employee is None and not (enrichment is not None and enrichment.erased):
            return False
        own = event.entity == "employee" and event.entity_id == employee
        name = await self.tombstones.pseudonym(event.portal, employee) if own and employee else ""
        record = pydantic_core.from_json(event.to_json())
        await self._store.end_event(
            event.id,
            now=self._outside.clock(),
            employee=employee or "",
            lane=f"{event.portal}:employee:{name}" if own else "",
            read=b"",
            body=pydantic_core.to_json(skeleton(record, subject=name if own else event.entity_id)),
            reason="the person that this event is about was erased; nothing was read, kept or sent",
            token=claimed.token,
        )
        return True

    async def cleaned(self, event: Event) -> Event:
        """An event about somebody else without what mentions an erased person; the very same where nothing does."""
        gone = await self.tombstones.of(event.portal)
        if gone is None:
            return event
        record = dict(pydantic_core.from_json(event.to_json()))
        return Event.from_json(pydantic_core.to_json(record)) if cut_stored(record, gone, by_ids(gone)) else event

    async def cut(self, envelope: dict[str, Any], portal: int) -> None:
        """Take the mentions of erased people out of an event about somebody else."""
        gone = await self.tombstones.of(portal)
        if gone is not None:
            cut_envelope(envelope, gone, by_ids(gone))

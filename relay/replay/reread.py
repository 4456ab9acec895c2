"""Reads an item of a plan anew from Planday: what its target gets is then the newest state there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pydantic_core

from relay.composing import envelope_of
from relay.errors import NotFoundError
from relay.events import Event
from relay.fields import Keep
from relay.pipeline import Outside
from relay.planday.enrich import Enrichment
from relay.planday.limits import REPAIR
from relay.replay.kept import can_be_read
from relay.routing import Router
from relay.settings import Target
from relay.store.plans import Plans, Read
from relay.store.reading import Reading

# Why an item is not sent after all; the words for people stand in cli/replay.py.
GONE_IN_PLANDAY, NOT_READABLE, NOT_WANTED, GONE = "gone_in_planday", "not_readable", "not_wanted", "gone"
ERASED = "erased"
_NEVER_SENT = ("missing", "unrouted")


class Reader(Protocol):
    """Planday, as a replay needs it."""

    async def enrich(
        self, event: Event, *, now: float, not_before: float | None = None, reread: bool = False, priority: int = 0
    ) -> Enrichment: ...


class Rereading:
    """Asks behind live events and feeds. Raises what makes an event wait: BudgetSpent, PlandayUnavailable,
    AuthorizationLost."""

    def __init__(
        self,
        planday: Reader,
        targets: Mapping[str, Target],
        *,
        plans: Plans,
        reading: Reading,
        outside: Outside,
    ) -> None:
        self._planday = planday
        self._plans = plans
        self._reading = reading
        self._outside = outside
        self._routers = {name: Router({name: target}) for name, target in targets.items()}
        self._keeps = {name: Keep([target.field_list()]) for name, target in targets.items()}

    async def read(self, event: str, state: str, target: str) -> Read:
        """One item's envelope as its record is now, cut to what its target may have; or why there is none."""
        before = await self._plans.sequence_before(event)
        try:
            record = await self._reading.event(event)
        except NotFoundError:
            return Read(GONE)
        if record.erased:
            return Read(ERASED)
        if not can_be_read(record.event.entity, record.event.type):
            return Read(NOT_READABLE)
        now = self._outside.clock()
        enrichment = await self._planday.enrich(record.event, now=now, not_before=now, reread=True, priority=REPAIR)
        if enrichment.erased:  # whoever the record is of by now
            return Read(ERASED)
        if enrichment.object is None:
            return Read(GONE_IN_PLANDAY if "object: gone" in enrichment.missing else NOT_READABLE)
        envelope = envelope_of(record.event, enrichment, sequence=record.sequence)
        if state in _NEVER_SENT and not self._routers[target].route(envelope).matched:
            return Read(NOT_WANTED)
        self._keeps[target].prune(envelope)
        return Read("own", pydantic_core.to_json(envelope), before)

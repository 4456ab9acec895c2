"""The feed's part of the demo: its quiet first look, and a look that is asked for after changes that nobody told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.cli.demo.director import Director, until
from relay.cli.demo.standins import Change
from relay.events import EventState, Origin
from relay.feed.marks import Mark
from relay.services import EventFilter, Services

_LOOKED = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look of the feed came to: events by type that were sent on, and those that a sender had told already."""

    new: Mapping[str, int]
    told: int
    example: str
    """The id of one that was told already."""


async def first_looks(services: Services) -> None:
    """Wait until every feed has taken note of what is there."""

    async def done() -> bool:
        return all(not mark.first for mark in await _marks(services))

    await until(done, "the feeds' first looks", patience=_LOOKED)


async def look(services: Services, director: Director, silent: Sequence[Change]) -> Found:
    """Ask every portal for a look, tell what arrives, and return when all that was found has come to its end."""
    asked = services.clock()
    for name in services.settings.portals:
        await services.look_now(name)

    async def looked() -> bool:
        return all(mark.tried is not None and mark.tried > asked and not mark.why for mark in await _marks(services))

    async def ended() -> bool:
        await director.tell_all(datetime.fromtimestamp(asked, UTC))
        stats = await services.reading.stats(tuple(services.settings.targets), now=services.clock())
        return bool(stats["open"] == 0) and await looked()

    await until(ended, f"the look that finds {len(silent)} changes", patience=_LOOKED)
    await director.tell_all(datetime.fromtimestamp(asked, UTC))
    records = (await services.reading.list_events(EventFilter(), limit=1000)).rows
    derived = [record for record in records if record.event.origin is Origin.DERIVED]
    doubled = [record for record in derived if record.state is EventState.DUPLICATE]
    sent = Counter(record.event.type for record in derived if record.targets)
    return Found(new=dict(sent), told=len(doubled), example=doubled[0].event.id if doubled else "")


async def _marks(services: Services) -> list[Mark]:
    return [mark for name in services.settings.portals for mark in (await services.feed_marks(name)).values()]

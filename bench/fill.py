"""Fills a store quickly with accepted events, through the accept script but without HTTP."""

from __future__ import annotations

import asyncio
import time

from relay.events import Event, event_id
from relay.store.store import Store

BATCH = 200
_SOURCE = "bench"


def plain(run: str, number: int, *, portal: int, entity_id: str) -> Event:
    """An event with about 1 KiB of the sender's data; no later one supersedes it."""
    name = f"{run}-{number}"
    return Event(
        id=event_id(_SOURCE, name),
        source=_SOURCE,
        sender_id=name,
        type="planday.shift.created",
        portal=portal,
        entity="shift",
        entity_id=entity_id,
        received_at=time.time(),
        received={"filler": "x" * 700},
    )


async def fill(store: Store, run: str, count: int, *, portal: int, first: int = 0, per_entity: int = 1) -> float:
    """Accept `count` events numbered from `first`; how many a second were taken."""
    began = time.perf_counter()
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        events = [plain(run, n, portal=portal, entity_id=f"{run}{n // per_entity}") for n in numbers]
        await store.accept(events, now=time.time())
        await asyncio.sleep(0)
    return count / (time.perf_counter() - began)

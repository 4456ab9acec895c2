"""Fills a store with a history: events of all ends, spread over days, each a copy of one that went through the scripts.

Going through accept, route, claim and settle a million times takes half an hour; that a page is read from the very keys
which those leave behind is what counts here, so a few dozen go through them and are copied.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio as aioredis

from bench.stage import PORTAL
from relay import catalog
from relay.events import Attempt, DeliveryState, Event, Outcome, event_id
from relay.store.keys import Keys
from relay.store.store import Store
from relay.store.work import Finished, Lane, Settled

TYPES = (
    "planday.shift.updated",
    "planday.shift.published",
    "planday.punchclock_entry.approved",
    "planday.absence_request.approved",
    "planday.employee.updated",
)
RARE = "planday.portal.updated"
"""A type of which there is not one."""
PERSON, SUBJECT = "910007", "shift/70000500"
DAYS = 40
_BATCH = 500
_CLONE = (Path(__file__).parent / "clone.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Kind:
    """How an event ended: the state of its delivery to each target; `share` of all, in percent."""

    share: float
    ends: Mapping[str, DeliveryState]


# Those that wait come last: whatever is due would be claimed with the next one's.
KINDS: Sequence[Kind] = (
    Kind(30, {"hours": DeliveryState.DELIVERED, "ops": DeliveryState.DELIVERED}),
    Kind(55, {"hours": DeliveryState.DELIVERED}),
    Kind(6, {}),
    Kind(3, {"hours": DeliveryState.DEAD}),
    Kind(1, {"ops": DeliveryState.DEAD}),
    Kind(1, {"hours": DeliveryState.PARKED}),
    Kind(4, {"hours": DeliveryState.WAITING}),
)


async def fill_history(
    client: aioredis.Redis, keys: Keys, store: Store, count: int, *, kinds: Sequence[Kind] = KINDS
) -> None:
    """So many events over the last days, of every type and kind, with more by day than by night."""
    now = time.time()
    # Where they are copied from lies before all that is shown.
    before = now - (DAYS + 1) * 86_400
    wanted = [(kind, type_) for kind in kinds for type_ in TYPES]
    # A record each: what is parked would hold up those behind it.
    made = [
        (kind, await _template(store, kind, type_, 1000 + at, now=before)) for at, (kind, type_) in enumerate(wanted)
    ]
    # Looked for before there are copies: afterwards there are many sets to look through.
    sets = [await _sets(client, keys, event) for _, event in made]
    clone = client.register_script(_CLONE)
    number = 0
    for (kind, event), names in zip(made, sets, strict=True):
        # Each kind lies over the whole span, as densely as its share is.
        share = int(count * kind.share / 100 / len(TYPES))
        apart = DAYS * 86_400_000 / max(share, 1)
        for done in range(0, share, _BATCH):
            few = min(_BATCH, share - done)
            await clone(args=[keys.prefix, event.id, number, few, now * 1000, done, apart, *names])
            number += few


async def _template(store: Store, kind: Kind, type_: str, record: int, *, now: float) -> Event:
    """One event that really ended so."""
    sample = catalog.sample(type_, every_field=True)
    entity = str(sample["subject"]).partition("/")[0]
    name = f"{type_} {' '.join(f'{target} {state}' for target, state in kind.ends.items())}"
    event = Event(
        id=event_id("bench", name),
        source="bench",
        sender_id=name,
        type=type_,
        portal=PORTAL,
        entity=entity,
        entity_id=str(record),
        received_at=now,
    )
    await store.accept([event], now=now)
    claim = await store.claim([], now=now, lease=60, most_events=1, most_deliveries=0)
    finished = Finished(
        id=event.id,
        token=claim.events[0].token,
        envelope=json.dumps({**sample, "id": event.id}).encode(),
        targets=tuple(kind.ends),
        refusals={} if kind.ends else {"hours": "it does not take this type", "ops": "it does not take this type"},
        people=(PERSON,),
        department="4101",
    )
    await store.finish(finished, now=now)
    for target, state in kind.ends.items():
        if state is not DeliveryState.WAITING:
            await _settle(store, target, state, now=now)
    return event


async def _settle(store: Store, target: str, state: DeliveryState, *, now: float) -> None:
    lane = Lane(target=target, concurrency=1000, per_second=None, burst=1, limiter=target, dedupes=True)
    claim = await store.claim([lane], now=now, lease=60, most_events=0, most_deliveries=1)
    good = state is DeliveryState.DELIVERED
    attempt = Attempt(
        number=1,
        started_at=now - 0.1,
        ended_at=now,
        outcome=Outcome.DELIVERED if good else Outcome.REJECTED,
        reason="the target took it (202 Accepted)" if good else "the target refused it (422): unknown employee",
        status=202 if good else 422,
        request_headers={"webhook-signature": "***"},
        response_headers={"content-length": "2"},
        excerpt="ok" if good else '{"error": "unknown employee"}',
    )
    one = claim.deliveries[0]
    settled = Settled(id=one.id, target=target, token=one.token, state=state, reason=attempt.reason, attempt=attempt)
    await store.settle(settled, now=now)


async def _sets(client: aioredis.Redis, keys: Keys, event: Event) -> list[str]:
    """The sorted sets that this event stands in, with a place for what differs from copy to copy."""
    lane = f"{event.portal}:{event.entity}:{event.entity_id}"
    found = []
    async for key in client.scan_iter(match=f"{keys.prefix}*", count=1000, _type="zset"):
        if await client.zscore(key, event.id) is None:
            continue
        name = key.decode().replace(lane, "{lane}")
        found.append(name.replace(keys.events_of(PORTAL, PERSON), keys.events_of(PORTAL, "{person}")))
    return found

"""What the report asks the store: a period's events in time order, each looked at once, counted by what became of it.

A stretch of some hundred events is one script, so that nobody waits long for Redis, and a report of any size holds one
stretch in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
import redis.asyncio as aioredis

from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms
from relay.store.work import Body

_AT_ONCE = 250
# So many of the newest events are looked at for the zone of a portal that no feed watches.
_LOOKED_AT_FOR_ZONES = 50


@dataclass(frozen=True, slots=True)
class Counted:
    """So many events of one type that ended alike.

    `what` is the state of their delivery, or why there is none; `again` why the target may have them more than once,
    "" where it cannot; `first_at` when the first of them was accepted (seconds). All words stand in report.lua.
    """

    type: str
    what: str
    again: str
    count: int
    first_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """One event behind a number. Times in seconds; `attempts` are those of the present round."""

    event: str
    target: str
    what: str
    type: str
    portal: int
    subject: str
    accepted_at: float
    changed_at: float | None
    reason: str
    attempts: int
    round: int
    again: str
    salt: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a few hundred events came to, and those of them that are listed."""

    counts: tuple[Counted, ...]
    rows: tuple[ListedEvent, ...]


class Reporting:
    """The questions of the report; nothing here changes anything."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    async def stretches(
        self, target: str, *, since: float, until: float, listed: str = "", at_once: int = _AT_ONCE
    ) -> AsyncIterator[Stretch]:
        """The events accepted from `since` to before `until`, in order, each as it is when its turn comes.

        `listed` is one word of `what`, "accepted" for all with a delivery, "repeated" for all with `again`; "" lists
        nothing. Raises StoreError.
        """
        last_at, last_id, ends = b"", b"", 0
        while not ends:
            ends, last_at, last_id, flat, rows = await self._scripts.call(
                "report",
                *(self._keys.prefix, ms(until), target, ms(since), ms(until)),
                *(last_at, last_id, at_once, listed),
            )
            yield Stretch(
                counts=tuple(_counted(flat[n : n + 5]) for n in range(0, len(flat), 5)),
                rows=tuple(_listed(target, row) for row in rows),
            )

    async def zones(self, portals: Sequence[int]) -> dict[int, str]:
        """The time zones of these portals, as Planday names them, where the store knows them.

        From what the feed last saw of the portal itself, else from the newest events.
        """
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for portal in portals:
                pipe.hget(self._keys.snapshots(portal, "portal"), str(portal))
            seen = await pipe.execute()
        found: dict[int, str] = {}
        for portal, snapshot in zip(portals, seen, strict=True):
            body = pydantic_core.from_json(snapshot.split(b"\n", 2)[2]) if snapshot else {}
            if isinstance(zone := body.get("f", {}).get("timeZone"), str):
                found[portal] = zone
        if missing := set(portals) - found.keys():
            found |= {portal: zone async for portal, zone in self._told_by_events() if portal in missing}
        return found

    async def _told_by_events(self) -> AsyncIterator[tuple[int, str]]:
        """Oldest first, so that the newest wins where it is made a mapping."""
        newest = await command(self._client, "ZRANGE", self._keys.events, -_LOOKED_AT_FOR_ZONES, -1)
        bodies = (
            await command(self._client, "MGET", *(self._keys.body(id_.decode()) for id_ in newest)) if newest else []
        )
        for raw in bodies:
            envelope = pydantic_core.from_json(Body.read(raw).envelope or b"{}") if raw else {}
            for zone in _zones_in(envelope.get("data") or {}):
                yield int(envelope["portalid"]), zone


def _zones_in(data: Mapping[str, Any]) -> Iterator[str]:
    for record in (data.get("object"), (data.get("related") or {}).get("portal")):
        if isinstance(record, Mapping):
            times = (value.get("zone") for value in record.values() if isinstance(value, Mapping))
            yield from (zone for zone in (*times, record.get("timeZone")) if isinstance(zone, str))


def _counted(part: list[Any]) -> Counted:
    type_, what, again, count, first_at = part
    return Counted(type_.decode(), what.decode(), again.decode(), count, float(first_at) / 1000)


def _listed(target: str, row: list[Any]) -> ListedEvent:
    id_, what, type_, lane, at, changed, reason, attempts, round_, again, salt = row
    portal, _, subject = lane.decode().partition(":")
    return ListedEvent(
        event=id_.decode(),
        target=target,
        what=what.decode(),
        type=type_.decode(),
        portal=int(portal or 0),
        subject=subject.replace(":", "/", 1),
        accepted_at=float(at) / 1000,
        changed_at=float(changed) / 1000 if changed else None,
        reason=reason.decode(),
        attempts=attempts,
        round=round_,
        again=again.decode(),
        salt=salt.decode(),
    )

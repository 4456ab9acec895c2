"""What people ask the store: one event, one delivery, lists by filter with a cursor, totals.

Lists are newest first and by keyset: a cursor is the place of the last row, so that a page costs the same
however deep it lies. A page looks at a bounded number of records; where a filter is rare it may come back
short, with a cursor to go on from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError
from relay.events import Attempt, Delivery, DeliveryState, Event, EventRecord, EventState
from relay.store.client import command, translated
from relay.store.keys import Keys
from relay.store.paging import Page, Pager, Spot
from relay.store.store import ms
from relay.store.work import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; times in seconds, `type` a pattern with `*`. `employee` (Planday's id) goes with `portal` only."""

    type: str | None = None
    portal: int | None = None
    subject: str | None = None
    state: EventState | None = None
    target: str | None = None
    employee: str | None = None
    since: float | None = None
    until: float | None = None

    def fits(self, *, state: str, type_: str, lane: str, targets: str) -> bool:
        """By the small fields of an event's hash."""
        portal, entity, id_ = lane.split(":", 2)
        return (
            (self.type is None or fnmatchcase(type_, self.type))
            and (self.portal is None or int(portal) == self.portal)
            and (self.subject is None or f"{entity}/{id_}" == self.subject)
            and (self.state is None or state == self.state)
            and (self.target is None or self.target in targets.split())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries; times are those at which the event was accepted."""

    target: str | None = None
    state: DeliveryState | None = None
    type: str | None = None
    portal: int | None = None
    since: float | None = None
    until: float | None = None

    def fits(self, *, state: str, type_: str, lane: str) -> bool:
        """By the small fields of a delivery's and its event's hash."""
        return (
            (self.state is None or state == self.state)
            and (self.type is None or fnmatchcase(type_, self.type))
            and (self.portal is None or int(lane.partition(":")[0]) == self.portal)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery with what a list says of its event; of a parked one also its last attempt, for a person to decide."""

    delivery: Delivery
    type: str
    subject: str
    portal: int
    accepted_at: float
    evidence: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one event stands in its lanes; `ahead` per target ("" its own lane): the head that it waits behind."""

    in_work: bool
    ahead: Mapping[str, str]


class Reading:
    """The questions; nothing here changes anything."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self.client = client
        self._keys = keys
        self._pager = Pager(client)

    async def event(self, id_: str) -> EventRecord:
        """One event. Raises NotFoundError."""
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(self._keys.event(id_))
            pipe.get(self._keys.body(id_))
            raw, body = await pipe.execute()
        if not raw or body is None:
            raise NotFoundError(f"there is no event {id_}")
        return _event_record(raw, Body.read(body))

    async def events(self, ids: Sequence[str]) -> list[EventRecord | None]:
        """Several events in one go, in the order of their ids; None for one that is gone."""
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for id_ in ids:
                pipe.hgetall(self._keys.event(id_))
                pipe.get(self._keys.body(id_))
            answers = await pipe.execute() if ids else []
        return [
            _event_record(raw, Body.read(body)) if raw and body is not None else None
            for raw, body in zip(answers[::2], answers[1::2], strict=True)
        ]

    async def deliveries_of(self, record: EventRecord) -> list[Delivery]:
        """Where one event stands with each of its targets, in the order of the settings."""
        id_ = record.event.id
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for target in record.targets:
                pipe.hgetall(self._keys.delivery(id_, target))
            answers = await pipe.execute()
        return [
            _delivery(id_, target, raw, record.sequence)
            for target, raw in zip(record.targets, answers, strict=True)
            if raw
        ]

    async def delivery(self, id_: str, target: str) -> Delivery:
        """One delivery. Raises NotFoundError."""
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(self._keys.delivery(id_, target))
            pipe.hget(self._keys.event(id_), "seq")
            raw, sequence = await pipe.execute()
        if not raw:
            raise NotFoundError(f"there is no delivery of {id_} to {target}")
        return _delivery(id_, target, raw, int(sequence or 0))

    async def attempts(self, id_: str, target: str) -> list[Attempt]:
        """The kept attempts of one delivery, oldest first."""
        raw: list[bytes] = await command(self.client, "LRANGE", self._keys.attempts(id_, target), 0, -1)
        return [Attempt.from_json(one) for one in raw]

    async def place_of(self, record: EventRecord) -> Place:
        """What an event's lanes look like now: is it in work, and what does it or do its deliveries wait behind."""
        keys, event = self._keys, record.event
        lanes = {"": keys.event_lane(event.lane)}
        lanes |= {target: keys.delivery_lane(event.lane, target) for target in record.targets}
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.zscore(keys.leased_events, event.id)
            for lane in lanes.values():
                pipe.lpos(lane, event.id)
                pipe.lindex(lane, 0)
            lease, *answers = await pipe.execute()
        found = zip(lanes, answers[::2], answers[1::2], strict=True)
        ahead = {target: head.decode() for target, position, head in found if position}
        return Place(in_work=lease is not None, ahead=ahead)

    async def list_events(self, wanted: EventFilter, *, limit: int, cursor: str | None = None) -> Page[EventRecord]:
        """Events that fit, newest first."""
        keys = self._keys
        if wanted.portal is not None and wanted.employee is not None:
            index = keys.events_of(wanted.portal, wanted.employee)
        elif wanted.portal is not None and wanted.subject is not None:
            index = keys.entity_events(f"{wanted.portal}:{wanted.subject.replace('/', ':', 1)}")
        elif wanted.state in (EventState.UNROUTED, EventState.DUPLICATE, EventState.DEAD):
            index = keys.events_in(wanted.state)
        else:
            index = keys.events

        async def load(found: Sequence[Spot]) -> list[EventRecord | None]:
            # Of a filtered list most is looked at in vain: small fields first, bodies of what fits.
            small = await self._fields_of([keys.event(spot.id) for spot in found], "st", "ty", "lane", "tg")
            fitting = [
                spot.id
                for spot, (state, type_, lane, tg) in zip(found, small, strict=True)
                if state and wanted.fits(state=state, type_=type_, lane=lane, targets=tg)
            ]
            read = dict(zip(fitting, await self.events(fitting), strict=True))
            return [read.get(spot.id) for spot in found]

        return await self._pager.page(
            [index], since=wanted.since, until=wanted.until, limit=limit, cursor=cursor, load=load
        )

    async def _fields_of(self, hashes: Sequence[str], *names: str) -> list[list[str]]:
        """Some fields of many hashes; empty where there is none."""
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for key in hashes:
                pipe.hmget(key, list(names))
            answers = await pipe.execute()
        return [[(value or b"").decode() for value in values] for values in answers]

    async def list_deliveries(
        self, wanted: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> Page[DeliveryRow]:
        """Deliveries that fit, newest event first."""
        targets = [wanted.target] if wanted.target is not None else await self.known_targets()
        states = [wanted.state] if wanted.state is not None else list(DeliveryState)
        indexes = {self._keys.deliveries_in(target, _indexed(state)): target for target in targets for state in states}

        async def load(found: Sequence[Spot]) -> list[DeliveryRow | None]:
            states_ = await self._fields_of([self._keys.delivery(one.id, indexes[one.index]) for one in found], "st")
            events = await self._fields_of([self._keys.event(one.id) for one in found], "ty", "lane")
            fitting = [
                spot
                for spot, (state,), (type_, lane) in zip(found, states_, events, strict=True)
                if state and lane and wanted.fits(state=state, type_=type_, lane=lane)
            ]
            with translated():
                pipe = self.client.pipeline(transaction=False)
                for spot in fitting:
                    pipe.hgetall(self._keys.delivery(spot.id, indexes[spot.index]))
                    pipe.hmget(self._keys.event(spot.id), ["ty", "lane", "at", "seq"])
                    pipe.lindex(self._keys.attempts(spot.id, indexes[spot.index]), -1)
                answers = await pipe.execute() if fitting else []
            read = {
                spot: _delivery_row(spot.id, indexes[spot.index], *answers[3 * n : 3 * n + 3])
                for n, spot in enumerate(fitting)
            }
            return [read.get(spot) for spot in found]

        return await self._pager.page(
            list(indexes), since=wanted.since, until=wanted.until, limit=limit, cursor=cursor, load=load
        )

    async def known_targets(self) -> list[str]:
        """Every target that ever had a delivery."""
        return sorted(name.decode() for name in await command(self.client, "SMEMBERS", self._keys.targets))

    async def stats(self, targets: Sequence[str], *, now: float) -> dict[str, Any]:
        """Totals, and per target what waits, is on the wire, failed, and since when the oldest waits."""
        keys = self._keys
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.hgetall(keys.counters)
            pipe.zcard(keys.open)
            pipe.zrange(keys.open, 0, 0, withscores=True)
            pipe.smembers(keys.portals)
            pipe.zcard(keys.leased_events)
            pipe.zcount(keys.workers, ms(now), "+inf")
            pipe.zcount(keys.drains, ms(now), "+inf")
            pipe.llen(keys.quarantine)
            pipe.zcard(keys.events_in("dead"))
            pipe.info("memory")
            totals, open_, oldest, portals, leased, workers, drains, quarantine, dead, memory = await pipe.execute()
            pipe = self.client.pipeline(transaction=False)
            for target in targets:
                for state in _LISTED:
                    pipe.zcard(keys.deliveries_in(target, state))
                pipe.zcard(keys.leased_deliveries(target))
                pipe.zrange(keys.deliveries_in(target, "waiting"), 0, 0, withscores=True)
                pipe.hgetall(keys.target(target))
            for portal in portals:
                pipe.zcard(keys.due_events(portal.decode()))
            answers = iter(await pipe.execute())
        per_target = {}
        for target in targets:
            row: dict[str, Any] = {state: next(answers) for state in _LISTED}
            row["sending"] = next(answers)
            row["oldest_waiting_seconds"] = _age(next(answers), now)
            per_target[target] = row | _standing(next(answers), now)
        return {
            "totals": {name.decode(): int(value) for name, value in totals.items()},
            "open": open_,
            "oldest_open_seconds": _age(oldest, now),
            "events_waiting": sum(answers),
            "events_in_work": leased,
            "events_dead": dead,
            "workers": workers,
            "drains": drains,
            "quarantine": quarantine,
            "store_bytes": memory.get("used_memory"),
            "targets": per_target,
        }


_LISTED = ("waiting", "delivered", "dead", "parked", "cancelled", "superseded")


def _indexed(state: DeliveryState) -> str:
    """The index that holds a state: what is on the wire stands among the waiting."""
    return "waiting" if state is DeliveryState.SENDING else state.value


def _standing(raw: Mapping[bytes, bytes], now: float) -> dict[str, Any]:
    """Whether a target is sent to, and if not, why: a pause, a hold, or its breaker. Times in seconds."""
    found = {name.decode(): value.decode() for name, value in raw.items()}
    hold = float(found.get("hold", 0)) / 1000
    breaker = None
    if "brk" in found:
        since, until = float(found["brk_since"]) / 1000, float(found["until"]) / 1000
        breaker = {"state": "probing" if found["brk"] == "half" else "open", "since": since, "until": until}
    state = "paused" if "paused" in found else "failing" if breaker else "held" if hold > now else "open"
    return {
        "state": state,
        "paused": found.get("paused"),
        "paused_by": found.get("by"),
        "paused_since": float(found["since"]) / 1000 if "since" in found else None,
        "held_until": hold if hold > now else None,
        "breaker": breaker,
    }


def _age(first: list[tuple[bytes, float]], now: float) -> float | None:
    return round(max(now - first[0][1] / 1000, 0.0), 3) if first else None


def _event_record(raw: Mapping[bytes, bytes], body: Body) -> EventRecord:
    def text(name: bytes) -> str:
        return raw.get(name, b"").decode()

    return EventRecord(
        event=Event.from_json(body.record),
        state=EventState(text(b"st")),
        sequence=int(text(b"seq")),
        reason=text(b"why"),
        attempts=int(text(b"tries") or 0),
        due_at=float(text(b"due")) / 1000 if b"due" in raw else None,
        envelope=pydantic_core.from_json(body.envelope) if body.envelope else None,
        routing=pydantic_core.from_json(body.refusals) if body.refusals else {},
        targets=tuple(text(b"tg").split()),
        duplicate_of=text(b"dup") or None,
        erased=b"er" in raw,
    )


def _delivery(id_: str, target: str, raw: Mapping[bytes, bytes], sequence: int) -> Delivery:
    def text(name: bytes) -> str:
        return raw.get(name, b"").decode()

    return Delivery(
        event=id_,
        target=target,
        state=DeliveryState(text(b"st")),
        attempts=int(text(b"n") or 0),
        sequence=sequence,
        updated_at=float(text(b"up")) / 1000,
        due_at=float(text(b"due")) / 1000 if b"due" in raw else None,
        reason=text(b"why"),
        round=int(text(b"rd") or 1),
        replay=text(b"rp") or None,
        salt=text(b"nk"),
    )


def _delivery_row(
    id_: str, target: str, raw: Mapping[bytes, bytes], event: Sequence[bytes | None], last: bytes | None
) -> DeliveryRow | None:
    kind, lane, at, sequence = event
    if not raw or kind is None or lane is None or at is None:
        return None
    portal, entity, entity_id = lane.decode().split(":", 2)
    delivery = _delivery(id_, target, raw, int(sequence or 0))
    parked = delivery.state is DeliveryState.PARKED
    return DeliveryRow(
        delivery=delivery,
        type=kind.decode(),
        subject=f"{entity}/{entity_id}",
        portal=int(portal),
        accepted_at=float(at) / 1000,
        evidence=Attempt.from_json(last) if parked and last is not None else None,
    )

"""The verbs of the line: accept, claim, finish, defer, begin, settle, renew, reopen, sweep.

Every change of more than one key is one script (scripts/*.lua); this module gives it typed arguments and
answers. Times are seconds here and milliseconds in Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError, RefusedError
from relay.events import DeliveryState, Event, EventState, Outcome
from relay.store.client import GroupCommit, Scripts, command, translated
from relay.store.headroom import Headroom
from relay.store.keys import Keys
from relay.store.work import (
    Accepted,
    Body,
    Claim,
    ClaimedDelivery,
    ClaimedEvent,
    Finished,
    Held,
    Holding,
    Kept,
    Lane,
    Settled,
)

# An entity that saw no event for this long starts its sequence anew.
ENTITY_LIFE = 400 * 86400
ATTEMPTS_KEPT = 25
# So many workers in a row may die over one piece of work before it is taken out of the line.
MOST_LOST_LEASES = 20
_BREAKER = ("brk", "brk_since", "until", "trips", "probe", "fails", "win", "ok", "bad")
_IN_THE_WAY = ("paused", "by", "since", "hold", *_BREAKER)
_HOLDING_NOTHING = Holding()
_NO_LIMIT = 2**52


class Bell(Protocol):
    """An arq job that starts a drain, as the accept script writes it when no drain lives; `life` in seconds."""

    @property
    def id(self) -> str: ...
    @property
    def blob(self) -> bytes: ...
    @property
    def life(self) -> float: ...


def ms(at: float) -> str:
    return f"{at * 1000:.3f}"


class Store:
    """The record of everything accepted. Raises StoreError when Redis does not do what is asked."""

    def __init__(
        self,
        client: aioredis.Redis,
        keys: Keys,
        *,
        backlog_limit: int,
        bell: Callable[[float], Bell],
        accept_patience: float | None = None,
        memory_limit: int | None = None,
    ) -> None:
        """`accept_patience`: how many seconds `accept` may take before it raises StoreUnavailable.

        `memory_limit`: the bytes from which on Redis takes no new events; see Headroom.
        """
        self.client = client
        self.keys = keys
        self._bell = bell
        self._backlog_limit = backlog_limit
        self._headroom = Headroom(client, limit=memory_limit)
        self._scripts = Scripts(client)
        self._accepts: GroupCommit[tuple[tuple[Event, ...], float], list[Accepted]] = GroupCommit(
            self._accept, patience=accept_patience
        )
        self._urgent: GroupCommit[tuple[tuple[Event, ...], float], list[Accepted]] = GroupCommit(
            self._accept_whatever_waits, patience=accept_patience
        )
        self._finishes: GroupCommit[tuple[Finished, float], str] = GroupCommit(self._finish, insist=True)
        self._settles: GroupCommit[tuple[Settled, float], Kept] = GroupCommit(self._settle, insist=True)

    # In ------------------------------------------------------------------------------------------

    async def accept(self, events: Sequence[Event], *, now: float, urgent: bool = False) -> list[Accepted]:
        """Record events, all or none, each once; the answer says which were new.

        Requests that arrive together share a round trip. Raises BacklogFull, StoreFull or StoreUnavailable; after the
        last the events may be stored or not, and handing them in again is safe. `urgent`: however much waits, since
        this tells of it.
        """
        return await (self._urgent if urgent else self._accepts).submit((tuple(events), now))

    async def _accept(self, requests: Sequence[tuple[tuple[Event, ...], float]]) -> list[list[Accepted]]:
        await self._headroom.demand(now=max(at for _, at in requests))
        return await self._record(requests, limit=self._backlog_limit)

    async def _accept_whatever_waits(self, requests: Sequence[tuple[tuple[Event, ...], float]]) -> list[list[Accepted]]:
        return await self._record(requests, limit=_NO_LIMIT)

    async def _record(self, requests: Sequence[tuple[tuple[Event, ...], float]], *, limit: int) -> list[list[Accepted]]:
        now = max(at for _, at in requests)
        bell = self._bell(now)
        args: list[Any] = [limit, ENTITY_LIFE, bell.id, bell.blob, int(bell.life * 1000), self.keys.queue]
        for events, _ in requests:
            for event in events:
                args += (event.id, event.lane, event.type, event.to_json())
        answers = iter(await self._call("accept", now, *args))
        return [
            [
                Accepted(id=event.id, duplicate=bool(seen), sequence=sequence)
                for event, (seen, sequence) in zip(events, answers, strict=False)
            ]
            for events, _ in requests
        ]

    # Work ----------------------------------------------------------------------------------------

    async def claim(
        self,
        lanes: Sequence[Lane],
        *,
        now: float,
        lease: float,
        most_events: int,
        most_deliveries: int,
        holding: Holding = _HOLDING_NOTHING,
        turn: int = 0,
    ) -> Claim:
        """Take back expired leases, then lease what is due, within each target's concurrency and rate.

        At most `most_events` of one portal and `most_deliveries` of one target, with what the caller is `holding`.
        """
        args: list[Any] = [int(lease * 1000), most_events, most_deliveries, MOST_LOST_LEASES, turn]
        args.append(len(holding.events))
        for portal, count in holding.events.items():
            args += (portal, count)
        for lane in lanes:
            interval = f"{1000 / lane.per_second:.3f}" if lane.per_second else 0
            args += (lane.target, lane.concurrency, interval, lane.burst, lane.limiter, int(lane.dedupes))
            args += (holding.deliveries.get(lane.target, 0), lane.gathers)
        released_events, released, next_due, events, deliveries = await self._call("claim", now, *args)
        return Claim(
            released_events=released_events,
            released_deliveries=released,
            next_due=next_due / 1000 if next_due >= 0 else None,
            events=tuple(_claimed_event(row) for row in events),
            deliveries=tuple(_claimed_delivery(row, until=now + lease) for row in deliveries),
        )

    async def finish(self, finished: Finished, *, now: float) -> str:
        """Open the event's deliveries: "routed", "unrouted", "lost", or the id of the event that it doubles."""
        return await self._finishes.submit((finished, now))

    async def _finish(self, batch: Sequence[tuple[Finished, float]]) -> list[str]:
        args: list[Any] = []
        for one, now in batch:
            refusals = pydantic_core.to_json(dict(one.refusals))
            args += (one.id, one.token, one.envelope, one.stripped or b"", int(one.strip), refusals, one.version or "")
            read_at = "0" if one.read_at is None else ms(one.read_at)
            since = "" if one.since is None else ms(one.since)
            args += (" ".join(one.undone), read_at, since, " ".join(one.people), one.department, len(one.targets))
            for target in one.targets:
                args += (target, int(target in one.latest), ms(one.dues.get(target, now)))
        return [answer.decode() for answer in await self._call("route", max(now for _, now in batch), *args)]

    async def defer(
        self,
        id_: str,
        token: int,
        *,
        now: float,
        due_at: float | None,
        reason: str,
        counted: Literal["tries", "faults", ""] = "",
        patience: bool = False,
    ) -> bool:
        """Put an event back until `due_at`, or end it as dead; False when somebody else holds it.

        `counted` says as what it counts; `patience` that the wait is for a Planday that does not answer, which has
        an end. Any other wait (for a person, for our own budget) starts that anew.
        """
        due = "" if due_at is None else ms(due_at)
        return bool(await self._call("defer", now, id_, token, due, reason, counted, int(patience)))

    async def begin(self, delivery: ClaimedDelivery, *, now: float) -> bool:
        """Note that sending begins to a target that does not dedupe; False: somebody else holds it, do not send."""
        return bool(await self._call("begin", now, delivery.id, delivery.target, delivery.token))

    async def settle(self, settled: Settled, *, now: float) -> Kept:
        """Record an attempt and what follows; "lost" when the lease was taken over, and then nothing changed."""
        return await self._settles.submit((settled, now))

    async def _settle(self, batch: Sequence[tuple[Settled, float]]) -> list[Kept]:
        args: list[Any] = [ATTEMPTS_KEPT]
        for one, _ in batch:
            due = "" if one.due_at is None else ms(one.due_at)
            hold = "" if one.hold_until is None else ms(one.hold_until)
            args += (one.id, one.target, one.token, one.state.value, due, one.reason, one.attempt.to_json())
            breaker = one.breaker
            args += (hold, one.pause or "", one.verdict, breaker.failures, breaker.sample, breaker.share * 100)
            args += (int(breaker.span * 1000), int(breaker.wait * 1000), int(breaker.longest * 1000))
            args += (int(one.attempt.outcome is Outcome.UNKNOWN), int(one.alone))
        return [answer.decode() for answer in await self._call("settle", max(now for _, now in batch), *args)]

    async def renew(self, held: Sequence[Held], *, now: float, lease: float) -> list[bool]:
        """Prolong leases; False for each that was taken over."""
        args: list[Any] = [int(lease * 1000)]
        for one in held:
            args += (one.id, one.target, one.token)
        return [bool(answer) for answer in await self._call("renew", now, *args)]

    async def sweep(self, *, now: float, rank: int, grace: float, most: int) -> tuple[int, int, int]:
        """Repair open events that nobody would find, from `rank` on (0: the oldest).

        A target that no worker served for `grace` seconds is gone.
        Returns how many places were repaired, how many deliveries of vanished targets were parked, and the
        rank to go on from (-1 at the end).
        """
        repaired, parked, following = await self._call("sweep", now, most, rank, int(grace * 1000))
        return repaired, parked, following

    # People --------------------------------------------------------------------------------------

    async def reopen(
        self,
        id_: str,
        target: str,
        *,
        now: float,
        states: Sequence[DeliveryState],
        replay: str | None = None,
        force: bool = False,
        reason: str = "",
    ) -> DeliveryState:
        """One more round for a delivery that is in one of `states`.

        The answer is WAITING, or SUPERSEDED where a newer state of its entity was sent already.
        Raises NotFoundError when there is no such delivery and RefusedError when its state is another.
        """
        answer = await self._call(
            "reopen", now, id_, target, replay or "", int(force), reason or "opened again", " ".join(states)
        )
        if answer[0] == b"superseded":
            return DeliveryState.SUPERSEDED
        _reopened(answer, f"delivery of {id_} to {target}", states)
        return DeliveryState.WAITING

    async def reopen_event(self, id_: str, *, now: float, states: Sequence[EventState]) -> None:
        """Take an event that ended without deliveries through the line once more.

        Raises NotFoundError when there is no such event and RefusedError when it is in none of `states`.
        """
        _reopened(await self._call("reopen_event", now, id_, " ".join(states)), f"event {id_}", states)

    async def cancel(self, id_: str, target: str, *, now: float, reason: str) -> None:
        """End a waiting, parked or dead delivery for good; its lane goes on.

        Raises NotFoundError when there is no such delivery and RefusedError when its state is another.
        """
        answer = await self._call("cancel", now, id_, target, reason)
        _reopened(answer, f"delivery of {id_} to {target}", ("waiting", "parked", "dead"), "cancelled")

    async def pause(self, target: str, *, now: float, by: str, reason: str) -> None:
        """Stop sending to a target; its deliveries wait."""
        await command(self.client, "HSET", self.keys.target(target), "paused", reason, "by", by, "since", ms(now))

    async def resume(self, target: str, *, now: float) -> bool:
        """Send to a target again: ends a pause, a hold and an open breaker, and what failed meanwhile goes now.

        False when nothing was in the way.
        """
        return bool(await self._call("resume", now, target, *_IN_THE_WAY))

    # Life ----------------------------------------------------------------------------------------

    async def heartbeat(
        self, *, now: float, life: float, worker: str, drain: str | None = None, serves: Sequence[str] = ()
    ) -> None:
        """Say that a worker, with the targets it serves, and one drain of it, lives for another `life` seconds."""
        until = now + life
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.zadd(self.keys.workers, {worker: ms(until)})
            pipe.zremrangebyscore(self.keys.workers, "-inf", ms(now - 3600))
            if serves:
                pipe.zadd(self.keys.served, dict.fromkeys(serves, ms(until)))
            if drain is not None:
                pipe.zadd(self.keys.drains, {drain: ms(until)})
                pipe.zremrangebyscore(self.keys.drains, "-inf", ms(now - 3600))
            await pipe.execute()

    async def leave(self, *, worker: str | None = None, drain: str | None = None) -> None:
        """A worker or a drain ends in good order."""
        if worker is not None:
            await command(self.client, "ZREM", self.keys.workers, worker)
        if drain is not None:
            await command(self.client, "ZREM", self.keys.drains, drain)

    async def live(self, *, now: float) -> tuple[int, int]:
        """How many workers and how many drains live."""
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.zcount(self.keys.workers, ms(now), "+inf")
            pipe.zcount(self.keys.drains, ms(now), "+inf")
            workers, drains = await pipe.execute()
        return workers, drains

    async def wake(self, *, count: int = 1) -> None:
        """Ring for blocked drains."""
        await command(self.client, "LPUSH", self.keys.wake, *(["1"] * count))

    async def _call(self, name: str, now: float, *args: Any) -> Any:
        return await self._scripts.call(name, self.keys.prefix, ms(now), *args)


def _reopened(answer: Sequence[bytes], what: str, states: Sequence[str], done: str = "opened again") -> None:
    if answer[0] == b"missing":
        raise NotFoundError(f"there is no {what}")
    if answer[0] == b"refused":
        raise RefusedError(f"the {what} is {answer[1].decode()}; only {', '.join(states)} can be {done}")


def _claimed_event(row: Sequence[Any]) -> ClaimedEvent:
    id_, token, sequence, tries, faults, since, body, newest, portal = row
    return ClaimedEvent(
        id=id_.decode(),
        token=token,
        sequence=sequence,
        tries=tries,
        faults=faults,
        since=float(since) / 1000 if since else None,
        newest=float(newest) / 1000 if newest else None,
        record=Body.read(body).record,
        portal=portal.decode(),
    )


def _claimed_delivery(row: Sequence[Any], *, until: float) -> ClaimedDelivery:
    id_, target, token, sequence, attempt, step, round_, replay, body, at, own, salt, released, ahead = row
    return ClaimedDelivery(
        id=id_.decode(),
        target=target.decode(),
        token=token,
        sequence=sequence,
        attempt=attempt,
        step=step,
        round=round_,
        replay=replay.decode() or None,
        envelope=own or Body.read(body).envelope or b"{}",
        accepted_at=float(at) / 1000,
        lease_until=until,
        salt=salt.decode(),
        released=bool(released),
        ahead=float(ahead) / 1000 if ahead else None,
    )

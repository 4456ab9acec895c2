"""The operation: who is to go, what would, then all of it step by step; begun once, it goes on after any crash.

The order matters. First the tombstone, so that nothing of the person comes in any more. Then what still waits for
them is cancelled, then every place is cleared, and searched and cleared again until a search finds nothing. Last the
store's files are written anew and searched too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pydantic_core
import redis.asyncio as aioredis

from relay import telemetry
from relay.erase.places import Open, Person, Places
from relay.errors import NotFoundError, RefusedError
from relay.events import DeliveryState
from relay.persons import Needles
from relay.pipeline import Outside
from relay.store import rewriting
from relay.store.audit import Audit
from relay.store.client import command
from relay.store.erasing import ErasingStore, Kept
from relay.store.keys import Keys
from relay.store.store import Store, ms
from relay.store.tombstones import KNOWN_AFTER, Cipher, Tombstones

_ROUNDS = 40
# Longer than a call to a target or to Planday may take: what is on the wire ends by then.
_STEP, _PATIENCE = 2.0, 120.0
_LOCK = 300.0
_REASON = "the person was erased"
_SHOWN = 20


class Locks(Protocol):
    """Locks shared by all processes."""

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool: ...

    async def drop_lock(self, name: str, *, owner: str) -> None: ...


class Amounts(Protocol):
    """The ledger of what was paid: what it knows of a person's amounts can go, its hashes stay."""

    async def forget(self, portal: str, employee: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who is to be erased, and by whom and why. `portal` is the name in the configuration."""

    portal: str
    portal_id: int
    employee: str
    by: str
    reason: str = ""
    cancel_parked: bool = False


class Erasures:
    """Plans, begins and runs erasures; the one door for CLI, API and worker."""

    def __init__(
        self,
        *,
        client: aioredis.Redis,
        store: Store,
        keys: Keys,
        tombstones: Tombstones,
        cipher: Cipher,
        audit: Audit,
        locks: Locks,
        outside: Outside,
        amounts: Amounts | None = None,
        data_dir: Path | None = None,
    ) -> None:
        """`data_dir` is the folder of the embedded store; None: the Redis is not ours, nor are its files."""
        self._store = store
        self._keys = keys
        self._client = client
        self._erasing = ErasingStore(client, keys)
        self._tombstones = tombstones
        self._cipher = cipher
        self._audit = audit
        self._locks = locks
        self._outside = outside
        self._amounts = amounts
        self._data_dir = data_dir

    # Before ------------------------------------------------------------------------------------------

    async def plan(self, order: Order) -> dict[str, Any]:
        """What an erasure would do: counts, and each delivery that still has work left. Changes nothing."""
        nobody = _nobody(order)
        places = Places(self._erasing, nobody, self._outside.clock)
        hits = await places.search()
        telling = places.telling(*await places.events(hits), hits)
        places = Places(self._erasing, replace(nobody, needles=Needles(order.employee, telling)), self._outside.clock)
        hits = await places.search()
        about, mentioning = await places.events(hits)
        waiting = [one for kept in about for one in places.open_deliveries(kept)]
        kinds = {"fs": "snapshots", "quarantine": "quarantined", "plan": "plans", "audit": "acts", "pd": "cached"}
        beside: dict[str, int] = {}
        for one in hits.values:
            if (name := kinds.get(one.key.partition(":")[0])) is not None and one.type != "":
                beside[name] = beside.get(name, 0) + 1
        return {
            "events": len(about),
            "mentions": len(mentioning),
            "unrouted_yet": sum(kept.state == "accepted" for kept in about),
            "open": _counted(waiting),
            "open_deliveries": [
                {"event": one.event, "target": one.target, "type": one.type, "state": one.state}
                for one in waiting[:_SHOWN]
            ],
            **beside,
            "keys_searched": hits.keys,
            "known": await self._is_erased(order),
        }

    async def begin(self, order: Order) -> str:
        """Note an erasure, so that it goes on whatever happens; its id. Raises RefusedError while something is parked.

        What is parked may have reached its target: a person decides that first, or says so with `cancel_parked`.
        """
        places = Places(self._erasing, _nobody(order), self._outside.clock)
        about, _ = await places.events(await places.search())
        parked = [one for kept in about for one in places.open_deliveries(kept) if one.state == DeliveryState.PARKED]
        if parked and not order.cancel_parked:
            names = ", ".join(f"{one.event} to {one.target}" for one in parked[:_SHOWN])
            raise RefusedError(
                f"{len(parked)} deliveries of this person are parked, and nobody knows whether their targets have them "
                f"({names}): release or cancel them first, or cancel them with the person (--cancel-parked). "
                "Nothing was changed"
            )
        erasure = f"era_{secrets.token_hex(6)}"
        now = self._outside.clock()
        await self._note(
            erasure,
            {
                "id": erasure,
                "portal": order.portal,
                "portal_id": order.portal_id,
                "person": self._cipher.encrypt(order.employee),
                "by": order.by,
                "reason": order.reason,
                "cancel_parked": order.cancel_parked,
                "begun_at": now,
            },
        )
        await command(self._client, "ZADD", self._keys.erasures, ms(now), erasure)
        return erasure

    async def status(self, erasure: str) -> dict[str, Any]:
        """What is noted of an erasure; whom it is about is told nowhere. Raises NotFoundError."""
        facts = await self._facts(erasure)
        for secret in ("person", "telling"):
            facts.pop(secret, None)
        facts["state"] = "ended" if "ended_at" in facts else "running"
        return facts

    async def undo(self, order: Order) -> bool:
        """Take a tombstone away, so that what comes from now on is taken in again; False: there was none.

        What was erased stays so.
        """
        lifted = await self._tombstones.remove(order.portal_id, order.employee)
        if lifted:
            name = await self._tombstones.pseudonym(order.portal_id, order.employee)
            await self._audit.record(
                by=order.by,
                act="erase.undo",
                on=f"{order.portal}:{name}",
                reason=order.reason,
                result="taken in again",
                now=self._outside.clock(),
            )
        return lifted

    async def unfinished(self) -> list[str]:
        """Erasures that were begun and have not ended; whoever runs one holds its lock."""
        newest = [raw.decode() for raw in await command(self._client, "ZREVRANGE", self._keys.erasures, 0, 49)]
        return [
            one for one in newest if not await command(self._client, "HEXISTS", self._keys.erasure(one), "ended_at")
        ]

    # The run -----------------------------------------------------------------------------------------

    async def run(self, erasure: str) -> dict[str, Any] | None:
        """Do what was begun, from wherever it stands; its result, or None while another process is at it.

        Safe to call again after a crash, and after its end: then it answers what came of it.
        """
        facts = await self._facts(erasure)
        if "ended_at" in facts:
            return await self.status(erasure)
        owner = secrets.token_hex(8)
        if not await self._locks.take_lock(f"erase:{erasure}", owner=owner, seconds=_LOCK):
            return None
        try:
            return await self._run(erasure, facts)
        finally:
            await self._locks.drop_lock(f"erase:{erasure}", owner=owner)

    async def finish(self, erasure: str) -> dict[str, Any]:
        """Run it, or wait for the process that does; its result."""
        while (result := await self.run(erasure)) is None:
            await self._outside.sleep(1.0)
        return result

    async def _run(self, erasure: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        employee = self._cipher.decrypt(facts["person"])
        if employee is None:
            raise RefusedError(
                f"none of the encryption keys opens whom {erasure} is about: put the key back that was in use when it "
                "began, and run it again"
            )
        portal = int(facts["portal_id"])
        await self._tombstones.add(portal, employee)
        # From then on no process takes anything of the person in.
        await self._outside.sleep(KNOWN_AFTER * 2)
        amounts = await self._forget_amounts(portal, employee)
        places = await self._told(erasure, facts, portal, employee)
        waited, cancelled = 0.0, 0
        for _ in range(_ROUNDS):
            hits = await places.search()
            about, mentioning = await places.events(hits)
            if not about and not mentioning and not hits.values:
                break
            late = 0
            for kept in about:
                cancelled += await self._cancel(places, kept, cancel_parked=bool(facts["cancel_parked"]))
                fresh = await self._erasing.kept(kept.id)
                late += fresh is not None and not await places.skeletonise(fresh)
            for kept in mentioning:
                await places.cut(kept)
            for one in hits.values:
                await places.clear(one)
            if late:
                if waited >= _PATIENCE:
                    break
                await self._outside.sleep(_STEP)
                waited += _STEP
        # Once more: what was on the wire at the beginning has written its line by now.
        amounts += await self._forget_amounts(portal, employee)
        return await self._end(erasure, facts, places, cancelled=cancelled, amounts=amounts)

    async def _told(self, erasure: str, facts: Mapping[str, Any], portal: int, employee: str) -> Places:
        """With what tells who the person is: read once, before any of it is gone, and kept encrypted until the end."""
        if "telling" in facts:
            values = pydantic_core.from_json(self._cipher.decrypt(facts["telling"]) or "[]")
        else:
            places = Places(self._erasing, await self._person(portal, employee), self._outside.clock)
            hits = await places.search()
            values = sorted(places.telling(*await places.events(hits), hits))
            await self._note(erasure, {"telling": self._cipher.encrypt(pydantic_core.to_json(values).decode())})
        return Places(self._erasing, await self._person(portal, employee, frozenset(values)), self._outside.clock)

    async def _cancel(self, places: Places, kept: Kept, *, cancel_parked: bool) -> int:
        cancelled = 0
        for one in places.open_deliveries(kept):
            if one.state == DeliveryState.WAITING or (one.state == DeliveryState.PARKED and cancel_parked):
                try:
                    await self._store.cancel(one.event, one.target, now=self._outside.clock(), reason=_REASON)
                except (NotFoundError, RefusedError):
                    continue  # it went on the wire, or came to its end, at this moment
                cancelled += 1
        return cancelled

    async def _end(
        self, erasure: str, facts: Mapping[str, Any], places: Places, *, cancelled: int, amounts: int
    ) -> dict[str, Any]:
        hits = await places.search()
        about, mentioning = await places.events(hits)
        left = [one for kept in about for one in places.open_deliveries(kept)]
        keys = sorted({one.key.partition(":")[0] for one in hits.values})
        needles = places.needles
        rewritten = await rewriting.rewrite(self._client, plain=self._data_dir is not None, sleep=self._outside.sleep)
        files: dict[str, Any] = {"ours": self._data_dir is not None, "rewritten": rewritten.done, "why": rewritten.why}
        if self._data_dir is not None and rewritten.done:
            remaining = await rewriting.clear(self._data_dir, sleep=self._outside.sleep)
            count, found = await asyncio.to_thread(rewriting.search_files, self._data_dir, needles.within)
            files |= {"searched": count, "found": found, "old": [path.name for path in remaining]}
        found_in_keys = len(about) + len(mentioning) + len(hits.values)
        proven = not found_in_keys and rewritten.done and not files.get("found") and not files.get("old")
        result = {
            **dict(places.cleared),
            "deliveries_cancelled": cancelled,
            "amounts": amounts,
            "values": len(needles),
            "keys_searched": hits.keys,
            "left": found_in_keys,
            "left_in": keys,
            "left_open": _counted(left),
            "files": files,
            "proven": proven,
        }
        now = self._outside.clock()
        await self._note(erasure, {"result": result, "ended_at": now})
        # Kept only as long as it takes.
        await command(self._client, "HDEL", self._keys.erasure(erasure), "person", "telling")
        await self._audit.record(
            by=facts["by"],
            act="erase",
            on=f"{facts['portal']}:{places.pseudonym}",
            reason=facts["reason"],
            result="proven" if proven else "something is left",
            now=now,
        )
        self._outside.record(telemetry.Erased(erasure=erasure, by=facts["by"], proven=proven, found=found_in_keys))
        return await self.status(erasure)

    async def _forget_amounts(self, portal: int, employee: str) -> int:
        return 0 if self._amounts is None else await self._amounts.forget(str(portal), employee)

    # Parts -------------------------------------------------------------------------------------------

    async def _person(self, portal: int, employee: str, telling: frozenset[str] = frozenset()) -> Person:
        name = await self._tombstones.pseudonym(portal, employee)
        return Person(portal=portal, needles=Needles(employee, telling), pseudonym=name)

    async def _is_erased(self, order: Order) -> bool:
        gone = await self._tombstones.of(order.portal_id)
        return gone is not None and gone(order.employee)

    async def _facts(self, erasure: str) -> dict[str, Any]:
        raw: dict[bytes, bytes] = await command(self._client, "HGETALL", self._keys.erasure(erasure))
        if not raw:
            raise NotFoundError(f"there is no erasure {erasure}")
        return {name.decode(): pydantic_core.from_json(value) for name, value in raw.items()}

    async def _note(self, erasure: str, facts: Mapping[str, Any]) -> None:
        pairs = [part for name, value in facts.items() for part in (name, pydantic_core.to_json(value))]
        await command(self._client, "HSET", self._keys.erasure(erasure), *pairs)


def _nobody(order: Order) -> Person:
    """Whom to look for; without a tombstone, nothing takes the place of their id yet."""
    return Person(portal=order.portal_id, needles=Needles(order.employee), pseudonym="")


def _counted(deliveries: list[Open]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in deliveries:
        found[one.state] = found.get(one.state, 0) + 1
    return found

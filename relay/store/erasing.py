"""What erasing asks of the store: read every value of every key, and change one without losing another's write.

Nothing is changed that is not still what was read: what changed meanwhile is found again by the next search.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic_core
import redis.asyncio as aioredis

from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms
from relay.store.work import Body

# Redis does nothing else meanwhile: this is less than ten milliseconds.
_KEYS_AT_ONCE = 250
_FIELDS_AT_ONCE = 500

Type = Literal["string", "hash", "list", "zset", "set"]


@dataclass(frozen=True, slots=True)
class Value:
    """One value in the store: its key without our prefix, the key's type, field, index or member, what stands there."""

    key: str
    type: str
    place: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one event, for whoever takes a person out of it."""

    id: str
    state: str
    lane: str
    targets: tuple[str, ...]
    body: bytes
    own: Mapping[str, bytes]
    """Per target the envelope of its own, where a delivery has one."""
    deliveries: Mapping[str, str]
    """Per target the state of its delivery."""
    erased: bool

    @property
    def portal(self) -> str:
        return self.lane.partition(":")[0]

    @property
    def record(self) -> dict[str, Any]:
        return dict(pydantic_core.from_json(Body.read(self.body).record))

    @property
    def envelope(self) -> dict[str, Any] | None:
        raw = Body.read(self.body).envelope
        return dict(pydantic_core.from_json(raw)) if raw else None


class ErasingStore:
    """Search and change. Raises StoreError when Redis does not do what is asked."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self.client = client
        self._keys = keys
        self._scripts = Scripts(client)

    # Looking ---------------------------------------------------------------------------------------

    async def search(self, texts: Sequence[bytes]) -> AsyncIterator[tuple[int, list[Value]]]:
        """Every key below our prefix and every value in it, some at a time: how many keys, and what may hold a text.

        `texts` are in lower case. A key whose name holds one is a value of type "".
        """
        cursor: Any = 0
        pattern = f"{_literal(self._keys.prefix)}*"
        while True:
            cursor, looked, found, large = await self._call(
                "erase_search", 0.0, cursor, pattern, _KEYS_AT_ONCE, _FIELDS_AT_ONCE, *texts
            )
            values = [Value(_text(key), _text(type_), _text(place), text) for key, type_, place, text in found]
            for key, type_ in large:
                values += [one async for one in self._large(_text(key), _text(type_), texts)]
            yield looked, values
            if int(cursor) == 0:
                return

    async def _large(self, name: str, kind: str, texts: Sequence[bytes]) -> AsyncIterator[Value]:
        """What may hold a text in a key of any size, in steps."""
        key, place = self._keys.prefix + name, 0
        scan = {"hash": "HSCAN", "zset": "ZSCAN", "set": "SSCAN"}.get(kind)
        while True:
            if scan is None:
                answer: Any = await command(self.client, "LRANGE", key, place, place + _FIELDS_AT_ONCE - 1)
                values = [Value(name, kind, str(place + n), text) for n, text in enumerate(answer)]
                place = place + len(answer) if answer else 0
            else:
                raw, answer = await command(self.client, scan, key, place, "COUNT", _FIELDS_AT_ONCE)
                place = int(raw)
                values = _members(name, kind, answer)
            for one in values:
                plain = one.text.lower()
                if any(text in plain for text in texts):
                    yield one
            if place == 0:
                return

    async def kept(self, id_: str) -> Kept | None:
        """One event with all that is kept of it; None for one that is gone."""
        keys = self._keys
        with translated():
            pipe = self.client.pipeline(transaction=True)
            pipe.hmget(keys.event(id_), ["st", "lane", "tg", "er"])
            pipe.get(keys.body(id_))
            (state, lane, targets, erased), body = await pipe.execute()
        if state is None or lane is None or body is None:
            return None
        names = (targets or b"").decode().split()
        answers = await self._ask(
            [
                *(("GET", f"b:{id_}:{target}") for target in names),
                *(("HGET", f"d:{id_}:{target}", "st") for target in names),
            ]
        )
        return Kept(
            id=id_,
            state=state.decode(),
            lane=lane.decode(),
            targets=tuple(names),
            body=body,
            own={target: own for target, own in zip(names, answers, strict=False) if own is not None},
            deliveries={
                target: at.decode() for target, at in zip(names, answers[len(names) :], strict=True) if at is not None
            },
            erased=erased is not None,
        )

    async def attempts(self, id_: str, target: str) -> list[bytes]:
        """The kept attempts of one delivery as they stand there."""
        raw: list[bytes] = await command(self.client, "LRANGE", self._keys.attempts(id_, target), 0, -1)
        return raw

    async def reasons(self, id_: str, targets: Sequence[str]) -> list[tuple[str, bytes]]:
        """The reasons that are kept with an event and its deliveries, with the key that each stands under."""
        names = [f"e:{id_}", *(f"d:{id_}:{target}" for target in targets)]
        answers = await self._ask([("HGET", name, "why") for name in names])
        return [(name, text) for name, text in zip(names, answers, strict=True) if text]

    # Changing --------------------------------------------------------------------------------------

    async def swap(self, kind: Type, key: str, place: str | int, old: bytes, new: bytes, *, now: float) -> bool:
        """Put another value in the place of one; False when somebody wrote it meanwhile, and then nothing changed."""
        return bool(await self._call("swap", now, kind, key, place, old, new))

    async def end_event(
        self,
        id_: str,
        *,
        now: float,
        employee: str,
        lane: str,
        read: bytes,
        body: bytes,
        reason: str,
        token: int | None = None,
    ) -> str:
        """Leave a skeleton of an event: "erased", "missing", or why not now ("busy", "open", "changed").

        `lane` takes the place of its own ("": it stays); `token` is that of whoever holds the event under lease.
        """
        held = "" if token is None else token
        answer: bytes = await self._call("erase_event", now, id_, held, employee, lane, read, body, reason)
        return answer.decode()

    async def forget_person(self, id_: str, *, portal: str, employee: str, now: float) -> None:
        """Find an event by this person no more; it is about somebody else."""
        raw = await command(self.client, "HGET", self._keys.event(id_), "emp")
        if raw is not None and employee in (people := raw.decode().split()):
            left = " ".join(one for one in people if one != employee).encode()
            await self.swap("hash", f"e:{id_}", "emp", raw, left, now=now)
        await command(self.client, "ZREM", self._keys.events_of(portal, employee), id_)

    async def remove_snapshot(self, key: str, record: str) -> None:
        """Forget how the feed saw one record; its day too."""
        days = "fx:" + key.removeprefix("fs:")
        with translated():
            pipe = self.client.pipeline(transaction=True)
            pipe.hdel(self._keys.prefix + key, record)
            pipe.zrem(self._keys.prefix + days, record)
            await pipe.execute()

    async def remove_key(self, key: str) -> bool:
        """Remove a whole key; False when it was gone already."""
        return bool(await command(self.client, "UNLINK", self._keys.prefix + key))

    async def remove_member(self, key: str, kind: str, member: str) -> None:
        """Take one out of a set."""
        await command(self.client, "ZREM" if kind == "zset" else "SREM", self._keys.prefix + key, member)

    async def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Several reads of keys below our prefix in one go; the second word of each is its key."""
        if not commands:
            return []
        with translated():
            pipe: Any = self.client.pipeline(transaction=False)
            for verb, key, *rest in commands:
                pipe.execute_command(verb, self._keys.prefix + key, *rest)
            answers: list[Any] = await pipe.execute()
        return answers

    async def _call(self, name: str, now: float, *args: Any) -> Any:
        return await self._scripts.call(name, self._keys.prefix, ms(now), *args)


def _members(name: str, kind: str, answer: Any) -> list[Value]:
    if kind != "hash":
        members = [one[0] if isinstance(one, tuple) else one for one in answer]
        return [Value(name, kind, _text(one), one) for one in members]
    return [Value(name, kind, _text(field), text) for field, value in answer.items() for text in (field, value)]


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw


def _literal(prefix: str) -> str:
    return "".join(f"\\{char}" if char in "*[]?\\^" else char for char in prefix)

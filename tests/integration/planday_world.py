"""A simulated Planday, a real Redis and any number of relay processes between them, all on one stepped clock."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import redis.asyncio
from cryptography.fernet import Fernet

from relay.events import Event
from relay.fields import FieldList, Keep
from relay.planday.client import PlandayCalled
from relay.planday.enrich import Enrichment, Planday
from relay.settings.models import Portal
from relay.settings.values import Secret, Text
from relay.simulator import Clock, create_simulator
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import CLIENT_ID, REFRESH_TOKENS
from relay.simulator.simulator import Simulator
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.store.keys import Keys
from relay.store.shared import SharedState
from relay.store.tombstones import Tombstones

NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)
NEUTRAL = ("class:A", "class:B")
NAMES = {"bistro": BISTRO, "harbour": HARBOUR}


class World:
    """`planday()` is another process each time: it shares nothing with the others but Redis."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, **simulator: Any) -> None:
        self.clock = Clock(stopped_at=NOON)
        self.app = create_simulator(clock=self.clock, **simulator)
        self.simulator: Simulator = self.app.state.simulator
        self.redis = client
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.shared = SharedState(client, self.keys)
        self.encryption_key = Fernet.generate_key()
        self.cipher = FernetCipher([self.encryption_key])
        self.tombstones = Tombstones(client, self.keys, self.cipher, self.now)
        self.calls: list[PlandayCalled] = []

    def now(self) -> float:
        return self.clock.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Nobody waits in a test: time moves instead."""
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def _sleep(self, seconds: float) -> None:
        await self.sleep(seconds)  # looked up late: a test may put another one in its place

    def generous(self) -> None:
        """Rate limits that no test meets by accident; the live header tells the client."""
        self.simulator.settings.change(
            {
                "portal_per_second": 5000,
                "portal_per_minute": 90000,
                "client_per_second": 5001,
                "client_per_minute": 90001,
            }
        )

    def portal(self, name: str = "bistro", *, token: str | None = None) -> Portal:
        number = NAMES[name]
        return Portal(
            id=number,
            client_id=Text("(written in the file)", value=CLIENT_ID),
            refresh_token=Secret("env:TOKEN", value=token or REFRESH_TOKENS[number]),
            api_url="http://planday.test",
            identity_url="http://planday.test",
        )

    def planday(
        self,
        *entries: str,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        cipher: FernetCipher | None = None,
        max_wait: float = 2.0,
        portals: Mapping[str, Portal] | None = None,
    ) -> Planday:
        chosen = portals or {name: self.portal(name, token=token if name == "bistro" else None) for name in NAMES}
        way = transport or httpx.ASGITransport(self.app)
        return Planday(
            chosen,
            transports=dict.fromkeys(chosen, way),
            shared=self.shared,
            cipher=cipher or self.cipher,
            keep=Keep([FieldList(entries or NEUTRAL)]),
            clock=self.now,
            sleep=self._sleep,
            notify=self.calls.append,
            max_wait=max_wait,
            erased=self.tombstones,
        )

    def event(self, type_: str, number: int | str, *, portal: int = BISTRO, **more: Any) -> Event:
        entity = type_.split(".")[1]
        name = secrets.token_hex(4)
        values: dict[str, Any] = {"received_at": self.now(), **more}
        return Event(
            id=f"evt_{name}",
            source="planday",
            sender_id=name,
            type=type_,
            portal=portal,
            entity=entity,
            entity_id=str(number),
            **values,
        )

    async def enrich(self, planday: Planday, type_: str, number: int | str, **more: Any) -> Enrichment:
        return await planday.enrich(self.event(type_, number, **more), now=self.now())

    def asked(self) -> Counter[str]:
        """How often each endpoint was called, counted by the far side."""
        return Counter({name.partition(" ")[2]: count for name, count in self.simulator.log.by_endpoint.items()})

    def unexpected(self) -> list[str]:
        return [oddity for seen in self.simulator.log.unexpected for oddity in seen.unexpected]

    async def dump(self) -> str:
        """Everything under the prefix, names and values, as one text."""
        parts: list[str] = []
        async for key in self.redis.scan_iter(match=f"{self.prefix}*", count=1000):
            kind = await self.redis.type(key)
            reads = {b"string": ("GET",), b"list": ("LRANGE", 0, -1), b"zset": ("ZRANGE", 0, -1), b"set": ("SMEMBERS",)}
            verb, *rest = reads.get(kind, ("HGETALL",))
            value = await command(self.redis, verb, key, *rest)
            parts += [key.decode(), str(value)]
        return "\n".join(parts)

"""What lies beside the line: the bounded quarantine, and the data format's version."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError, StoreUnfit
from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys

# Raised when a release writes what an older one cannot read; `relay migrate` brings older data up.
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A body that was signed by a source but could not be read. Times in seconds.

    `webhook_id` is that header, which may stand in for an id. `whole`: `body` is, byte for byte, what was sent.
    """

    id: str
    source: str
    at: float
    reason: str
    content_type: str
    body: str
    webhook_id: str | None = None
    whole: bool = True

    def to_json(self) -> bytes:
        return pydantic_core.to_json(
            {
                "id": self.id,
                "src": self.source,
                "at": self.at,
                "r": self.reason,
                "ct": self.content_type,
                "b": self.body,
                "wid": self.webhook_id,
                "all": self.whole,
            }
        )

    @classmethod
    def from_json(cls, raw: bytes) -> Quarantined:
        body = pydantic_core.from_json(raw)
        return cls(
            id=body["id"],
            source=body["src"],
            at=body["at"],
            reason=body["r"],
            content_type=body["ct"],
            body=body["b"],
            webhook_id=body.get("wid"),
            whole=body.get("all", True),
        )


class Shelf:
    """Small things kept in Redis that are no part of an event's way."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    # Quarantine ----------------------------------------------------------------------------------

    async def quarantine(self, one: Quarantined, *, most: int) -> None:
        """Keep a body; the oldest makes room."""
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.lpush(self._keys.quarantine, one.to_json())
            pipe.ltrim(self._keys.quarantine, 0, max(most - 1, 0))
            await pipe.execute()

    async def quarantined(self, *, limit: int, offset: int = 0) -> list[Quarantined]:
        """Kept bodies, newest first."""
        raw = await command(self._client, "LRANGE", self._keys.quarantine, offset, offset + limit - 1)
        return [Quarantined.from_json(one) for one in raw]

    async def quarantined_one(self, id_: str) -> Quarantined:
        """One kept body. Raises NotFoundError."""
        for one in await self.quarantined(limit=100_000):
            if one.id == id_:
                return one
        raise NotFoundError(f"there is no {id_} in the quarantine; the oldest are dropped when it is full")

    async def unshelve(self, ids: Collection[str]) -> int:
        """Take bodies out of the quarantine; how many were still there."""
        if not ids:
            return 0
        raw = await command(self._client, "LRANGE", self._keys.quarantine, 0, -1)
        with translated():
            pipe = self._client.pipeline(transaction=True)
            for one in raw:
                if Quarantined.from_json(one).id in ids:
                    pipe.lrem(self._keys.quarantine, 1, one)
            return sum(await pipe.execute())

    # Format --------------------------------------------------------------------------------------

    async def data_format(self) -> int | None:
        """The version of the data in this Redis, None when there are none of ours."""
        raw = await command(self._client, "GET", self._keys.format)
        return int(raw) if raw is not None else None

    async def claim_format(self) -> None:
        """Mark new data with our version; raises StoreUnfit when the data are of another one."""
        await command(self._client, "SET", self._keys.format, FORMAT, "NX")
        found = await self.data_format()
        if found is not None and found > FORMAT:
            raise StoreUnfit(
                f"the data in this Redis have format {found}, this release reads up to {FORMAT}: "
                "run the release that wrote them; nothing was changed"
            )
        if found is not None and found < FORMAT:
            raise StoreUnfit(
                f"the data in this Redis have format {found}, this release needs {FORMAT}: "
                "stop all processes, then run `relay migrate`; nothing was changed"
            )

"""Which message of a chat target began what it was told of a record; forgotten after a while."""

from __future__ import annotations

import hashlib

import redis.asyncio as aioredis

from relay.store.client import command
from relay.store.keys import Keys


class Threads:
    """The messages of all chat targets. Raises StoreError when the store does not answer."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def find(self, target: str, record: str) -> str | None:
        """The message of a record at a target, or None."""
        found: bytes | None = await command(self._client, "GET", self._key(target, record))
        return None if found is None else found.decode()

    async def remember(self, target: str, record: str, message: str, *, seconds: float) -> None:
        """Keep it for so long, counted anew."""
        await command(self._client, "SET", self._key(target, record), message, "EX", max(int(seconds), 1))

    async def forget(self, target: str, record: str) -> None:
        """The message is not there any more."""
        await command(self._client, "DEL", self._key(target, record))

    def _key(self, target: str, record: str) -> str:
        # A record can be an employee: its id is nobody's business here, and has no index to be erased by.
        return self._keys.thread(target, hashlib.blake2b(record.encode(), digest_size=12).hexdigest())

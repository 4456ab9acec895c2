"""Memory headroom: new events are refused while workers can still write, so that Redis never has to refuse them.

A Redis that is full refuses every write, also the outcome of what was just sent: then it would be sent again.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio as aioredis

from relay.errors import StoreFull
from relay.store.client import translated

# Of a Redis with a limit of its own, and of the machine where it has none.
_SHARE_OF_LIMIT = 0.9
_SHARE_OF_MACHINE = 0.8
_LOOK_EVERY = 1.0


class Headroom:
    """Whether the store has room for new events; asks it once a second at most, and while it is full at every try."""

    def __init__(self, client: aioredis.Redis, *, limit: int | None) -> None:
        """`limit` in bytes; None: nine tenths of Redis's own maxmemory, else eight tenths of the machine's memory."""
        self._client = client
        self._limit = limit
        self._looked_at: float | None = None
        self._full: str | None = None

    async def demand(self, *, now: float) -> None:
        """Raises StoreFull when there is no room, StoreUnavailable when the store does not answer."""
        if self._full is not None or self._looked_at is None or not 0 <= now - self._looked_at < _LOOK_EVERY:
            self._full = await self._look()
            self._looked_at = now
        if self._full is not None:
            raise StoreFull(self._full)

    async def _look(self) -> str | None:
        with translated():
            memory: dict[str, Any] = await self._client.info("memory")
        used, limit = int(memory["used_memory"]), self._limit or default_limit(memory)
        if limit is None or used < limit:
            return None
        return (
            f"Redis uses {used // 2**20} MiB of the {limit // 2**20} MiB that it may: nothing new is accepted until "
            "there is room, what was accepted goes on. Give Redis more memory, or see what waits: relay stats"
        )


def default_limit(memory: dict[str, Any]) -> int | None:
    """From how many bytes on new events are refused, where no setting says it; None: never."""
    if own := int(memory.get("maxmemory") or 0):
        return int(own * _SHARE_OF_LIMIT)
    if machine := int(memory.get("total_system_memory") or 0):
        return int(machine * _SHARE_OF_MACHINE)
    return None

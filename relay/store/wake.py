"""Waiting for work: a blocking pop on a connection of its own.

What it pops is only a hint (a cancelled pop may swallow one), so nobody relies on it: every wait has an end.
"""

from __future__ import annotations

import asyncio

from relay.store.client import command, connect
from relay.store.keys import Keys

_LONGEST_BLOCK = 2.0


class WakeList:
    """Blocks until something may be due, at most for the given time."""

    def __init__(self, url: str, keys: Keys) -> None:
        # The socket's limit must be longer than the block, or the pop would look like a dead server.
        self._client = connect(url, socket_timeout=_LONGEST_BLOCK + 3.0, max_connections=8)
        self._keys = keys

    async def wait(self, seconds: float) -> bool:
        """True when something rang. Blocks at most `seconds`, and two seconds in any case."""
        block = min(max(seconds, 0.0), _LONGEST_BLOCK)
        if block < 0.01:
            await asyncio.sleep(block)
            return False
        return await command(self._client, "BLPOP", self._keys.wake, f"{block:.3f}") is not None

    async def aclose(self) -> None:
        await self._client.aclose()

"""New events as they come in, for a list that lives: a stream of server-sent events out of one query a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from relay.events import EventRecord
from relay.services import EventFilter
from relay.store.reading import Reading

_EVERY = 1.0
# Receivers' clocks differ a little, and what was accepted first is not always seen first.
_BACK = 2.0
_MOST = 50
# A browser comes back by itself; a stream that ends now and then finds out whether its session still holds.
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Found:
    """What is new, oldest first; nothing: a sign of life."""

    rows: tuple[EventRecord, ...]

    def render(self, row: Callable[[EventRecord], str]) -> str:
        """The message: one `row` event per row, its markup on one line."""
        if not self.rows:
            return ": still here\n\n"
        return "".join(f"event: row\ndata: {' '.join(row(one).split())}\n\n" for one in self.rows)


class Tail:
    """Follows the events that fit a filter from a moment on."""

    def __init__(self, reading: Reading, wanted: EventFilter, *, now: float) -> None:
        self._reading = reading
        self._wanted = wanted
        self._since = now
        self._begin = now
        self._seen: dict[str, float] = {}

    async def look(self) -> Found:
        """What came in since the last look. Raises StoreError."""
        wanted = replace(self._wanted, since=max(self._since - _BACK, self._begin), until=None)
        page = await self._reading.list_events(wanted, limit=_MOST)
        new = [one for one in reversed(page.rows) if one.event.id not in self._seen]
        for one in new:
            self._seen[one.event.id] = one.event.received_at
            self._since = max(self._since, one.event.received_at)
        self._seen = {id_: at for id_, at in self._seen.items() if at >= self._since - _BACK}
        return Found(tuple(new))

    async def follow(
        self,
        *,
        stopping: Callable[[], bool],
        gone: Callable[[], Awaitable[bool]],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[Found]:
        """Look once a second, until the relay stops, the browser is gone, or it has been long enough."""
        for _ in range(_LONGEST):
            if stopping() or await gone():
                return
            yield await self.look()
            await wait(_EVERY)

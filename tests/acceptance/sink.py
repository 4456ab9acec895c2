"""A far side of our own: raw asyncio on the loopback, counts every request that came whole, answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(slots=True)
class Arrival:
    """One whole request; `answered_at` is set when the last byte of the answer was handed over."""

    path: str
    key: str
    event: str
    attempt: str
    headers: dict[str, str]
    body: bytes
    at: float
    status: int = 0
    answered_at: float | None = None

    @property
    def envelope(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Sink:
    """`delay` seconds before each answer; `decide` gives the status of each, `say` its body. Times are monotonic."""

    def __init__(
        self,
        *,
        delay: float = 0.0,
        decide: Callable[[Arrival], int] = lambda _: 202,
        say: Callable[[Arrival], bytes] = lambda _: b"ok",
    ) -> None:
        self.delay = delay
        self.decide = decide
        self.say = say
        self.arrivals: list[Arrival] = []
        self.by_event: dict[str, list[Arrival]] = defaultdict(list)
        self.under_way: dict[int, Arrival] = {}
        self.port = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()  # one per open connection

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def counts(self) -> Counter[str]:
        """Requests per idempotency key."""
        return Counter(arrival.key for arrival in self.arrivals)

    @property
    def doubled(self) -> int:
        """Requests beyond the first of each key."""
        return len(self.arrivals) - len(self.counts)

    @property
    def connections(self) -> int:
        return len(self._tasks)

    async def until(self, check: Callable[[], bool], *, within: float) -> bool:
        """Wait until `check` holds, looking whenever something happened; False when time ran out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not check():
                    self._changed.clear()
                    await self._changed.wait()
        return check()

    async def more_than(self, count: int, *, within: float) -> bool:
        """Wait until more requests than that have come."""
        return await self.until(lambda: len(self.arrivals) > count, within=within)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the far end of the connection was killed, which is what most of these tests do
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        pairs = (field.partition(":") for field in fields)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        arrival = Arrival(
            path=line.split(" ")[1],
            key=headers.get("idempotency-key", ""),
            event=headers.get("webhook-id", ""),
            attempt=headers.get("planday-relay-attempt", ""),
            headers=headers,
            body=await reader.readexactly(int(headers.get("content-length", "0"))),
            at=time.monotonic(),
        )
        self.arrivals.append(arrival)
        self.by_event[arrival.event].append(arrival)
        self.under_way[id(arrival)] = arrival
        self._changed.set()
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            arrival.status = self.decide(arrival)
            body = self.say(arrival)
            writer.write(f"HTTP/1.1 {arrival.status} Answer\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            arrival.answered_at = time.monotonic()
        finally:
            del self.under_way[id(arrival)]
            self._changed.set()

"""Targets of the bench on one loopback port: each path answers in its own way and notes what comes. Raw asyncio, so
that it is not the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self, cast


@dataclass(slots=True)
class Far:
    """One target's far side: how it answers, and what it saw. Times are wall clock, in seconds."""

    status: int = 202
    delay: float = 0.0
    arrivals: dict[str, float] = field(default_factory=dict)
    """Event id -> when it came first."""
    starts: list[float] = field(default_factory=list)
    """When each request had come whole, in order."""
    note: Callable[[Mapping[bytes, bytes]], None] | None = None
    """Hears the headers of each request, in lower case."""
    under_way: int = 0
    most_under_way: int = 0

    def clear(self) -> None:
        """Forget what came."""
        self.arrivals.clear()
        self.starts.clear()
        self.most_under_way = self.under_way

    def most_in(self, seconds: float) -> int:
        """The most requests in any window of that length."""
        most = first = 0
        for last, at in enumerate(self.starts):
            while at - self.starts[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    async def wait_for(self, count: int, *, seconds: float) -> bool:
        """Until so many different events arrived; False when time ran out."""
        end = time.monotonic() + seconds
        while len(self.arrivals) < count:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.01)
        return True


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            line, *lines = head.split(b"\r\n")
            headers = dict(entry.lower().split(b":", 1) for entry in lines if b":" in entry)
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            far = self._sink.far(line.split(b" ")[1].decode())
            now = time.time()
            far.starts.append(now)
            far.arrivals.setdefault(headers.get(b"webhook-id", b"?").strip().decode(), now)
            if far.note is not None:
                far.note(headers)
            far.under_way += 1
            far.most_under_way = max(far.most_under_way, far.under_way)
            if far.delay:
                asyncio.get_running_loop().call_later(far.delay, self._answer, far)
            else:
                self._answer(far)

    def _answer(self, far: Far) -> None:
        far.under_way -= 1
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %d Answer\r\ncontent-length: 0\r\n\r\n" % far.status)


class Sink:
    """Listens on a free loopback port while it is entered; a path that was never asked for answers 202 at once."""

    def __init__(self) -> None:
        self.port = 0
        self._fars: dict[str, Far] = {}

    def far(self, path: str = "/hook") -> Far:
        """The far side behind one path."""
        return self._fars.setdefault(path, Far())

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

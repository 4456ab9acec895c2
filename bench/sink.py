"""A target that answers 202 to everything and notes each arrival; raw asyncio, so that it is not the limit."""

from __future__ import annotations

import asyncio
import time
from typing import cast

_ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection; arrivals are shared by all."""

    arrivals: dict[str, float]

    def __init__(self, arrivals: dict[str, float], counts: list[int]) -> None:
        self.arrivals = arrivals
        self._counts = counts
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._counts[0] += 1
            self.arrivals.setdefault(headers.get(b"webhook-id", b"?").strip().decode(), time.time())
            self._transport.write(_ANSWER)


class Listening:
    """A sink on a free loopback port."""

    def __init__(self) -> None:
        self.arrivals: dict[str, float] = {}
        self._counts = [0]
        self.port = 0

    @property
    def requests(self) -> int:
        return self._counts[0]

    def clear(self) -> None:
        self.arrivals.clear()
        self._counts[0] = 0

    async def __aenter__(self) -> Listening:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Sink(self.arrivals, self._counts), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def wait_for(self, count: int, *, seconds: float) -> bool:
        """Until so many different events arrived; False when time ran out."""
        end = time.monotonic() + seconds
        while len(self.arrivals) < count:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.01)
        return True

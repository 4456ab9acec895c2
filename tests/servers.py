"""Far sides for tests: small raw servers on the loopback, each with one way to behave or misbehave.

    async with Server(answer(200, b"ok")) as server:
        ...
        assert server.count == 1

`received` holds the requests that came whole, body included; `connections` counts what was accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """One whole request as it stood on the wire."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Peer:
    """One accepted connection, seen from the server."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def head(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Request line and headers; the body stays unread."""
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = raw.rstrip("\r\n").split("\r\n")
        pairs = (field.partition(":") for field in fields)
        return line, tuple((name, value.strip()) for name, _, value in pairs)

    async def request(self) -> Received:
        """The next whole request; it is counted only once its last byte is here."""
        line, headers = await self.head()
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        received = Received(line, headers, await self._reader.readexactly(length))
        self._server.received.append(received)
        self._server.arrived.set()
        return received

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        held: socket.socket = self._writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def done(self) -> None:
        """Tell the test that the behaviour has come to the point it is about."""
        self._server.done.set()

    async def gone(self) -> None:
        """Wait until the client has closed its side, reading away whatever it still sends."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass
        self._server.hung_up.set()


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """Runs one behaviour per connection; the connection is closed when the behaviour returns."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, rcvbuf: int | None = None) -> None:
        self.behaviour = behaviour
        self._tls = tls
        self._rcvbuf = rcvbuf
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.done = asyncio.Event()

    @property
    def count(self) -> int:
        return len(self.received)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        if self._rcvbuf is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accepted, sock=listener, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.behaviour(Peer(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which many tests want
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is taken but not listened on: connecting to it is refused, and nobody else can get it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def plain(status: int, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of one well-formed answer."""
    lines = [f"HTTP/1.1 {status} Something", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(status: int = 200, body: bytes = b"", *headers: str) -> Behaviour:
    """Answer every request alike and keep the connection."""
    return raw_answer(plain(status, body, *headers), keep=True)


def raw_answer(data: bytes, *, keep: bool = False) -> Behaviour:
    """Read a whole request and send exactly these bytes; then hang up, or go on with the next request."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)
            if not keep:
                return

    return behave


async def reset_at_accept(peer: Peer) -> None:
    """Hang up with RST before reading anything."""
    peer.reset()


async def reset_after_head(peer: Peer) -> None:
    """Read the headers, leave the body, hang up with RST."""
    await peer.head()
    peer.reset()


async def stall_after_head(peer: Peer) -> None:
    """Read the headers, then neither read nor answer nor hang up."""
    await peer.head()
    await asyncio.Event().wait()


async def refuse_early(peer: Peer) -> None:
    """Answer 413 to the headers alone, then read on so that no RST overtakes the answer."""
    await peer.head()
    await peer.send(plain(413, b"too large"))
    await peer.gone()


async def close_after_request(peer: Peer) -> None:
    """Take the whole request and hang up without a word."""
    await peer.request()


async def reset_after_request(peer: Peer) -> None:
    """Take the whole request and hang up with RST."""
    await peer.request()
    peer.reset()


async def silent(peer: Peer) -> None:
    """Take the whole request and never answer; notes when the client gives up."""
    await peer.request()
    await peer.gone()


async def answer_once_then_close(peer: Peer) -> None:
    """Answer the first request and keep the connection; take the second one whole and hang up: a stale connection."""
    await peer.request()
    await peer.send(plain(200, b"first"))
    await peer.request()


async def answer_with_extra(peer: Peer) -> None:
    """Answer, and a little later say 408 unasked, as a server does that gives up on an idle connection."""
    await peer.request()
    await peer.send(plain(200, b"asked"))
    await asyncio.sleep(0.01)
    await peer.send(plain(408, b"unasked"))
    peer.done()
    await peer.gone()


async def drip(peer: Peer) -> None:
    """Promise a body and send it a byte at a time, each well within any read time-out."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await peer.send(b".")
        await asyncio.sleep(0.01)


async def endless(peer: Peer) -> None:
    """Answer 200 with a body that never ends, as fast as the client reads."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        await peer.send(b"x" * 65536)


def zipped(body: bytes) -> Behaviour:
    """Answer gzip whether or not it was asked for."""
    return answer(200, gzip.compress(body), "Content-Encoding: gzip", "Content-Type: text/plain")


_FIRST_PORT, _PORTS_EACH = 20_000, 500
_next_port = itertools.count()


def free_port() -> int:
    """A port for a process that must be told one. Nobody listens on it now, and nobody else is given it: it lies below
    the ports that the kernel hands out by itself, and each worker of a parallel run has its own stretch."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(_PORTS_EACH):
        port = _FIRST_PORT + worker * _PORTS_EACH + (os.getpid() + next(_next_port)) % _PORTS_EACH
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port is left for this worker")

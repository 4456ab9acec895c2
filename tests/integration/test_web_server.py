"""The server on a real port: what only shows on a socket, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import redis.asyncio
import uvicorn
from starlette.applications import Starlette

from relay.errors import ConfigError, StoreError
from relay.store.keys import Keys
from relay.web.protocol import LimitedProtocol
from relay.web.server import _listening, serve
from tests.integration.web_world import Headers, encoded, problem, settings, signed, thin
from tests.servers import refusing_port

BODY = encoded(thin(id="s1"))


@dataclass(slots=True)
class Running:
    """A server in this process."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(url: str, prefix: str) -> AsyncIterator[Running]:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings(url, prefix, port=0), ready=ready.set_result, stop=stop))
    await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
    try:
        yield Running(await ready, stop, task)
    finally:
        stop.set()
        await task


@pytest.fixture
async def running(redis_server: str, prefix: str) -> AsyncIterator[Running]:
    async with serving(redis_server, prefix) as one:
        yield one


@dataclass(slots=True)
class Line:
    """One raw connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def head(self, headers: Headers, *, length: int | None, line: str = "POST /in/planday HTTP/1.1") -> None:
        fields = [(b"host", b"relay.test"), *headers]
        if length is not None:
            fields.append((b"content-length", b"%d" % length))
        self.writer.write(line.encode() + b"\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in fields) + b"\r\n")

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode().rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def is_closed(self) -> bool:
        """Wait until the server hangs up, reading away what it still says."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass
        return True


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def stored(client: redis.asyncio.Redis, prefix: str) -> int:
    found: int = await client.zcard(Keys(prefix).events)
    return found


async def test_an_event_over_a_socket(running: Running, redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """202, and no header that says what runs here."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{running.url}/in/planday", content=BODY, headers=signed(BODY))
        assert answer.status_code == 202
        assert "server" not in answer.headers
        assert "date" in answer.headers
    assert await stored(redis_client, prefix) == 1


async def test_a_length_over_the_limit_is_refused_before_the_body(running: Running) -> None:
    """A sender that asks first hears 413 and not 100: nothing of the body travels."""
    async with line_to(running.port) as line:
        line.head([*signed(BODY), (b"expect", b"100-continue")], length=10_000_000)
        status, headers, body = await line.answer()
        assert status == 413
        assert headers["content-type"] == "application/problem+json"
        assert b"body-too-large" in body


async def test_a_body_without_a_length_is_counted(
    running: Running, redis_client: redis.asyncio.Redis, prefix: str
) -> None:
    """Chunks up to the limit are taken; the sender of more hears 413 while it still sends."""

    async def chunks(count: int) -> AsyncIterator[bytes]:
        yield b'{"type": "planday.shift.updated", "subject": "shift/1", "portalid": 4100001, "data": "'
        for _ in range(count):
            yield b"x" * 1000
        yield b'"}'

    async with httpx.AsyncClient() as client:
        for count, status in ((60, 202), (100, 413)):
            body = b"".join([part async for part in chunks(count)])
            answer = await client.post(f"{running.url}/in/planday", content=chunks(count), headers=signed(body))
            assert answer.status_code == status
    assert await stored(redis_client, prefix) == 1


async def test_a_refused_connection_is_good_for_the_next_request(running: Running) -> None:
    """After a 413 whose body came all the same, and after a 401, the same connection takes a good one."""
    large = b"x" * 100_000
    async with line_to(running.port) as line:
        line.head(signed(BODY), length=len(large))
        line.writer.write(large)
        assert (await line.answer())[0] == 413
        line.head([(b"content-type", b"application/json")], length=len(BODY))
        line.writer.write(BODY)
        assert (await line.answer())[0] == 401
        line.head(signed(BODY), length=len(BODY))
        line.writer.write(BODY)
        assert (await line.answer())[0] == 202


async def test_a_sender_that_vanishes_in_its_body_leaves_nothing(
    running: Running, redis_client: redis.asyncio.Redis, prefix: str
) -> None:
    """Half a body is no event, and the server goes on."""
    for _ in range(5):
        async with line_to(running.port) as line:
            line.head(signed(BODY), length=len(BODY))
            line.writer.write(BODY[:20])
            await line.writer.drain()
            line.writer.transport.abort()
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{running.url}/in/planday", content=BODY, headers=signed(BODY))
        assert answer.json()["events"][0]["duplicate"] is False
    assert await stored(redis_client, prefix) == 1


async def test_what_is_no_http_is_refused(running: Running) -> None:
    """400 and goodbye."""
    async with line_to(running.port) as line:
        line.writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        status, headers, _ = await line.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert await line.is_closed()


async def test_two_lengths_are_refused(running: Running, redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """Length and chunks at once: what a proxy and we would each read differently is not read at all."""
    async with line_to(running.port) as line:
        line.head([*signed(BODY), (b"transfer-encoding", b"chunked")], length=len(BODY))
        line.writer.write(BODY)
        assert (await line.answer())[0] == 400
        assert await line.is_closed()
    assert await stored(redis_client, prefix) == 0


async def test_an_endless_head_is_hung_up_on(running: Running) -> None:
    """A head beyond 64 KiB ends the connection, and the server goes on."""
    async with line_to(running.port) as line:
        line.writer.write(b"POST /in/planday HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for n in range(200):
                line.writer.write(b"x-%d: %s\r\n" % (n, b"y" * 1000))
                await line.writer.drain()
        assert await line.is_closed()
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{running.url}/healthz")).status_code == 200


class Impatient(LimitedProtocol):
    head_patience = 0.05


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nx: "])
async def test_a_slow_head_is_hung_up_on(said: bytes) -> None:
    """Silence from the start, half a head, half a second head: none keeps a connection for ever."""
    config = uvicorn.Config(Starlette(), log_config=None, ws="none")
    config.load()
    state = uvicorn.server.ServerState()
    with _listening("127.0.0.1", 0) as listener:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Impatient(config, state, {}), sock=listener)
        async with line_to(listener.getsockname()[1]) as line:
            line.writer.write(said)
            assert await line.is_closed()
        server.close()
        await server.wait_closed()


async def test_what_is_under_way_is_finished_at_a_stop(
    redis_server: str, prefix: str, redis_client: redis.asyncio.Redis
) -> None:
    """The sender in the middle of its body still gets its 202; nobody new gets in; then the server is gone."""
    async with serving(redis_server, prefix) as running, line_to(running.port) as line:
        line.head([*signed(BODY), (b"expect", b"100-continue")], length=len(BODY))
        # The 100 says that the request has begun.
        assert (await line.answer())[0] == 100
        running.stop.set()
        line.writer.write(BODY)
        assert (await line.answer())[0] == 202
        assert await line.is_closed()
        await running.task
        with pytest.raises(OSError, match=r"Connect call failed"):
            await asyncio.open_connection("127.0.0.1", running.port)
    assert await stored(redis_client, prefix) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_good_order(running: Running, number: signal.Signals) -> None:
    """`serve` returns; the process does not die of the signal."""
    os.kill(os.getpid(), number)
    await running.task


async def test_a_second_signal_does_not_wait(running: Running) -> None:
    """Somebody at a keyboard who insists is obeyed, whatever is under way."""
    async with line_to(running.port) as line:
        line.head([*signed(BODY), (b"expect", b"100-continue")], length=len(BODY))
        assert (await line.answer())[0] == 100
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        await running.task


async def test_a_port_that_is_taken_is_a_fault_of_the_settings(redis_server: str, prefix: str) -> None:
    """The message names the setting and what to do, before anything is opened."""
    with refusing_port() as port, pytest.raises(ConfigError, match=rf"relay\.port: cannot listen .* {port}"):
        await serve(settings(redis_server, prefix, port=port))


async def test_a_store_that_is_not_there_reaches_the_caller(prefix: str) -> None:
    """Not a log line and an exit code of uvicorn's: the error itself, with its remedy."""
    with refusing_port() as port, pytest.raises(StoreError):
        await serve(settings(f"redis://127.0.0.1:{port}/0", prefix, port=0))


async def test_answers_do_not_wait_for_more() -> None:
    """Connections have TCP_NODELAY, or each answer of two writes would wait 40 ms for the client's ACK."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours: socket.socket = writer.get_extra_info("socket")
        accepted.set_result(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with _listening("127.0.0.1", 0) as listener:
        server = await asyncio.start_server(note, sock=listener)
        async with line_to(listener.getsockname()[1]):
            assert await accepted != 0
        server.close()
        await server.wait_closed()


async def test_problems_have_the_same_shape_on_a_socket(running: Running) -> None:
    """The problem's own media type survives the server."""
    async with httpx.AsyncClient() as client:
        problem(await client.post(f"{running.url}/in/nobody", content=b"{}"), 404, "no-such-source")

"""The store hangs, refuses writes or vanishes: senders hear 503 in time, nothing is silent, and then it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from relay.store.server import EmbeddedServer
from tests.integration.web_world import Web, encoded, problem, settings, signed, thin, web_over

# What the store gets; a test that takes much longer has waited for something else.
LIMIT = "150ms"
MUCH_LONGER = 2.0


class Pipe:
    """Stands before Redis and hands bytes on, until it is stopped up: then it takes them and never answers."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Pipe:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://:{self._upstream.password or ''}@127.0.0.1:{port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def stop_up(self) -> None:
        self._open.clear()

    def clear(self) -> None:
        self._open.set()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._upstream.scheme == "unix":
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream.path)
        else:
            up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 6379)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, up_writer))
                both.create_task(self._copy(up_reader, writer))
        except* ConnectionError:
            pass
        finally:
            writer.close()
            up_writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server that only this module has, since it is told to refuse."""
    with EmbeddedServer(tmp_path_factory.mktemp("refusing"), appendfsync="everysec") as server:
        yield server


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < MUCH_LONGER


async def test_a_store_that_hangs_is_503_in_time_and_again_is_safe(redis_server: str, prefix: str) -> None:
    """Ten senders at once all hear 503 within the limit; each one's next try ends in exactly one record."""
    async with Pipe(redis_server) as pipe, web_over(settings(pipe.url, prefix, store_timeout=LIMIT)) as web:
        assert (await web.send(thin(id="before"))).status_code == 202
        pipe.stop_up()
        async with in_time():
            answers = await asyncio.gather(*(web.send(thin(n, id=f"s{n}")) for n in range(10)))
        for answer in answers:
            problem(answer, 503, "store")
            assert int(answer.headers["retry-after"]) >= 1
        pipe.clear()
        for n in range(10):
            assert (await web.send(thin(n, id=f"s{n}"))).status_code == 202
        assert await web.count() == 11


async def test_a_store_that_hangs_is_not_ready_and_alive(redis_server: str, prefix: str) -> None:
    """/readyz says no within the limit, /healthz still says yes, /metrics still counts."""
    async with Pipe(redis_server) as pipe, web_over(settings(pipe.url, prefix, store_timeout=LIMIT)) as web:
        pipe.stop_up()
        async with in_time():
            ready = await web.client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["store"]["writable"] is False
            assert "retry-after" in ready.headers
            assert (await web.client.get("/healthz")).status_code == 200
            page = await web.client.get("/metrics")
            assert page.status_code == 200
            assert "open_events" not in page.text
        pipe.clear()
        assert (await web.client.get("/readyz")).json()["status"] == "ready"


async def test_an_unreadable_body_is_told_so_though_it_cannot_be_kept(redis_server: str, prefix: str) -> None:
    """The quarantine failing changes nothing about the answer, and our log says that a body was lost."""
    async with Pipe(redis_server) as pipe, web_over(settings(pipe.url, prefix, store_timeout=LIMIT)) as web:
        pipe.stop_up()
        async with in_time():
            problem(await web.send(b"{broken"), 400, "not-json")
        assert b"store_trouble_total 1.0" in web.services.telemetry.render()


REFUSALS = {
    "a full memory": ("maxmemory", "1", "0"),
    "too few replicas": ("min-replicas-to-write", "1", "0"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_store_that_refuses_writes_is_503_and_not_ready(own_server: EmbeddedServer, name: str) -> None:
    """Nothing is stored and nothing pretended; as soon as it takes writes, so do we."""
    setting, refusing, usual = REFUSALS[name]
    async with web_over(settings(own_server.url, f"{setting}:")) as web:
        before = await web.count()
        await _config(web, setting, refusing)
        try:
            problem(await web.send(thin(id="x")), 503, "store")
            problem(await web.send([thin(1), thin(2)]), 503, "store")
            problem(await web.send(b"{broken"), 400, "not-json")
            ready = await web.client.get("/readyz")
            assert ready.status_code == 503
            assert "refuses writes" in ready.json()["store"]["problem"]
        finally:
            await _config(web, setting, usual)
        assert await web.count() == before
        assert (await web.client.get("/readyz")).status_code == 200
        answer = await web.send(thin(id="x"))
        assert answer.status_code == 202
        assert answer.json()["events"][0]["duplicate"] is False


async def test_a_store_that_stops_and_comes_back_is_taken_up_again(own_server: EmbeddedServer) -> None:
    """503 while it is away; with its data back, what was acknowledged is still there and known."""
    async with web_over(settings(own_server.url, "restart:")) as web:
        body = encoded(thin(id="kept"))
        assert (await web.send(body, signed(body))).status_code == 202
        assert own_server.process is not None
        own_server.process.terminate()
        await asyncio.to_thread(own_server.process.wait)
        problem(await web.send(thin(id="later")), 503, "store")
        problem(await web.get("/events"), 503, "store")
        await asyncio.to_thread(own_server.start)
        again = await web.send(thin(id="kept"))
        assert again.json()["events"][0]["duplicate"] is True
        assert (await web.send(thin(id="later"))).json()["events"][0]["duplicate"] is False
        assert await web.count() == 2


async def _config(web: Web, setting: str, value: str) -> None:
    await web.services.store.client.config_set(setting, value)

"""SIGTERM: what has begun is finished, nothing is sent twice, nothing accepted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Process, Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

GRACE = 25.0  # relay.shutdown_grace, unless set


def stream(run: str, going: list[bool]) -> Iterator[dict[str, Any]]:
    """Events without end, until `going` is emptied; two of each entity."""
    numbers = itertools.takewhile(lambda _: bool(going), itertools.count())
    return (thin(f"{run}-{n}", f"shift/{n // 2 + 1}") for n in numbers)


def said(process: Process, words: str) -> Callable[[], Awaitable[bool]]:
    """Whether these words stand in its log."""

    async def look() -> bool:
        return words in process.text()

    return look


async def test_a_worker_finishes_what_is_on_the_wire(tmp_path: Path) -> None:
    """Forty deliveries that take two seconds are under way: all are finished and written down, and it exits with 0.
    What comes after the signal waits for the next worker."""
    async with Sink(delay=2.0) as sink, Relay(tmp_path, sink) as relay:
        await relay.start("web")
        worker = await relay.start("worker")
        await relay.sender.send([thin(f"stop-{n}", f"shift/{n + 1}") for n in range(40)])
        assert await sink.until(lambda: len(sink.under_way) == 40, within=10)
        began = time.monotonic()
        ending = asyncio.create_task(worker.terminate(within=GRACE))
        await eventually(said(worker, "service.stopping"), within=5, what="the worker has heard the signal")
        await relay.sender.send([thin(f"later-{n}", f"shift/{n + 1}") for n in range(40)])
        assert await ending == 0
        took = time.monotonic() - began
        assert len(sink.arrivals) == 40
        assert all(arrival.answered_at is not None for arrival in sink.arrivals)
        assert await relay.held() == (set(), set())
        assert await relay.left() == 40
        sink.delay = 0.0
        await relay.start("worker")
        await relay.settled(within=20)
        assert sink.by_event.keys() == relay.sender.acked.keys()
        assert sink.doubled == 0
        print(f"40 deliveries of 2 s under way: exit 0 after {took:.1f} s, doubled 0, 40 later ones by the next worker")


async def test_rolling_restarts_under_load(tmp_path: Path) -> None:
    """Five workers replace one another while events come in: none is lost, none is sent twice."""
    async with Sink(delay=0.1) as sink, Relay(tmp_path, sink) as relay:
        await relay.start("web")
        worker = await relay.start("worker")
        going, stops = [True], []
        sending = asyncio.create_task(relay.sender.send(stream("rolling", going), connections=4, pause=0.01))
        try:
            for _ in range(5):
                following = await relay.start("worker")
                arrived, began = len(sink.arrivals), time.monotonic()
                assert await worker.terminate(within=GRACE) == 0
                stops.append(time.monotonic() - began)
                worker = following
                assert await sink.more_than(arrived + 100, within=20)
        finally:
            going.clear()
            await sending
        await relay.settled(within=30)
        assert sink.by_event.keys() == relay.sender.acked.keys()
        assert sink.doubled == 0
        assert relay.sender.statuses.keys() == {202}
        accepted = len(sink.by_event)
        print(f"5 rolling restarts: accepted {accepted}, lost 0, doubled 0, slowest stop {max(stops):.1f} s")


async def test_the_receiver_answers_what_it_has_begun(tmp_path: Path) -> None:
    """Twenty requests whose bodies are not there yet when the signal comes: each gets its 202."""
    async with Sink() as sink, Relay(tmp_path, sink) as relay, contextlib.AsyncExitStack() as stack:
        web = await relay.start("web")
        begun = []
        for n in range(20):
            head, _, body = relay.sender.request(thin(f"begun-{n}", f"shift/{n + 1}")).partition(b"\r\n\r\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            stack.callback(writer.close)
            writer.write(head + b"\r\nexpect: 100-continue\r\n\r\n")
            # The receiver says this when it wants the body: from here on the request has begun.
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 100")
            begun.append((reader, writer, body))
        began = time.monotonic()
        ending = asyncio.create_task(web.terminate(within=GRACE))
        await eventually(said(web, "service.stopping"), within=5, what="the receiver has heard the signal")
        for _, writer, body in begun:
            writer.write(body)
        statuses = [(await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)).split()[1] for reader, _, _ in begun]
        assert statuses == [b"202"] * 20
        assert await ending == 0
        assert await relay.left() == 20
        print(f"20 requests under way: all 202, exit 0 after {time.monotonic() - began:.1f} s")


async def test_the_receiver_is_restarted_under_load(tmp_path: Path) -> None:
    """Three restarts under load: every 202 is kept, and who came at the wrong moment was told or cut off before."""
    async with Sink() as sink, Relay(tmp_path, sink) as relay:
        web = await relay.start("web")
        await relay.start("worker")
        going = [True]
        sending = asyncio.create_task(relay.sender.send(stream("restart", going), connections=8))
        unanswered = []
        try:
            for _ in range(3):
                accepted = len(relay.sender.acked)

                async def more(accepted: int = accepted) -> bool:
                    return len(relay.sender.acked) > accepted + 100

                await eventually(more, within=20, what="a hundred more are accepted")
                before = relay.sender.cut_off
                assert await web.terminate(within=GRACE) == 0
                unanswered.append(relay.sender.cut_off - before)
                web = await relay.start("web")
        finally:
            going.clear()
            await sending
        await relay.settled(within=30)
        assert sink.by_event.keys() == relay.sender.acked.keys()
        assert sink.doubled == 0
        assert relay.sender.statuses.keys() <= {202, 503}
        print(
            f"3 restarts of the receiver: accepted {len(relay.sender.acked)}, lost 0, "
            f"503 {relay.sender.statuses[503]}, cut off {unanswered}"
        )

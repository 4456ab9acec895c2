"""What an event costs when much waits, and how long the list pages take then."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx

from bench.fill import fill
from bench.rows import Row, at_most
from bench.sink import Far, Sink
from bench.stage import ADMIN_TOKEN, PLAIN, Stage

FEW, MANY = 1_000, 1_000_000
_PER_ENTITY = 5
_DEARER = 1.3
_PAGES = (
    "/events",
    "/events?limit=200",
    "/events?state=accepted",
    "/events?state=routed",
    "/events?type=planday.shift.created",
    "/events?subject=shift/many3",
    "/events?type=planday.never.heard",
    "/deliveries",
    "/deliveries?state=waiting",
    "/deliveries?target=sink&state=delivered",
    "/stats",
)


async def run(folder: Path, *, quick: bool) -> list[Row]:
    """With so many waiting: events drained while as many are accepted; then the lists, over as many events."""
    many, measured = (20_000, 2_000) if quick else (MANY, 20_000)
    rows, cost = [], {}
    for name, waiting in (("few", FEW), ("many", many)):
        async with Sink() as sink, Stage(folder / name, sink) as stage:
            filled = await fill(stage.store, name, waiting, portal=PLAIN, per_entity=_PER_ENTITY)
            await _quiet(stage)
            await stage.start_worker()
            cost[waiting] = await _cost(stage, sink.far(), measured, waiting)
            if waiting == many:
                rows.append(Row(f"accept script alone, until {many:,} waited", filled, "/s"))
                await _quiet(stage)
                await stage.start_web()
                rows += await _pages(stage, many)
    (few, few_rate), (much, much_rate) = cost[FEW], cost[many]
    return [
        Row(f"processor time per event, worker and store, {FEW:,} waiting", few, "ms"),
        at_most(f"  {many:,} waiting", much, "ms", round(few * _DEARER, 3), bare=few),
        Row(f"delivered while {many:,} wait (bare: while {FEW:,} do)", much_rate, "/s", bare=few_rate),
        *rows,
    ]


async def _cost(stage: Stage, far: Far, measured: int, waiting: int) -> tuple[float, float]:
    """Processor time per delivered event (ms), and how many arrive a second.

    For each that arrives another is accepted, so that as many wait all the time.
    """
    start = asyncio.get_running_loop().time
    await far.wait_for(FEW // 2, seconds=60)
    began, before, added, used = start(), len(far.arrivals), 0, stage.cpu()
    while (came := len(far.arrivals) - before) < measured:
        if start() - began > 300:
            raise RuntimeError(f"only {came} of {measured} arrived while {waiting} waited")
        if came > added:
            await fill(stage.store, "topped", came - added, portal=PLAIN, first=added, per_entity=_PER_ENTITY)
            added = came
        await asyncio.sleep(0.02)
    spent = sum(after - used[name] for name, after in stage.cpu().items())
    return spent / came * 1000, came / (start() - began)


async def _pages(stage: Stage, many: int) -> list[Row]:
    """The slowest of ten goes at each list, beside a page deep in it."""
    worst: tuple[float, str] = (0.0, "")
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    base = f"http://127.0.0.1:{stage.web_port}/api/v1"
    async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=60) as client:
        for page in _PAGES:
            times = []
            for _ in range(10):
                began = time.perf_counter()
                (await client.get(base + page)).raise_for_status()
                times.append(time.perf_counter() - began)
            worst = max(worst, (sorted(times)[5], page))
        cursor, deep = None, []
        for _ in range(50):
            began = time.perf_counter()
            answer = (await client.get(f"{base}/events", params={"cursor": cursor} if cursor else {})).json()
            deep.append(time.perf_counter() - began)
            cursor = answer["cursor"]
    return [
        at_most(f"list pages at {many:,} events, slowest ({worst[1]})", worst[0] * 1000, "ms", 50),
        at_most("  the next page, fifty times in a row, slowest", max(deep) * 1000, "ms", 50),
    ]


async def _quiet(stage: Stage) -> None:
    """Until the store has rewritten its file: that costs for a while, whoever waits."""
    for _ in range(1500):
        if not int((await stage.redis.info("persistence"))["aof_rewrite_in_progress"]):
            return
        await asyncio.sleep(0.2)
    raise RuntimeError("the store still rewrites its file after five minutes")

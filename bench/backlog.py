"""What an event costs when much waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.fill import fill
from bench.rows import Row, at_most
from bench.sink import Far, Sink
from bench.stage import PLAIN, Stage

FEW, MANY = 1_000, 1_000_000
_PER_ENTITY = 5
_DEARER = 1.3


async def run(folder: Path, *, quick: bool) -> list[Row]:
    """With so many waiting: events drained while as many are accepted."""
    many, measured = (20_000, 2_000) if quick else (MANY, 20_000)
    rows, cost = [], {}
    for name, waiting in (("few", FEW), ("many", many)):
        async with Sink() as sink, Stage(folder / name, sink) as stage:
            filled = await fill(stage.store, name, waiting, portal=PLAIN, per_entity=_PER_ENTITY)
            await stage.quiet()
            await stage.start_worker()
            cost[waiting] = await _cost(stage, sink.far(), measured, waiting)
            if waiting == many:
                rows.append(Row(f"accept script alone, until {many:,} waited", filled, "/s"))
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

"""How soon the line goes on after kill -9: a worker, then the store; `make crash` does it fifty times."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

from bench.rows import Row, at_most
from tests.acceptance.crash import PROCESSES, WORKERS, Crashes, kill_of
from tests.acceptance.crash_figures import MEDIAN, STORE_AGAIN, WORST


async def run(folder: Path, *, quick: bool) -> list[Row]:
    """Rounds of the crash harness with a target that takes 200 ms, so that much is held at the kill."""
    events, rounds = (300, 1) if quick else (1_000, 2)
    chance = random.Random("bench")
    async with Crashes(folder, seed="bench") as crashes:
        for victims in (WORKERS[:1], WORKERS, ("store",), PROCESSES) * rounds:
            await crashes.round(kill_of(chance, victims, delay=0.2, events=events), events=events)
        figures = await crashes.judge()
    held = [at for one in figures.rounds for at in one.recovery]
    stores = [one.store_again for one in figures.rounds if one.store_again is not None]
    in_flight = sum(one.in_flight for one in figures.rounds)
    return [
        at_most(f"held by killed workers ({len(held)}): delivered after, median", statistics.median(held), "s", MEDIAN),
        at_most("  worst", max(held), "s", WORST),
        at_most("store killed and started: next delivery after, worst", max(stores), "s", STORE_AGAIN),
        at_most(f"lost of {figures.accepted:,} accepted", figures.lost, "", 0),
        at_most("doubled (wanted: at most what was in flight)", figures.doubled, "", in_flight),
        at_most("other promises not kept", len(figures.faults), "", 0),
    ]

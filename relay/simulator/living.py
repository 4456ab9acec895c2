"""Lets portals live while the simulator serves: in real time, or faster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from relay.simulator.flavours import BISTRO
from relay.simulator.life import Life, catch_up
from relay.simulator.simulator import Simulator


@dataclass(frozen=True)
class LifeSettings:
    """Which portals live, how, and how many seconds pass there in one of ours."""

    seed: int = 1
    people: int = 200
    changes_per_day: float | None = None
    portals: Sequence[int] = (BISTRO,)
    speed: float = 1.0
    # Seconds of ours between two looks at the agenda.
    beat: float = 0.5


@asynccontextmanager
async def living(simulator: Simulator, settings: LifeSettings | None) -> AsyncIterator[list[Life]]:
    """Live until left."""
    if settings is None:
        yield []
        return
    for one in settings.portals:
        Life(simulator, one, seed=settings.seed, people=settings.people, changes_per_day=settings.changes_per_day)
    task = asyncio.create_task(_live(simulator, settings))
    try:
        yield simulator.lives
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(outcome, asyncio.CancelledError):
            raise RuntimeError("the portals stopped living") from outcome


async def _live(simulator: Simulator, settings: LifeSettings) -> None:
    while True:
        await asyncio.sleep(settings.beat)
        simulator.clock.advance(settings.beat * (settings.speed - 1))
        catch_up(simulator.lives)

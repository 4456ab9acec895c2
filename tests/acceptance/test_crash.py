"""kill -9 of receiver, workers and store at random points of a stream of events: nothing accepted is ever lost.

The short form; `make crash` runs the long one (crash.py). CRASH_SEED repeats a run; pytest shows the seed of one that
failed.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.crash import PROCESSES, WORKERS, Crashes, kill_of, plan
from tests.acceptance.crash_figures import Figures, Round

EVENTS = 400


async def crashed(folder: Path, rounds: Sequence[tuple[tuple[str, ...], float]], *, restarts: int = 0) -> Figures:
    """Rounds of victims and the target's delay, then so many rolling restarts; the table is printed."""
    seed = os.environ.get("CRASH_SEED") or secrets.token_hex(4)
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    async with Crashes(folder, seed=seed) as crashes:
        for victims, delay in rounds:
            await crashes.round(kill_of(chance, victims, delay=delay, events=EVENTS), events=EVENTS)
        await crashes.rolling(restarts)
        figures = await crashes.judge()
    print(figures.table())
    return figures


async def test_killed_in_a_stream_of_events(tmp_path: Path) -> None:
    """Both workers while a slow target is sent to, then everything, the store included: all that was accepted arrives,
    in order, once but for what was in flight, and under one key."""
    figures = await crashed(tmp_path, [(WORKERS, 0.2), (PROCESSES, 0.0)])
    assert figures.verdict() == []
    assert figures.accepted == 2 * EVENTS


async def test_a_living_worker_goes_on_while_others_are_killed(tmp_path: Path) -> None:
    """The store, the receiver and one of two workers die; the other goes on. Then each is replaced by SIGTERM under
    load: nothing is sent twice."""
    figures = await crashed(tmp_path, [(("web", "worker-1", "store"), 0.0)], restarts=3)
    assert figures.verdict() == []
    assert figures.restarts == 3
    assert figures.restarts_accepted > 0


def test_the_long_plan_kills_every_combination_at_both_speeds() -> None:
    """Fifty rounds hold each of the fifteen combinations of processes at both speeds of the target, by any seed."""
    kills = plan(random.Random("any"), rounds=50, events=2000)
    assert len(kills) == 50
    assert len({(frozenset(kill.victims), kill.delay) for kill in kills}) == 30
    assert all(200 <= kill.after <= 1800 for kill in kills)
    assert kills == plan(random.Random("any"), rounds=50, events=2000)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Figures("s", lost=1, accepted=5), "lost 1 of 5"),
        (Figures("s", [Round((), 0.0, 1, doubled=3, in_flight=2)]), "only 2 were in flight"),
        (Figures("s", [Round((), 0.0, 1, held=2, recovery=[1.0])]), "1 of 2 held events did not arrive"),
        (Figures("s", [Round((), 0.0, 1, held=1, recovery=[16.0])]), "median 16.0 s"),
        (Figures("s", [Round((), 0.0, 1, store_again=11.0)]), "works again 11.0 s after"),
        (Figures("s", restarts_doubled=1), "rolling restarts doubled 1"),
        (Figures("s", faults=["x came under more than one idempotency key"]), "more than one idempotency key"),
    ],
)
def test_a_promise_that_was_not_kept_is_told(fault: Figures, words: str) -> None:
    """The verdict names each miss, so that `make crash` ends with 1."""
    assert any(words in miss for miss in fault.verdict())

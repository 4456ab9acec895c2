"""A replay through real processes, of which the one that runs it is killed in the middle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Relay, eventually
from tests.acceptance.sender import thin
from tests.acceptance.sink import Sink

DEAD = 120
RATE = 30


async def test_a_replay_survives_the_worker_that_runs_it(tmp_path: Path) -> None:
    """Exactly what was planned arrives, under the keys of before; new events meanwhile do too."""
    working: list[bool] = []
    async with (
        Sink(decide=lambda one: 202 if working or "live" in one.envelope["subject"] else 422) as sink,
        Relay(tmp_path, sink) as relay,
    ):
        await relay.start("web")
        first = await relay.start("worker")
        await relay.sender.send([thin(f"n{n}", f"shift/{n}", type_="planday.shift.published") for n in range(DEAD)])
        await relay.settled(within=30)
        keys = {one.event: one.key for one in sink.arrivals}
        assert len(keys) == DEAD
        working.append(True)
        sink.arrivals.clear()

        code, plan = await relay.call("replay", "plan", "--target", "hooks", "--reason", "the mapping is mended")
        assert (code, plan["total"], plan["counts"][0]["first"]) == (0, DEAD, DEAD)
        assert not sink.arrivals
        code, _ = await relay.call("replay", "run", plan["id"], "--rate", str(RATE))
        assert code == 0
        await eventually(lambda: _done(relay, plan, DEAD // 3), within=30, what="a third is done")
        await first.kill()
        await relay.start("worker")
        await relay.sender.send([thin(f"live{n}", f"shift/live{n}", type_="planday.shift.published") for n in range(5)])
        await eventually(lambda: _ended(relay, plan), within=60, what="the plan has ended")

        status = await relay.api("GET", f"/replay/plans/{plan['id']}")
        assert (status["results"], status["ends"]) == ({"opened": DEAD}, {"delivered": DEAD})
        replayed = [one for one in sink.arrivals if one.headers.get("planday-relay-replay") == plan["id"]]
        assert {one.event: one.key for one in replayed} == keys
        again = sum(count - 1 for count in Counter(one.key for one in replayed).values())
        assert again <= 100, "at most what was on the wire when the worker was killed"
        assert len({one.event for one in sink.arrivals} - set(keys)) == 5


async def _done(relay: Relay, plan: dict[str, Any], count: int) -> bool:
    return bool((await relay.api("GET", f"/replay/plans/{plan['id']}"))["done"] >= count)


async def _ended(relay: Relay, plan: dict[str, Any]) -> bool:
    return bool((await relay.api("GET", f"/replay/plans/{plan['id']}"))["state"] == "ended")

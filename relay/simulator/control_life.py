"""The part of the control endpoint that lets portals live and asks the judge what a reader had to tell."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from relay.simulator.control_body import json_body
from relay.simulator.deeds import ActionError
from relay.simulator.life import Life, steps
from relay.simulator.oracle import Look
from relay.simulator.simulator import Simulator
from relay.simulator.times import parse_instant

_OPTIONS = {"portal", "seed", "people", "changesPerDay"}


async def life(simulator: Simulator, request: Request) -> Any:
    """Let a portal live from now on, or see which do."""
    if request.method == "POST":
        body = await json_body(request)
        if not set(body) <= _OPTIONS or body.get("portal") not in simulator.portals:
            raise ActionError(f"a life has {', '.join(sorted(_OPTIONS))}")
        if any(one.portal_id == body["portal"] for one in simulator.lives):
            raise ActionError("this portal lives already")
        Life(
            simulator,
            body["portal"],
            seed=int(body.get("seed", 1)),
            people=int(body.get("people", 200)),
            changes_per_day=body.get("changesPerDay"),
        )
    return {
        "lives": [
            {
                "portal": one.portal_id,
                "seed": one.seed,
                "people": one.people,
                "changesPerDay": one.changes_per_day,
                "firstChange": one.first_change,
                "done": one.counts(),
            }
            for one in simulator.lives
        ]
    }


async def run(simulator: Simulator, request: Request) -> Any:
    """Let a stopped clock run with all that happens meanwhile: `{"seconds": 3600}`."""
    body = await json_body(request)
    if not simulator.lives:
        raise ActionError("no portal lives")
    until = simulator.clock.now() + timedelta(seconds=float(body["seconds"]))
    for _ in steps(simulator.lives, until, step=timedelta(seconds=float(body.get("step", 60)))):
        pass
    return {"now": simulator.clock.now().isoformat(), "changes": len(simulator.changes)}


async def expected(simulator: Simulator, request: Request) -> Any:
    """What a perfect reader tells: `{"portal", "looks": [instants or numbers of changes], "entities", "fields"}`."""
    body = await json_body(request)
    one = next((one for one in simulator.lives if one.portal_id == body["portal"]), None)
    if one is None:
        raise ActionError("this portal does not live")
    looks: list[Look] = [parse_instant(look) if isinstance(look, str) else int(look) for look in body["looks"]]
    told = one.coalesced(looks, entities=body.get("entities"), fields=body.get("fields"))
    return {"expected": [asdict(each) for each in told]}

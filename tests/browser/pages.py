"""Every page that a browser can open, and a store in which each has something to show."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.routing import Route

from relay.simulator.flavours import BISTRO
from relay.web.dashboard import routes
from tests.acceptance.harness import eventually
from tests.browser.world import World

# What is fetched by pages or saved, and no page itself.
_NO_PAGES = ("/static/{file}", "/events/tail", "/report.csv")
_PARAMETER = re.compile(r"{([a-z]+)}")


def patterns() -> list[str]:
    """The address of every page, with its parameters."""
    found = [one.path for one in routes() if isinstance(one, Route) and "GET" in (one.methods or ())]
    return [one for one in dict.fromkeys(found) if one not in _NO_PAGES]


def paths(values: Mapping[str, str]) -> dict[str, str]:
    """A path for every page; `values` are those of the parameters. KeyError: a page has one that nobody gave."""
    more = {"/deliveries dead": "/deliveries?state=dead", "/deliveries parked": "/deliveries?state=parked"}
    found = {one: _PARAMETER.sub(lambda match: values[match[1]], one) for one in patterns()}
    return {**found, "/events filtered": "/events?type=planday.shift.*", **more}


async def furnish(world: World) -> dict[str, str]:
    """Make something for every page to show; the values of the parameters."""
    relay = world.relay
    world.answers["/fussy"] = 422
    dead = await world.accepted(type_="planday.shift_type.updated", subject="shift_type/7")
    await world.has(dead, "fussy", "dead")
    await relay.control("POST", f"/portals/{BISTRO}/shift/edit", {"id": 70010045, "comment": "Æblegrød & <b>brød</b>"})
    await relay.control("POST", "/emitter/flush")
    found = await relay.api("GET", f"/events?portal={BISTRO}&subject=shift/70010045&limit=1")
    shift = found["events"][0]["id"]
    await world.has(shift, "hooks", "delivered")
    await relay.sender.post({"specversion": "1.0", "id": "unreadable", "note": "no type"})
    plan = await relay.api("POST", "/replay/plans", {"states": ["dead"], "target": "fussy"})

    async def shelved() -> str:
        rows = (await relay.api("GET", "/quarantine"))["quarantine"]
        return str(rows[0]["id"]) if rows else ""

    quarantined = await eventually(shelved, within=10, what="the unreadable body is in quarantine")
    return {
        "event": shift,
        "target": "hooks",
        "portal": "bistro",
        "plan": plan["id"],
        "id": quarantined,
        "type": "planday.shift.updated",
    }

"""Pictures of every page, to look at: `python -m scripts.screenshots [FOLDER] [--docs]`.

Wide and narrow, light and dark, empty and with 100,000 events. `--docs` makes the few that README and docs show anew.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.history import Kind, fill_history
from relay.events import DeliveryState
from relay.jobs import Jobs
from relay.simulator.flavours import BISTRO
from relay.store.store import Store
from tests.acceptance.harness import eventually
from tests.browser.chromium import Chromium
from tests.browser.pages import furnish, paths
from tests.browser.world import World, sign_in, world_in

MANY = 100_000
LOOKS = {"wide": (1280, 900, False), "wide-dark": (1280, 900, True), "narrow": (390, 844, False)}
DOCS = Path(__file__).parents[1] / "docs" / "images"
SHIFT = 70010045
_SHIFT_EVENTS = ("planday.shift.*", "planday.punchclock_entry.*", "planday.employee.*")
TARGETS: Mapping[str, tuple[str, ...]] = {
    "hours": _SHIFT_EVENTS,
    "ops": ("planday.shift.*", "planday.absence_request.*"),
    "hooks": ("planday.shift.updated",),
    "fussy": ("planday.shift_type.*",),
}
# A healthy relay with a little that went wrong, as most days are.
KINDS = (
    Kind(35, {"hours": DeliveryState.DELIVERED, "ops": DeliveryState.DELIVERED}),
    Kind(58, {"hours": DeliveryState.DELIVERED}),
    Kind(6.9, {}),
    Kind(0.02, {"hours": DeliveryState.DEAD}),
    Kind(0.01, {"ops": DeliveryState.DEAD}),
    Kind(0.01, {"hours": DeliveryState.PARKED}),
)


async def fill(world: World) -> dict[str, str]:
    """A long history, and beside it what the pages of single things show."""
    keys = world.relay.keys
    store = Store(world.relay.redis, keys, backlog_limit=MANY, bell=Jobs(keys.prefix, keys.queue).bell)
    # What is copied goes through the scripts by hand, which a worker would take away.
    worker = next(one for one in world.relay.processes if one.role == "worker")
    await worker.terminate(within=30)
    await fill_history(world.relay.redis, keys, store, MANY, kinds=KINDS)
    await world.relay.start("worker")
    values = await furnish(world)
    shift = await _found_by_the_feed(world)
    return {**values, "event": shift, "target": "hours"}


async def _found_by_the_feed(world: World) -> str:
    """A change of a shift that the feed has seen both sides of; the event that tells it."""
    relay = world.relay
    await relay.control("POST", "/emitter", {"url": "http://127.0.0.1:9/"})

    async with world.page("admin") as page:

        async def looked() -> bool:
            await page.open("/portals/bistro")
            return set(await page.texts("tbody .state")) == {"✓ ok"}

        await eventually(looked, within=90, what="the feed has looked for the first time")
    change = {"id": SHIFT, "startDateTime": "2026-10-24T18:00", "endDateTime": "2026-10-25T01:30", "comment": "Early"}
    await relay.control("POST", f"/portals/{BISTRO}/shift/edit", change)
    await relay.call("portals", "look", "bistro")

    async def told() -> str:
        rows = (await relay.api("GET", f"/events?portal={BISTRO}&subject=shift/{SHIFT}&limit=1"))["events"]
        return str(rows[0]["id"]) if rows and rows[0]["source"] == "feed" and rows[0]["state"] == "routed" else ""

    event = await eventually(told, within=60, what="the feed tells of the change")
    await world.has(event, "hours", "delivered")
    return event


async def shoot(world: World, folder: Path, where: Mapping[str, str]) -> None:
    """Every page in every look."""
    for look, (width, height, dark) in LOOKS.items():
        async with world.page(width=width, height=height, dark=dark) as page:
            await page.open("/sign-in")
            (folder / f"sign-in-{look}.png").write_bytes(await page.picture())
            await sign_in(page, "admin")
            for name, path in where.items():
                await page.open(path)
                (folder / f"{_file(name)}-{look}.png").write_bytes(await page.picture())


async def shoot_for_docs(world: World, where: Mapping[str, str]) -> None:
    """The few that README and docs show: the upper part of the page."""
    DOCS.mkdir(exist_ok=True)
    async with world.page("admin", width=1180, height=780) as page:
        for name, path in where.items():
            await page.open(path)
            (DOCS / f"{name}.png").write_bytes(await page.picture(whole=False))


def _without_sign_in(where: Mapping[str, str]) -> dict[str, str]:
    """Whoever is signed in is led on from there."""
    return {name: path for name, path in where.items() if name != "/sign-in"}


def _file(pattern: str) -> str:
    return pattern.strip("/").replace("/", "-").replace("{", "").replace("}", "").replace(" ", "-") or "overview"


async def main(folder: Path, *, docs: bool) -> None:
    """Start what is needed, fill it, and take the pictures."""
    feeds = {"feeds": ["shifts", "employees"]}
    with tempfile.TemporaryDirectory() as work:
        async with Chromium() as browser, world_in(Path(work), browser, targets=TARGETS, portal=feeds) as world:
            if not docs:
                empty = [
                    one
                    for one in paths(dict.fromkeys(("event", "target", "portal", "plan", "id", "type"), ""))
                    if "{" not in one
                ]
                (folder / "empty").mkdir(parents=True, exist_ok=True)
                await shoot(world, folder / "empty", {one: one.partition(" ")[0] for one in empty})
            where = _without_sign_in(paths(await fill(world)))
            if docs:
                found = await world.relay.api("GET", "/deliveries?state=dead&target=hours&limit=1")
                dead = found["deliveries"][0]["event"]
                more = {"delivery": f"/deliveries/{dead}/hours", "report": "/report?target=hours&from=today&to=today"}
                shown = {
                    "overview": "/?span=24h",
                    "event": where["/events/{event}"],
                    "target": "/targets/hours",
                    **more,
                }
                await shoot_for_docs(world, shown)
            else:
                full = folder / "full"
                full.mkdir(parents=True, exist_ok=True)
                await shoot(world, full, {**where, "/report answered": "/report?target=hours&from=today&to=today"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"), help="where the pictures go")
    parser.add_argument("--docs", action="store_true", help="only those of docs/images")
    options = parser.parse_args()
    asyncio.run(main(options.folder, docs=options.docs))

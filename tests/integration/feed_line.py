"""The whole line behind the change feed, on one stopped clock: feed, accept, enrich, route, deliver to a noting target.

Another `FeedLine` on the same World is another process: they share nothing but Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from relay import jobs, telemetry
from relay.erase import Forgetting
from relay.events import Event, event_id
from relay.feed.runner import Feeds
from relay.fields import Keep
from relay.pipeline import Intake, Line, Outside, Pipeline
from relay.routing import Router
from relay.settings import Portal, load_mapping
from relay.simulator.state import Change
from relay.store.erasing import ErasingStore
from relay.store.feeds import FeedStore
from relay.store.store import Store
from relay.store.work import Lane
from tests.fakes import RecordingTarget
from tests.integration.planday_world import World

FEEDS = ("employees", "shifts", "punchclock", "absence", "payroll", "reference")


class FeedLine:
    """One process: all parts of a worker, driven by hand."""

    def __init__(
        self,
        world: World,
        *,
        feeds: tuple[str, ...] = FEEDS,
        heard: Callable[[telemetry.Happening], None] | None = None,
        mortal: Callable[[FeedStore], Any] = lambda store: store,
        **targets: Mapping[str, Any],
    ) -> None:
        """`heard` hears what happens; `mortal` may put something between the feeds and their store."""
        plain = {"type": "webhook", "url": "https://t.example", "signing_secret": "env:S", "events": ["planday.*"]}
        body = {"targets": {name: {**plain, **more} for name, more in (targets or {"hours": {}}).items()}}
        self.settings = settings = load_mapping(body, environ={"S": "whsec_" + "A" * 32})
        self.world = world
        self.heard: list[telemetry.Happening] = []
        self.outside = Outside(
            clock=world.now, sleep=world.sleep, chance=lambda: 0.0, record=heard or self.heard.append
        )
        work = jobs.Jobs(world.keys.prefix, world.keys.queue)
        self.store = Store(world.redis, world.keys, backlog_limit=100_000, bell=work.bell)
        self.feed_store = FeedStore(world.redis, world.keys, backlog_limit=100_000, bell=work.bell)
        self.intake = Intake(self.store, self.outside)
        self.targets = {name: RecordingTarget(name, one) for name, one in settings.targets.items()}  # type: ignore[arg-type]
        keep = Keep([target.fields for target in self.targets.values()])
        self.portals: dict[str, Portal] = {
            name: world.portal(name).model_copy(update={"feeds": feeds}) for name in ("bistro", "harbour")
        }
        entries = [entry for target in self.targets.values() for entry in target.fields.entries]
        self.planday = world.planday(*entries, portals=self.portals)
        self.feeds = Feeds(
            self.portals,
            planday=self.planday,
            store=mortal(self.feed_store),
            intake=self.intake,
            locks=world.shared,
            keep=keep,
            outside=self.outside,
            erased=world.tombstones,
        )
        lanes = tuple(
            Lane(
                target=name,
                concurrency=1000,
                per_second=None,
                burst=1,
                limiter=name,
                dedupes=True,
            )
            for name in self.targets
        )
        line = Line(
            planday=self.planday,
            router=Router(settings.targets),
            targets=self.targets,  # type: ignore[arg-type]
            lanes=lanes,
            forgetting=Forgetting(ErasingStore(world.redis, world.keys), world.tombstones, self.outside),
        )
        self.pipeline = Pipeline(self.store, line, self.outside)

    async def look(self, *names: str) -> None:
        """Let the feeds of these portals (all) look, as far as they are due."""
        for name in names or tuple(self.portals):
            await self.feeds.tick(name)

    async def work(self) -> None:
        """Handle all that is due now."""
        while True:
            claim = await self.store.claim(
                self.pipeline.lanes, now=self.world.now(), lease=30, most_events=100, most_deliveries=100
            )
            if not claim.events and not claim.deliveries:
                return
            await asyncio.gather(
                *(self.pipeline.process(one) for one in claim.events),
                *(self.pipeline.deliver(*some) for some in self.pipeline.calls_of(claim.deliveries)),
            )

    async def send(self, change: Change) -> None:
        """The other door: what a sender would push about a change, as the receiver accepts it."""
        if change.type is None:
            return
        sender_id = f"change-{change.sequence}"
        event = Event(
            id=event_id("planday", sender_id),
            source="planday",
            sender_id=sender_id,
            type=change.type,
            portal=change.portal_id,
            entity=change.entity,
            entity_id=str(change.id),
            received_at=self.world.now(),
            time=change.at,
        )
        await self.intake.accept([event])

    def sent(self, target: str = "hours") -> list[Mapping[str, Any]]:
        """The envelopes that a target got, after its field list."""
        one = self.targets[target]
        return [one.fields.apply(sending.envelope) for sending in one.sent]

    def told(self, type_: type[telemetry.Happening]) -> list[Any]:
        return [one for one in self.heard if isinstance(one, type_)]

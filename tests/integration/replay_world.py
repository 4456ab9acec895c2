"""A relay played by hand, with everything that makes and runs replay plans over it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relay.events import DeliveryState, Event, Outcome, event_id
from relay.jobs import Jobs
from relay.replay import PlanRequest, Replays, Rereading, Runner
from relay.settings import Portal
from relay.store.audit import Audit
from relay.store.keys import Keys
from relay.store.plans import Plans
from relay.store.reading import DeliveryFilter, Reading
from relay.store.store import Store
from relay.targets import Result, Sending
from tests.fakes import FakeClock, Relay

PORTAL = 4100001
T0 = 1_790_000_000.0
Client = Any


class World:
    """`answers` says per event id and target what a target answers; anything else is delivered."""

    def __init__(self, client: Client, prefix: str, *, window: int = 500, **targets: Mapping[str, Any]) -> None:
        self.keys = Keys(prefix)
        self.clock = FakeClock(T0)
        self.store = Store(client, self.keys, backlog_limit=100_000, bell=Jobs(prefix, self.keys.queue).bell)
        self.reading = Reading(client, self.keys)
        self.audit = Audit(client, self.keys)
        self.plans = Plans(client, self.keys)
        self.window = window
        self.answers: dict[tuple[str, str], Outcome] = {}
        # What Planday says, by subject.
        self.records: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        self._made: dict[str, Any] = {}
        self.configure(**(targets or {"hours": {}}))

    def configure(self, **targets: Mapping[str, Any]) -> None:
        """Another configuration over the same store, as after a restart."""
        self.relay = Relay(self.store, self.clock, **targets)
        self.relay.planday.records = self.records
        for name, target in self.relay.targets.items():
            target.answer = lambda sending, name=name: self._answer(sending, name)  # type: ignore[misc]
        portals = {"bistro": Portal.model_construct(id=PORTAL)}
        self.replays = Replays(
            plans=self.plans,
            reading=self.reading,
            targets=self.relay.settings.targets,
            portals=portals,
            audit=self.audit,
            outside=self.relay.outside,
        )
        self.runner = self.another_runner()

    def another_runner(self, plans: Plans | None = None) -> Runner:
        """One in another worker."""
        rereading = Rereading(
            self.relay.planday,
            self.relay.settings.targets,
            plans=self.plans,
            reading=self.reading,
            outside=self.relay.outside,
        )
        return Runner(plans=plans or self.plans, outside=self.relay.outside, rereading=rereading, window=self.window)

    def _answer(self, sending: Sending, target: str) -> Result:
        outcome = self.answers.get((sending.event_id, target), Outcome.DELIVERED)
        return Result(outcome=outcome, reason=outcome.value, status=202 if outcome is Outcome.DELIVERED else 422)

    def event(self, entity_id: str = "1", *, type_: str = "planday.shift.approved", **changes: Any) -> Event:
        number = f"n{next(self._numbers)}"
        made = Event(
            id=event_id("test", number),
            source="test",
            sender_id=number,
            type=type_,
            portal=PORTAL,
            entity="shift",
            entity_id=entity_id,
            received_at=self.clock(),
        )
        return replace(made, **changes)

    async def happened(
        self, *entities: str, fails: Mapping[str, Outcome] | None = None, type_: str = "planday.shift.approved"
    ) -> list[str]:
        """One event per entity, worked on to its end; `fails` says how per target. Returns their ids."""
        ids = []
        for entity in entities:
            # Each is another change of its record, unless the test says what the record is.
            subject = f"shift/{entity}"
            if self.records.get(subject) in (None, self._made.get(subject)):
                made = {"id": int(entity), "status": "Assigned", "dateTimeModified": str(next(self._numbers))}
                self.records[subject] = self._made[subject] = made
            one = self.event(entity, type_=type_)
            ids.append(one.id)
            for target, outcome in (fails or {}).items():
                self.answers[one.id, target] = outcome
            await self.store.accept([one], now=self.clock())
            await self.relay.work()
            self.clock.now += 1
        for one_id in ids:
            for target in fails or {}:
                del self.answers[one_id, target]
        for sink in self.relay.targets.values():
            sink.sent.clear()
        return ids

    async def dead(self, *entities: str, target: str = "hours", **more: Any) -> list[str]:
        return await self.happened(*entities, fails={target: Outcome.REJECTED}, **more)

    async def planned(self, **wanted: Any) -> dict[str, Any]:
        return await self.replays.plan(PlanRequest(**{"by": "test", **wanted}))

    async def run(self, plan: str | Mapping[str, Any], *, rate: float | None = None) -> dict[str, Any]:
        """Start a plan and work until it has ended."""
        name = plan if isinstance(plan, str) else str(plan["id"])
        await self.replays.start(name, by="test", rate=rate)
        return await self.finish(name)

    async def finish(self, plan: str) -> dict[str, Any]:
        for _ in range(200):
            await self.runner.run(plan)
            await self.relay.work_until_done()
            status = await self.replays.status(plan)
            if status["state"] in ("ended", "cancelled"):
                return status
        raise AssertionError(f"still {status}")

    async def state(self, event: str, target: str = "hours") -> DeliveryState:
        return (await self.reading.delivery(event, target)).state

    async def states(self) -> dict[tuple[str, str], str]:
        """Every delivery's state."""
        page = await self.reading.list_deliveries(DeliveryFilter(), limit=10_000)
        return {(row.delivery.event, row.delivery.target): row.delivery.state.value for row in page.rows}

    def sent(self, target: str = "hours") -> list[str]:
        return [one.event_id for one in self.relay.targets[target].sent]

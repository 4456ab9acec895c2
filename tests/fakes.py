"""The two holes for the outside world, filled for tests: time, Planday and a target. There is no fake store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay import telemetry
from relay.events import Event, Outcome
from relay.pipeline import Line, Outside, Pipeline
from relay.planday.enrich import Enrichment
from relay.routing import Router
from relay.settings import WebhookTarget, load_mapping
from relay.store.store import Store
from relay.store.work import Lane
from relay.targets import Result, Sending


class FakeClock:
    """Time that stands still until it is moved; sleeping moves it."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FakePlanday:
    """Answers from a table by subject: a record, a whole enrichment, or an exception to raise."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.asked: list[str] = []

    async def enrich(
        self, event: Event, *, now: float, not_before: float | None = None, reread: bool = False, priority: int = 0
    ) -> Enrichment:
        if event.seen is not None and event.type.startswith("relay."):
            return Enrichment(object=dict(event.seen.object or {}), fetched_at=now)
        self.asked.append(event.subject)
        found = self.records.get(event.subject, {"id": event.entity_id, "status": "Assigned"})
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Enrichment):
            return found
        return Enrichment(object=found, fetched_at=now, modified=found.get("dateTimeModified"))


class RecordingTarget:
    """Remembers what it was sent and answers as told; `answer` may be a function of the sending."""

    def __init__(self, name: str, settings: WebhookTarget) -> None:
        self.name = name
        self.settings = settings
        self.fields = settings.field_list()
        self.dedupes = settings.dedupes
        self.limiter = name
        self.gathers = 1
        self.gap = 0.0
        self.together: list[list[Sending]] = []
        self.sent: list[Sending] = []
        self.answer: Callable[[Sending], Result] = lambda _: Result(outcome=Outcome.DELIVERED, reason="ok", status=202)

    def send_at(self, type_: str, now: float) -> float:
        return now + self.gap

    def again_at(self, type_: str, due: float) -> float:
        return due

    async def send(self, sending: Sending) -> Result:
        self.sent.append(sending)
        return self.answer(sending)

    async def send_together(self, sendings: Sequence[Sending]) -> Result:
        self.together.append(list(sendings))
        return self.answer(sendings[0])


class Relay:
    """A pipeline over a real store with fake edges, driven by hand."""

    def __init__(self, store: Store, clock: FakeClock, **targets: Mapping[str, Any]) -> None:
        plain = {"type": "webhook", "url": "https://t.example", "signing_secret": "env:S", "events": ["planday.*"]}
        body = {"targets": {name: {**plain, **extra} for name, extra in targets.items()}}
        self.settings = load_mapping(body, environ={"S": "whsec_" + "A" * 32})
        self.store = store
        self.clock = clock
        self.planday = FakePlanday()
        self.heard: list[telemetry.Happening] = []
        self.outside = Outside(clock=clock, sleep=clock.sleep, chance=lambda: 0.0, record=self.heard.append)
        self.targets = {name: RecordingTarget(name, one) for name, one in self.settings.targets.items()}  # type: ignore[arg-type]
        self.pipeline = Pipeline(store, self._line(), self.outside)

    def _line(self) -> Line:
        return Line(
            planday=self.planday,
            router=Router(self.settings.targets),
            targets=self.targets,  # type: ignore[arg-type]
            lanes=tuple(
                Lane(
                    target=name,
                    concurrency=target.settings.rate.concurrency,
                    per_second=target.settings.rate.per_second,
                    burst=target.settings.rate.burst,
                    limiter=name,
                    dedupes=target.dedupes,
                    gathers=target.gathers,
                )
                for name, target in self.targets.items()
            ),
        )

    def rebuilt(self) -> Pipeline:
        """The pipeline anew, after one of its parts was exchanged."""
        self.pipeline = Pipeline(self.store, self._line(), self.outside)
        return self.pipeline

    async def work(self) -> float | None:
        """Handle all that is due now; returns when the next is due."""
        while True:
            claim = await self.store.claim(
                self.pipeline.lanes, now=self.clock(), lease=30, most_events=100, most_deliveries=100
            )
            if not claim.events and not claim.deliveries:
                return claim.next_due
            await asyncio.gather(
                *(self.pipeline.process(one) for one in claim.events),
                *(self.pipeline.deliver(*some) for some in self.pipeline.calls_of(claim.deliveries)),
            )

    async def work_until_done(self, *, most: int = 200) -> None:
        """Go on from due time to due time until nothing is left."""
        for _ in range(most):
            due = await self.work()
            if due is None:
                return
            self.clock.now = max(self.clock.now, due)
        raise AssertionError("still not done")

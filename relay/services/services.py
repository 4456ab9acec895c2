"""Everything that is open in one process, and the few acts that need more than one room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay import jobs, telemetry
from relay.alerts.incidents import Incident
from relay.alerts.watch import Watch, open_incidents
from relay.consent import Consents
from relay.desk import Desk
from relay.errands import Errands
from relay.errors import NotFoundError
from relay.feed.marks import Mark
from relay.feed.runner import Feeds, look_now
from relay.keeping import Keeping
from relay.pipeline import Intake, Outside, Pipeline
from relay.planday.enrich import Planday
from relay.planday.limits import CLIENT_POLICY, PORTAL_POLICY
from relay.planday.tokens import Authorisation, authorisation
from relay.quarantine import Quarantine
from relay.replay import Replays, Runner
from relay.report import Reports
from relay.settings import Settings
from relay.store import checks
from relay.store.alerts import AlertStore
from relay.store.feeds import FeedStore
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.rotation import Rotation, rotations
from relay.store.series import Series
from relay.store.sessions import ApiTokens, Sessions, Throttle
from relay.store.shared import SharedState
from relay.store.shelf import Shelf
from relay.store.store import Store
from relay.store.wake import WakeList
from relay.targets import Target


@dataclass(slots=True, kw_only=True)
class Services:
    """Everything that is open in this process. A receiver has no pipeline: it holds no target's secrets."""

    settings: Settings
    url: str
    keys: Keys
    jobs: jobs.Jobs
    store: Store
    reading: Reading
    shelf: Shelf
    quarantine: Quarantine
    shared: SharedState
    intake: Intake
    replays: Replays
    reports: Reports
    desk: Desk
    consents: Consents
    errands: Errands
    keeping: Keeping
    series: Series
    sessions: Sessions
    tokens: ApiTokens
    throttle: Throttle
    telemetry: telemetry.Telemetry
    outside: Outside
    arq: Any
    wake: WakeList
    findings: list[checks.Finding] = field(default_factory=list)
    feeds: Feeds | None = None
    watch: Watch | None = None
    _pipeline: Pipeline | None = None
    _runner: Runner | None = None

    @property
    def clock(self) -> Callable[[], float]:
        return self.outside.clock

    @property
    def planday(self) -> Planday | None:
        """Planday's side, in a process that was opened with it."""
        return self.errands.planday

    @property
    def targets(self) -> Mapping[str, Target]:
        """The targets of a worker; nobody else holds their secrets."""
        return self.errands.targets

    @property
    def pipeline(self) -> Pipeline:
        if self._pipeline is None:
            raise RuntimeError("this process was opened without the worker's part")
        return self._pipeline

    async def look_at_store(self) -> list[checks.Finding]:
        """What is wrong with this Redis now. Raises StoreUnavailable."""
        self.findings = await checks.inspect(
            self.reading.client,
            now=self.clock,
            durability=self.settings.store.durability,
            embedded=self.settings.store.url is None,
        )
        return self.findings

    async def incidents(self) -> list[Incident]:
        """What the relay has told of itself and is not over, the oldest first. Raises StoreError."""
        return await open_incidents(alert_store(self))

    @property
    def runner(self) -> Runner:
        """What runs replay plans, in a worker."""
        if self._runner is None:
            raise RuntimeError("this process was opened without the worker's part")
        return self._runner

    async def start_replay(self, plan: str, *, by: str, reason: str = "", rate: float | None = None) -> dict[str, Any]:
        """Let a plan run, now, in whichever worker is free. Raises as `Replays.start` does."""
        facts = await self.replays.start(plan, by=by, reason=reason, rate=rate)
        await jobs.enqueue(self.arq, self.jobs, jobs.REPLAY, plan)
        return facts

    async def resume_replay(self, plan: str, *, by: str, reason: str = "") -> dict[str, Any]:
        """Let a paused plan go on, now. Raises as `Replays.resume` does."""
        facts = await self.replays.resume(plan, by=by, reason=reason)
        await jobs.enqueue(self.arq, self.jobs, jobs.REPLAY, plan)
        return facts

    async def cancel_replay(self, plan: str, *, by: str, reason: str = "") -> dict[str, Any]:
        """End a plan; a worker takes back what waits. Raises as `Replays.cancel` does."""
        facts = await self.replays.cancel(plan, by=by, reason=reason)
        await jobs.enqueue(self.arq, self.jobs, jobs.REPLAY, plan)
        return facts

    async def look_now(self, name: str) -> tuple[str, ...]:
        """Ask for a look of every feed of a portal; the names of its feeds. Some worker's timer takes it."""
        portal = self.settings.portals.get(name)
        if portal is None:
            raise NotFoundError(f"there is no portal {name}; there are {', '.join(self.settings.portals) or 'none'}")
        return await look_now(feed_store(self), portal, now=self.clock())

    async def feed_marks(self, name: str) -> dict[str, Mark]:
        """How far each feed of a configured portal has come. Asks the store only."""
        portal, store = self.settings.portals[name], feed_store(self)
        return {feed: Mark.read(await store.mark(portal.id, feed)) for feed in portal.feeds}

    async def portal_budgets(self) -> dict[str, dict[str, Any]]:
        """Per portal the calls left in each of its windows, and what the last two minutes' calls were for."""
        found: dict[str, dict[str, Any]] = {}
        for name, portal in self.settings.portals.items():
            scope, now = f"portal:{portal.id}", self.clock()
            _, windows = await self.shared.budget(
                portal=scope, client="none", now=now, portal_policy=PORTAL_POLICY, client_policy=CLIENT_POLICY
            )
            rows = [{"window": span, "limit": most, "left": left} for of, span, most, left in windows if of == "portal"]
            found[name] = {"windows": rows, "spent": dict(await self.shared.spent(portal=scope, now=now))}
        return found

    async def rotations(self) -> dict[str, Rotation]:
        """What `rotate-secret` made for configured targets and is in force. Asks the store only."""
        return await rotations(self.reading.client, self.keys, self.settings.targets)

    async def portal_states(self) -> dict[str, Authorisation]:
        """Each configured portal's authorisation as it is recorded: `ok`, `lost` or `untried`. Asks the store only."""
        portals = self.settings.portals
        records = await asyncio.gather(*(self.shared.token(portal.id) for portal in portals.values()))
        return {name: authorisation(record) for name, record in zip(portals, records, strict=True)}


def alert_store(services: Services) -> AlertStore:
    """What the watch remembers."""
    return AlertStore(
        services.reading.client,
        services.keys,
        bell=services.jobs.bell,
        memory_limit=services.settings.store.memory_limit,
    )


def feed_store(services: Services) -> FeedStore:
    """What the change feed remembers."""
    return FeedStore(
        services.store.client,
        services.keys,
        backlog_limit=services.settings.relay.backlog_limit,
        bell=services.jobs.bell,
        memory_limit=services.settings.store.memory_limit,
    )

"""The wiring: one async context manager opens everything a process needs and closes it in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from relay import jobs, telemetry
from relay.alerts.heartbeat import Heartbeat
from relay.alerts.incidents import Incident
from relay.alerts.watch import Watch, open_incidents
from relay.consent import Consents
from relay.desk import Desk
from relay.erase import Order
from relay.errands import Errands
from relay.errors import NotFoundError, StoreUnfit
from relay.feed.marks import Mark
from relay.feed.runner import Feeds, look_now
from relay.fields import Keep
from relay.http import AddressPolicy, OutgoingTransport
from relay.keeping import Keeping, cipher_of
from relay.messages import Messages
from relay.pipeline import Intake, Line, Outside, Pipeline
from relay.planday.enrich import Planday
from relay.planday.limits import CLIENT_POLICY, PORTAL_POLICY
from relay.planday.tokens import Authorisation, authorisation
from relay.planday.wire import PlandayCalled
from relay.replay import PlanRequest, Replays, Rereading, Runner
from relay.report import Reports
from relay.routing import Router
from relay.settings import Settings
from relay.store import checks
from relay.store.alerts import AlertStore
from relay.store.client import connect
from relay.store.feeds import FeedStore
from relay.store.keys import Keys
from relay.store.ledger import Ledger
from relay.store.paging import Page
from relay.store.plans import Plans
from relay.store.reading import DeliveryFilter, DeliveryRow, EventFilter, Reading
from relay.store.reporting import Reporting
from relay.store.server import attach
from relay.store.shared import SharedState
from relay.store.shelf import Quarantined, Shelf
from relay.store.store import Store
from relay.store.wake import WakeList
from relay.store.work import Accepted, Lane
from relay.targets import Target, build_all

# What entrances need to ask and to read answers; the rest of those rooms is not theirs.
__all__ = [
    "Accepted",
    "DeliveryFilter",
    "DeliveryRow",
    "EventFilter",
    "Incident",
    "Order",
    "Page",
    "PlanRequest",
    "Quarantined",
    "Services",
    "loop_factory",
    "open_services",
    "store_url",
]


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
    shared: SharedState
    intake: Intake
    replays: Replays
    reports: Reports
    desk: Desk
    consents: Consents
    errands: Errands
    keeping: Keeping
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
        return await open_incidents(_alert_store(self))

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
        return await look_now(_feed_store(self), portal, now=self.clock())

    async def feed_marks(self, name: str) -> dict[str, Mark]:
        """How far each feed of a configured portal has come. Asks the store only."""
        portal, store = self.settings.portals[name], _feed_store(self)
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

    async def portal_states(self) -> dict[str, Authorisation]:
        """Each configured portal's authorisation as it is recorded: `ok`, `lost` or `untried`. Asks the store only."""
        portals = self.settings.portals
        records = await asyncio.gather(*(self.shared.token(portal.id) for portal in portals.values()))
        return {name: authorisation(record) for name, record in zip(portals, records, strict=True)}


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop of a process: uvloop where it is installed, else (None) the standard one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def store_url(settings: Settings) -> str:
    """The Redis of these settings, or the embedded store that runs in the data folder. Raises StoreError."""
    return settings.store.url.reveal() if settings.store.url is not None else attach(settings.environment.data_dir)


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    worker: bool,
    portals: bool = False,
    clock: Callable[[], float] = time.time,
    telemetry_: telemetry.Telemetry | None = None,
    strict: bool = True,
) -> AsyncIterator[Services]:
    """Everything for one process; `worker` adds Planday, the targets and the pipeline, `portals` Planday alone.

    Raises StoreError when there is no store, and StoreUnfit when it must not be used (`strict`).
    """
    async with AsyncExitStack() as stack:
        told = telemetry_ or telemetry.Telemetry(log_format=settings.environment.log_format)
        outside = Outside(clock=clock, record=told.record)
        url = store_url(settings)
        keys = Keys(settings.relay.key_prefix)
        client = connect(url)
        stack.push_async_callback(client.aclose)
        shelf = Shelf(client, keys)
        work = jobs.Jobs(keys.prefix, keys.queue)
        arq = jobs.pool(url, work)
        stack.push_async_callback(arq.aclose, close_connection_pool=True)  # a pool made elsewhere stays open
        wake = WakeList(url, keys)
        stack.push_async_callback(wake.aclose)
        # The receiver's limit is its own: a sender waits for the answer.
        accepting = connect(url, socket_timeout=settings.relay.store_timeout)
        stack.push_async_callback(accepting.aclose)
        store = Store(
            client if worker else accepting,
            keys,
            backlog_limit=settings.relay.backlog_limit,
            bell=work.bell,
            accept_patience=settings.relay.store_timeout,
            memory_limit=settings.store.memory_limit,
        )
        reading, shared = Reading(client, keys), SharedState(client, keys)
        keeping = Keeping.of(settings, client=client, store=store, keys=keys, shared=shared, outside=outside)
        services = Services(
            settings=settings,
            url=url,
            keys=keys,
            jobs=work,
            store=store,
            reading=reading,
            shelf=shelf,
            shared=shared,
            intake=Intake(store, outside),
            replays=Replays(
                plans=Plans(client, keys),
                reading=reading,
                targets=settings.targets,
                portals=settings.portals,
                audit=keeping.audit,
                outside=outside,
            ),
            reports=Reports(reporting=Reporting(client, keys), reading=reading, settings=settings, outside=outside),
            desk=Desk(store=store, reading=reading, outside=outside, targets=settings.targets, audit=keeping.audit),
            keeping=keeping,
            consents=Consents(client, keys),
            errands=Errands(
                settings=settings,
                url=url,
                keys=keys,
                jobs=work,
                arq=arq,
                store=store,
                clock=outside.clock,
                audit=keeping.audit,
                erasures=keeping.erasures,
            ),
            telemetry=told,
            outside=outside,
            arq=arq,
            wake=wake,
        )
        errors = [finding for finding in await services.look_at_store() if finding.level == "error"]
        if errors and strict:
            faults = "\n".join(f"  {finding}" for finding in errors)
            raise StoreUnfit(f"this Redis must not be used as it is:\n{faults}")
        await shelf.claim_format()
        if worker:
            await _add_worker_part(services, stack)
        elif portals:
            services.errands.planday = _planday(services, stack, Keep([]))
        yield services


def _alert_store(services: Services) -> AlertStore:
    return AlertStore(
        services.reading.client,
        services.keys,
        bell=services.jobs.bell,
        memory_limit=services.settings.store.memory_limit,
    )


def _feed_store(services: Services) -> FeedStore:
    return FeedStore(
        services.store.client,
        services.keys,
        backlog_limit=services.settings.relay.backlog_limit,
        bell=services.jobs.bell,
        memory_limit=services.settings.store.memory_limit,
    )


def _planday(services: Services, stack: AsyncExitStack, keep: Keep) -> Planday:
    settings, cipher = services.settings, cipher_of(services.settings)
    transports = {}
    for name, portal in settings.portals.items():
        policy = AddressPolicy(
            allow_networks=tuple(ip_network(network) for network in portal.allow_networks),
            allow_http=bool(portal.allow_networks),
        )
        transports[name] = OutgoingTransport(policy, max_answer=32 * 1024 * 1024, strict_size=True)
        stack.push_async_callback(transports[name].aclose)

    def called(call: PlandayCalled) -> None:
        services.outside.record(
            telemetry.PlandayCalled(
                portal=call.portal, endpoint=call.endpoint, status=call.status, seconds=call.seconds
            )
        )

    planday = Planday(
        settings.portals,
        keep=keep,
        shared=services.shared,
        cipher=cipher,
        transports=transports,
        clock=services.clock,
        notify=called,
        erased=services.keeping.tombstones,
    )
    stack.push_async_callback(planday.aclose)
    return planday


async def _add_worker_part(services: Services, stack: AsyncExitStack) -> None:
    settings = services.settings
    messages = Messages(settings.relay.templates)
    ledger = Ledger(services.store.client, services.keys, cipher=cipher_of(settings))
    targets = build_all(settings.targets, messages=messages, public_url=settings.relay.public_url, ledger=ledger)
    for target in targets.values():
        stack.push_async_callback(target.aclose)
    keep = Keep([target.fields for target in targets.values()])
    planday = services.errands.planday = _planday(services, stack, keep)
    services.errands.targets = targets
    lanes = tuple(
        Lane(
            target=name,
            concurrency=target.settings.rate.concurrency,
            per_second=target.settings.rate.per_second,
            burst=target.settings.rate.burst,
            limiter=target.limiter,
            dedupes=target.dedupes,
        )
        for name, target in targets.items()
    )
    plans = Plans(services.store.client, services.keys)
    rereading = Rereading(planday, settings.targets, plans=plans, reading=services.reading, outside=services.outside)
    services._runner = Runner(plans=plans, outside=services.outside, rereading=rereading)
    await services.keeping.tombstones.open()
    router, forgetting = Router(settings.targets), services.keeping.forgetting
    line = Line(planday=planday, router=router, targets=targets, lanes=lanes, forgetting=forgetting)
    services._pipeline = Pipeline(services.store, line, services.outside)
    services.feeds = Feeds(
        settings.portals,
        planday=planday,
        store=_feed_store(services),
        intake=services.intake,
        locks=services.shared,
        keep=keep,
        outside=services.outside,
        erased=services.keeping.tombstones,
    )
    alerts = _alert_store(services)
    heartbeat = None
    if settings.alerts.heartbeat_url is not None:
        heartbeat = Heartbeat(settings.alerts, store=alerts, outside=services.outside)
        stack.push_async_callback(heartbeat.aclose)
    services.watch = Watch(
        settings,
        store=alerts,
        marks=_feed_store(services),
        known_targets=services.reading.known_targets,
        portal_states=services.portal_states,
        findings=lambda: services.findings,
        heartbeat=heartbeat,
        outside=services.outside,
    )

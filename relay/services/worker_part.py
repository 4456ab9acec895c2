"""What a worker needs beyond what every process has."""

from __future__ import annotations

from contextlib import AsyncExitStack
from ipaddress import ip_network

from relay import telemetry
from relay.alerts.heartbeat import Heartbeat
from relay.alerts.watch import Watch
from relay.feed.runner import Feeds
from relay.fields import Keep
from relay.http import AddressPolicy, OutgoingTransport
from relay.keeping import SharedCipher, cipher_of
from relay.messages import Messages
from relay.pipeline import Line, Pipeline
from relay.planday.enrich import Planday
from relay.planday.wire import PlandayCalled
from relay.replay import Rereading, Runner
from relay.routing import Router
from relay.services.services import Services, alert_store, feed_store
from relay.settings import WebhookTarget
from relay.store.ledger import Ledger
from relay.store.plans import Plans
from relay.store.rotation import SigningSecrets
from relay.store.threads import Threads
from relay.store.work import Lane
from relay.targets import build_all


def add_planday(services: Services, stack: AsyncExitStack, keep: Keep) -> Planday:
    """Planday's side of all configured portals; of its answers stays what `keep` keeps."""
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


async def add_worker_part(services: Services, stack: AsyncExitStack) -> None:
    """What only a worker has: the targets with their secrets, the pipeline, the feeds, the watch."""
    settings = services.settings
    messages = Messages(settings.relay.templates)
    ledger = Ledger(services.store.client, services.keys, cipher=cipher_of(settings))
    signing = services.errands.signing = SigningSecrets(
        services.store.client,
        services.keys,
        cipher=SharedCipher(settings),
        configured={
            name: tuple(secret.reveal() for secret in one.signing_secret)
            for name, one in settings.targets.items()
            if isinstance(one, WebhookTarget)
        },
        clock=services.clock,
    )
    await signing.open()
    targets = build_all(
        settings.targets,
        messages=messages,
        public_url=settings.relay.public_url,
        ledger=ledger,
        threads=Threads(services.store.client, services.keys),
        signing=signing,
    )
    for target in targets.values():
        stack.push_async_callback(target.aclose)
    keep = Keep([target.fields for target in targets.values()])
    planday = services.errands.planday = add_planday(services, stack, keep)
    services.errands.targets = targets
    lanes = tuple(
        Lane(
            target=name,
            concurrency=target.settings.rate.concurrency,
            per_second=target.settings.rate.per_second,
            burst=target.settings.rate.burst,
            limiter=target.limiter,
            dedupes=target.dedupes,
            gathers=target.gathers,
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
        store=feed_store(services),
        intake=services.intake,
        locks=services.shared,
        keep=keep,
        outside=services.outside,
        erased=services.keeping.tombstones,
    )
    alerts = alert_store(services)
    heartbeat = None
    if settings.alerts.heartbeat_url is not None:
        heartbeat = Heartbeat(settings.alerts, store=alerts, outside=services.outside)
        stack.push_async_callback(heartbeat.aclose)
    services.watch = Watch(
        settings,
        store=alerts,
        marks=feed_store(services),
        known_targets=services.reading.known_targets,
        portal_states=services.portal_states,
        findings=lambda: services.findings,
        heartbeat=heartbeat,
        outside=services.outside,
    )

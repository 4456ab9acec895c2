"""One async context manager opens everything a process needs and closes it in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from relay import jobs, telemetry
from relay.consent import Consents
from relay.desk import Desk
from relay.errands import Errands
from relay.errors import StoreUnfit
from relay.fields import Keep
from relay.keeping import Keeping, SharedCipher
from relay.pipeline import Intake, Outside
from relay.quarantine import Quarantine
from relay.replay import Replays
from relay.report import Reports
from relay.services.services import Services
from relay.services.worker_part import add_planday, add_worker_part
from relay.settings import Settings
from relay.store.client import connect
from relay.store.keys import Keys
from relay.store.plans import Plans
from relay.store.reading import Reading
from relay.store.reporting import Reporting
from relay.store.series import Series
from relay.store.server import attach
from relay.store.sessions import ApiTokens, Sessions, Throttle
from relay.store.shared import SharedState
from relay.store.shelf import Shelf
from relay.store.store import Store
from relay.store.wake import WakeList


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
        intake = Intake(store, outside)
        services = Services(
            settings=settings,
            url=url,
            keys=keys,
            jobs=work,
            store=store,
            reading=reading,
            shelf=shelf,
            shared=shared,
            intake=intake,
            quarantine=Quarantine(
                shelf=shelf, intake=intake, sources=settings.sources, audit=keeping.audit, outside=outside
            ),
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
            series=Series(client, keys),
            sessions=Sessions(client, keys),
            tokens=ApiTokens(client, keys),
            throttle=Throttle(client, keys),
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
                cipher=SharedCipher(settings),
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
            await add_worker_part(services, stack)
        elif portals:
            services.errands.planday = add_planday(services, stack, Keep([]))
        yield services

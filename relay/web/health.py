"""For machines that watch: is the process alive, can it take events, and what does it count."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay import telemetry
from relay.errors import StoreError
from relay.events import rfc3339
from relay.services import Services
from relay.settings import Settings
from relay.web.access import bearer
from relay.web.asking import json_answer, services_of

_RETRY_AFTER = "5"
_CIRCUIT = {"open": 0.0, "held": 1.0, "paused": 2.0, "failing": 3.0}


async def healthz(_request: Request) -> Response:
    """The process lives; nothing else is asked."""
    return json_answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether events can be taken: the store takes a write, and we are not stopping.

    Workers and portals are told about and are no reason for a 503: the receiver takes events without any.
    """
    services = services_of(request)
    problem = await _store_problem(services)
    live = await _live(services) if problem is None else None
    draining: bool = request.app.state.draining
    ready = problem is None and not draining
    body = {
        "status": "ready" if ready else "draining" if draining else "store",
        "store": {
            "writable": problem is None,
            "problem": problem,
            "findings": [str(one) for one in services.findings if one.level == "error"],
        },
        "workers": live[0] if live else None,
        "drains": live[1] if live else None,
        "portals": await _portals(services) if problem is None else None,
        "incidents": await _incidents(services) if problem is None else None,
    }
    return json_answer(body, status=200 if ready else 503, headers={} if ready else {"retry-after": _RETRY_AFTER})


async def metrics(request: Request) -> Response:
    """Prometheus text: what this process counted, and gauges just read from the store."""
    services = services_of(request)
    if not _is_open(services.settings):
        await bearer(request.scope["headers"], services)
    page = services.telemetry.render(await _gauges(services))
    return Response(page, media_type=telemetry.CONTENT_TYPE, headers={"cache-control": "no-store"})


async def _store_problem(services: Services) -> str | None:
    """Why the store takes no write, or None.

    Claiming the data format is a write that changes nothing: Redis refuses it whenever it would refuse an event.
    """
    try:
        async with asyncio.timeout(services.settings.relay.store_timeout):
            await services.shelf.claim_format()
    except StoreError as error:
        return str(error)
    except TimeoutError:
        return f"the store did not answer within {services.settings.relay.store_timeout:g} s"
    return None


async def _live(services: Services) -> tuple[int, int] | None:
    try:
        async with asyncio.timeout(services.settings.relay.store_timeout):
            return await services.store.live(now=services.clock())
    except (StoreError, TimeoutError):
        return None


async def _portals(services: Services) -> Mapping[str, str] | None:
    """Whether each portal's authorisation works, as recorded; without a word on why, since anybody may read this."""
    try:
        async with asyncio.timeout(services.settings.relay.store_timeout):
            return await services.portal_states()
    except (StoreError, TimeoutError):
        return None


async def _incidents(services: Services) -> list[dict[str, Any]] | None:
    """What is wrong, without a word on why, since anybody may read this; `relay alerts` has the sentences."""
    try:
        async with asyncio.timeout(services.settings.relay.store_timeout):
            found = await services.incidents()
    except (StoreError, TimeoutError):
        return None
    return [{"incident": one.key, "since": rfc3339(one.since), "critical": one.critical} for one in found]


async def _gauges(services: Services) -> telemetry.Gauges:
    """Read from the store when somebody asks; without a store there are only the counters of this process."""
    try:
        async with asyncio.timeout(services.settings.relay.store_timeout):
            stats = await services.reading.stats(tuple(services.settings.targets), now=services.clock())
            portals = await services.portal_states()
            budgets = await services.portal_budgets()
            kinds = Counter(one.kind for one in await services.incidents())
    except (StoreError, TimeoutError):
        return {}
    rows: Mapping[str, Mapping[str, Any]] = stats["targets"]
    return {
        "queue_depth": {"events": stats["events_waiting"], **{name: row["waiting"] for name, row in rows.items()}},
        "oldest_pending_seconds": {name: row["oldest_waiting_seconds"] or 0.0 for name, row in rows.items()},
        "dead_letters": {name: row["dead"] for name, row in rows.items()},
        "parked": {name: row["parked"] for name, row in rows.items()},
        "circuit_state": {name: _CIRCUIT[row["state"]] for name, row in rows.items()},
        "portal_authorised": {name: float(state == "ok") for name, state in portals.items() if state != "untried"},
        "planday_budget_left": {
            (name, str(row["window"])): row["left"] for name, budget in budgets.items() for row in budget["windows"]
        },
        "planday_calls_recent": {
            (name, purpose): count for name, budget in budgets.items() for purpose, count in budget["spent"].items()
        },
        "incident": dict(kinds),
        "open_events": stats["open"],
        "workers": stats["workers"],
        "quarantine_bodies": stats["quarantine"],
        "store_bytes": stats["store_bytes"] or 0,
    }


def _is_open(settings: Settings) -> bool:
    """Whether anybody who can reach /metrics may read it: on loopback, with nothing in front that others reach."""
    if settings.relay.public_url is not None:
        return False
    try:
        return ipaddress.ip_address(settings.relay.bind).is_loopback
    except ValueError:
        return settings.relay.bind == "localhost"

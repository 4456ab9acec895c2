"""The overview: one sentence, the numbers behind it, a chart, and how each target and portal stands."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from relay.services import Services
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.headline import headline

_SPANS = {"1h": (60.0, 60, "a minute"), "24h": (1800.0, 48, "half an hour"), "7d": (10_800.0, 56, "three hours")}


async def show_overview(request: Request) -> Response:
    """The first page."""
    services = services_of(request)
    now, settings = services.clock(), services.settings
    span = request.query_params.get("span", "1h")
    span = span if span in _SPANS else "1h"
    step, count, words = _SPANS[span]
    names = await all_targets(services)
    stats, incidents, portals, budgets, buckets = await asyncio.gather(
        services.reading.stats(names, now=now),
        services.incidents(),
        services.portal_states(),
        services.portal_budgets(),
        services.series.buckets(names, now=now, step=step, count=count),
    )
    rows = stats["targets"]
    oldest = [row["oldest_waiting_seconds"] for row in rows.values() if row["oldest_waiting_seconds"] is not None]
    return rendering.page(
        request,
        "overview.html",
        top=headline(stats, incidents, portals, sources=len(settings.sources)),
        stats=stats,
        targets=rows,
        dead=sum(row["dead"] for row in rows.values()) + stats["events_dead"],
        parked=sum(row["parked"] for row in rows.values()),
        waiting=sum(row["waiting"] + row["sending"] for row in rows.values()) + stats["events_waiting"],
        oldest=max(oldest, default=stats["oldest_open_seconds"]),
        portals=portals,
        budgets=budgets,
        buckets=buckets,
        span=span,
        spans=tuple(_SPANS),
        step_words=words,
    )


async def all_targets(services: Services) -> tuple[str, ...]:
    """The configured targets first, then those that left the configuration and still have deliveries."""
    return tuple(dict.fromkeys([*services.settings.targets, *await services.reading.known_targets()]))

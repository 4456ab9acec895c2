"""The JSON API under /api/v1 as data: every route, its method and its handler. openapi.py documents the same.

A handler that takes query parameters refuses those it does not know; `no_query` refuses all for the others.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from relay.web import api_audit as audit
from relay.web import api_catalog as catalog
from relay.web import api_events as events
from relay.web import api_operations as operations
from relay.web import api_replay as replay
from relay.web import api_report as report
from relay.web.access import BearerOnly
from relay.web.asking import json_answer, no_query
from relay.web.openapi import document

PREFIX = "/api/v1"

ROUTES = (
    Route("/events", events.list_events),
    Route("/events/{event}", no_query(events.show_event)),
    Route("/events/{event}/explain", no_query(events.explain_event)),
    Route("/deliveries", events.list_deliveries),
    Route("/deliveries/{event}/{target}", no_query(events.show_delivery)),
    Route("/deliveries/{event}/{target}/retry", no_query(events.retry_delivery), methods=["POST"]),
    Route("/deliveries/{event}/{target}/release", no_query(events.release_delivery), methods=["POST"]),
    Route("/deliveries/{event}/{target}/cancel", no_query(events.cancel_delivery), methods=["POST"]),
    Route("/replay/plans", no_query(replay.list_plans)),
    Route("/replay/plans", no_query(replay.make_plan), methods=["POST"]),
    Route("/replay/plans/{plan}", no_query(replay.show_plan)),
    Route("/replay/plans/{plan}/run", no_query(replay.run_plan), methods=["POST"]),
    Route("/replay/plans/{plan}/pause", no_query(replay.pause_plan), methods=["POST"]),
    Route("/replay/plans/{plan}/resume", no_query(replay.resume_plan), methods=["POST"]),
    Route("/replay/plans/{plan}/cancel", no_query(replay.cancel_plan), methods=["POST"]),
    Route("/targets", no_query(operations.list_targets)),
    Route("/targets/{target}/test", no_query(operations.test_target), methods=["POST"]),
    Route("/targets/{target}/preview", no_query(operations.preview_target), methods=["POST"]),
    Route("/targets/{target}/pause", no_query(operations.pause_target), methods=["POST"]),
    Route("/targets/{target}/resume", no_query(operations.resume_target), methods=["POST"]),
    Route("/portals", no_query(operations.list_portals)),
    Route("/portals/{portal}/check", no_query(operations.check_portal), methods=["POST"]),
    Route("/quarantine", operations.list_quarantine),
    Route("/quarantine/{id}", no_query(operations.show_quarantined)),
    Route("/catalog", no_query(catalog.show_catalog)),
    Route("/report", report.show_report),
    Route("/report.csv", report.show_report_csv),
    Route("/alerts", no_query(operations.list_incidents)),
    Route("/audit", audit.list_audit),
    Route("/erasures", no_query(audit.begin_erasure), methods=["POST"]),
    Route("/erasures/{id}", no_query(audit.show_erasure)),
    Route("/stats", no_query(operations.stats)),
    Route("/config", no_query(operations.config)),
    Route("/version", no_query(operations.version)),
)


async def openapi(_request: Request) -> Response:
    """The OpenAPI document. It holds nothing of this relay's, so that anybody may read it."""
    return json_answer(document())


def mount(token: str | None) -> list[Route | Mount]:
    """The API behind its token; in front of it its description, and the schemas of what goes out."""
    guarded = Mount(PREFIX, routes=list(ROUTES), middleware=[Middleware(BearerOnly, token=token)])
    return [
        Route(f"{PREFIX}/openapi.json", openapi),
        Route("/schemas/{entity}.json", catalog.show_schema),
        guarded,
    ]

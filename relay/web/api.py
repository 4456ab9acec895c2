"""The JSON API under /api/v1 as data: every route, its method and its handler. openapi.py documents the same."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from relay.web import api_events as events
from relay.web import api_operations as operations
from relay.web.access import BearerOnly
from relay.web.asking import json_answer
from relay.web.openapi import document

PREFIX = "/api/v1"

ROUTES = (
    Route("/events", events.list_events),
    Route("/events/{event}", events.show_event),
    Route("/events/{event}/explain", events.explain_event),
    Route("/deliveries", events.list_deliveries),
    Route("/deliveries/{event}/{target}", events.show_delivery),
    Route("/deliveries/{event}/{target}/retry", events.retry_delivery, methods=["POST"]),
    Route("/deliveries/{event}/{target}/cancel", events.cancel_delivery, methods=["POST"]),
    Route("/replay/plans", operations.list_plans),
    Route("/replay/plans", operations.make_plan, methods=["POST"]),
    Route("/replay/plans/{plan}", operations.show_plan),
    Route("/replay/plans/{plan}/run", operations.run_plan, methods=["POST"]),
    Route("/targets", operations.list_targets),
    Route("/targets/{target}/test", operations.test_target, methods=["POST"]),
    Route("/targets/{target}/pause", operations.pause_target, methods=["POST"]),
    Route("/targets/{target}/resume", operations.resume_target, methods=["POST"]),
    Route("/portals", operations.list_portals),
    Route("/portals/{portal}/check", operations.check_portal, methods=["POST"]),
    Route("/quarantine", operations.list_quarantine),
    Route("/quarantine/{id}", operations.show_quarantined),
    Route("/stats", operations.stats),
    Route("/config", operations.config),
    Route("/version", operations.version),
)


async def openapi(_request: Request) -> Response:
    """The OpenAPI document. It holds nothing of this relay's, so that anybody may read it."""
    return json_answer(document())


def mount(token: str | None) -> list[Route | Mount]:
    """The API behind its token, and its description in front of it."""
    guarded = Mount(PREFIX, routes=list(ROUTES), middleware=[Middleware(BearerOnly, token=token)])
    return [Route(f"{PREFIX}/openapi.json", openapi), guarded]

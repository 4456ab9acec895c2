"""The JSON API under /api/v1 as data: every route, its method and its handler. openapi.py documents the same.

A handler that takes query parameters refuses those it does not know; `no_query` refuses all for the others.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from relay.settings import UserRole
from relay.web import api_audit as audit
from relay.web import api_catalog as catalog
from relay.web import api_events as events
from relay.web import api_operations as operations
from relay.web import api_quarantine as quarantine
from relay.web import api_replay as replay
from relay.web import api_report as report
from relay.web.access import BearerOnly, Handler, least
from relay.web.asking import json_answer, no_query
from relay.web.openapi import document

PREFIX = "/api/v1"


def _route(role: UserRole, path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(path, least(role)(handler), methods=[method])


VIEWER, OPERATOR, ADMIN = UserRole.VIEWER, UserRole.OPERATOR, UserRole.ADMIN
# The least role of each; what goes to payroll by a person's decision needs more (access.require_for_target).
ROUTES = (
    _route(VIEWER, "/events", events.list_events),
    _route(VIEWER, "/events/{event}", no_query(events.show_event)),
    _route(VIEWER, "/events/{event}/explain", no_query(events.explain_event)),
    _route(VIEWER, "/deliveries", events.list_deliveries),
    _route(VIEWER, "/deliveries/{event}/{target}", no_query(events.show_delivery)),
    _route(OPERATOR, "/deliveries/{event}/{target}/retry", no_query(events.retry_delivery), "POST"),
    _route(OPERATOR, "/deliveries/{event}/{target}/release", no_query(events.release_delivery), "POST"),
    _route(OPERATOR, "/deliveries/{event}/{target}/cancel", no_query(events.cancel_delivery), "POST"),
    _route(VIEWER, "/replay/plans", no_query(replay.list_plans)),
    _route(OPERATOR, "/replay/plans", no_query(replay.make_plan), "POST"),
    _route(VIEWER, "/replay/plans/{plan}", no_query(replay.show_plan)),
    _route(OPERATOR, "/replay/plans/{plan}/run", no_query(replay.run_plan), "POST"),
    _route(OPERATOR, "/replay/plans/{plan}/pause", no_query(replay.pause_plan), "POST"),
    _route(OPERATOR, "/replay/plans/{plan}/resume", no_query(replay.resume_plan), "POST"),
    _route(OPERATOR, "/replay/plans/{plan}/cancel", no_query(replay.cancel_plan), "POST"),
    _route(VIEWER, "/targets", no_query(operations.list_targets)),
    _route(OPERATOR, "/targets/{target}/test", no_query(operations.test_target), "POST"),
    _route(OPERATOR, "/targets/{target}/preview", no_query(operations.preview_target), "POST"),
    _route(ADMIN, "/targets/{target}/rotate-secret", no_query(operations.rotate_secret), "POST"),
    _route(OPERATOR, "/targets/{target}/pause", no_query(operations.pause_target), "POST"),
    _route(OPERATOR, "/targets/{target}/resume", no_query(operations.resume_target), "POST"),
    _route(VIEWER, "/portals", no_query(operations.list_portals)),
    _route(OPERATOR, "/portals/{portal}/check", no_query(operations.check_portal), "POST"),
    _route(VIEWER, "/quarantine", quarantine.list_quarantine),
    _route(OPERATOR, "/quarantine/retry", no_query(quarantine.retry_quarantine), "POST"),
    _route(OPERATOR, "/quarantine/drop", no_query(quarantine.drop_quarantine), "POST"),
    _route(OPERATOR, "/quarantine/{id}", no_query(quarantine.show_quarantined)),
    _route(OPERATOR, "/quarantine/{id}/retry", no_query(quarantine.retry_quarantined), "POST"),
    _route(OPERATOR, "/quarantine/{id}/drop", no_query(quarantine.drop_quarantined), "POST"),
    _route(VIEWER, "/catalog", no_query(catalog.show_catalog)),
    _route(VIEWER, "/report", report.show_report),
    _route(VIEWER, "/report.csv", report.show_report_csv),
    _route(VIEWER, "/alerts", no_query(operations.list_incidents)),
    _route(OPERATOR, "/audit", audit.list_audit),
    _route(ADMIN, "/erasures", no_query(audit.begin_erasure), "POST"),
    _route(ADMIN, "/erasures/{id}", no_query(audit.show_erasure)),
    _route(VIEWER, "/stats", no_query(operations.stats)),
    _route(OPERATOR, "/config", no_query(operations.config)),
    _route(VIEWER, "/version", no_query(operations.version)),
)


async def openapi(_request: Request) -> Response:
    """The OpenAPI document. It holds nothing of this relay's, so that anybody may read it."""
    return json_answer(document())


def mount() -> list[Route | Mount]:
    """The API behind its token; in front of it its description, and the schemas of what goes out."""
    guarded = Mount(PREFIX, routes=list(ROUTES), middleware=[Middleware(BearerOnly)])
    return [
        Route(f"{PREFIX}/openapi.json", openapi),
        Route("/schemas/{entity}.json", catalog.show_schema),
        guarded,
    ]

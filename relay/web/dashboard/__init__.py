"""The dashboard: pages for people, made on the server; they work without scripts and are live with them."""

from __future__ import annotations

from starlette.routing import Route

from relay.settings import UserRole
from relay.web.dashboard import deliveries, entering, events, looking, overview, portals, replay, report, targets
from relay.web.dashboard.door import SIGN_IN, act, page
from relay.web.passwords import Passwords

VIEWER, OPERATOR, PAYROLL, ADMIN = UserRole


def routes() -> list[Route]:
    """All pages and acts, each with the least role that may have it."""
    return [
        Route(SIGN_IN, entering.show_sign_in, methods=["GET"]),
        Route(SIGN_IN, entering.signing_in(Passwords()), methods=["POST"]),
        Route("/static/{file}", entering.static),
        page(VIEWER, "/", overview.show_overview),
        act(VIEWER, "/sign-out", entering.sign_out),
        page(VIEWER, "/events", events.list_events),
        page(VIEWER, "/events/tail", events.tail_events),
        page(VIEWER, "/events/{event}", events.show_event),
        act(OPERATOR, "/events/{event}/preview", events.preview_event),
        page(VIEWER, "/deliveries", deliveries.list_deliveries),
        page(VIEWER, "/deliveries/{event}/{target}", deliveries.show_delivery),
        act(OPERATOR, "/deliveries/{event}/{target}/retry", deliveries.retry),
        act(OPERATOR, "/deliveries/{event}/{target}/release", deliveries.release),
        act(OPERATOR, "/deliveries/{event}/{target}/cancel", deliveries.cancel),
        page(VIEWER, "/targets", targets.list_targets),
        page(VIEWER, "/targets/{target}", targets.show_target),
        act(OPERATOR, "/targets/{target}/pause", targets.pause),
        act(OPERATOR, "/targets/{target}/resume", targets.resume),
        act(OPERATOR, "/targets/{target}/test", targets.test),
        act(ADMIN, "/targets/{target}/rotate", targets.rotate),
        act(OPERATOR, "/targets/{target}/preview", targets.show_preview),
        page(VIEWER, "/portals", portals.list_portals),
        page(VIEWER, "/portals/{portal}", portals.show_portal),
        act(OPERATOR, "/portals/{portal}/check", portals.check),
        act(OPERATOR, "/portals/{portal}/look", portals.look),
        act(ADMIN, "/portals/{portal}/token", portals.set_token),
        act(ADMIN, "/portals/{portal}/connect", portals.connect),
        page(VIEWER, "/replay", replay.list_plans),
        act(OPERATOR, "/replay", replay.make_plan),
        page(VIEWER, "/replay/{plan}", replay.show_plan),
        act(OPERATOR, "/replay/{plan}/run", replay.run),
        act(OPERATOR, "/replay/{plan}/pause", replay.pause),
        act(OPERATOR, "/replay/{plan}/resume", replay.resume),
        act(OPERATOR, "/replay/{plan}/cancel", replay.cancel),
        page(VIEWER, "/report", report.show_report),
        page(VIEWER, "/report.csv", report.show_csv),
        page(VIEWER, "/quarantine", looking.list_quarantine),
        page(OPERATOR, "/quarantine/{id}", looking.show_quarantined),
        act(OPERATOR, "/quarantine/{id}/retry", looking.retry_quarantined),
        act(OPERATOR, "/quarantine/{id}/drop", looking.drop_quarantined),
        page(OPERATOR, "/audit", looking.list_audit),
        page(VIEWER, "/catalog", looking.show_catalog),
        page(VIEWER, "/catalog/{type}", looking.show_type),
        page(OPERATOR, "/settings", looking.show_settings),
        act(ADMIN, "/sessions/{session}/end", entering.end_session),
        act(ADMIN, "/tokens/{token}/revoke", looking.revoke_token),
    ]

"""The events: a list with filters in its address, its live tail, and one event from coming in to its ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from relay import catalog
from relay.errors import NotFoundError, RefusedError
from relay.events import Attempt, Delivery, EventRecord, EventState
from relay.services import EventFilter, Services
from relay.web import shapes
from relay.web.access import by, require_for_target, who
from relay.web.api_events import LARGEST_PORTAL
from relay.web.asking import services_of
from relay.web.dashboard import rendering
from relay.web.dashboard.door import Form, PageQuery, query_of
from relay.web.dashboard.errand import ask
from relay.web.dashboard.tail import Tail
from relay.web.dashboard.timeline import timeline
from relay.web.masking import MASK, masked_envelope, masked_raw

_ID = "evt_"


async def list_events(request: Request) -> Response:
    """Events that fit, newest first."""
    if found := request.query_params.get("find", "").strip():
        if found.startswith(_ID):
            return RedirectResponse(f"/events/{found[:64]}", status_code=303)
        raise RefusedError(f"an event's id begins with {_ID}; for anything else use the other fields")
    services, query = services_of(request), PageQuery(request)
    wanted = _filter(services, query)
    limit, cursor = query.limit(), query.cursor()
    query.done()
    page = await services.reading.list_events(wanted, limit=limit, cursor=cursor)
    values = query_of(request, without="cursor")
    return rendering.page(
        request,
        "events.html",
        rows=page.rows,
        cursor=page.cursor,
        values=values,
        states=[one.value for one in EventState],
        names=portal_names(services),
        targets=list(services.settings.targets),
        first=cursor is None,
        types=list(catalog.TYPES),
    )


async def tail_events(request: Request) -> Response:
    """New events that fit, as they come in: rows for the list."""
    services, query = services_of(request), PageQuery(request)
    wanted = _filter(services, query)
    query.done()
    row = rendering.environment().get_template("event_row.html")
    names = portal_names(services)
    tail = Tail(services.reading, wanted, now=services.clock())
    app = request.app

    async def stream() -> AsyncIterator[str]:
        async for found in tail.follow(stopping=lambda: app.state.draining, gone=request.is_disconnected):
            yield found.render(lambda one: row.render(one=one, names=names))

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def show_event(request: Request) -> Response:
    """All that is kept of one event."""
    services, id_ = services_of(request), request.path_params["event"]
    record = await services.reading.event(id_)
    deliveries = await services.reading.deliveries_of(record)
    attempts = {one.target: await services.reading.attempts(id_, one.target) for one in deliveries}
    return rendering.page(
        request,
        "event.html",
        record=record,
        event=record.event,
        deliveries=deliveries,
        explanation=await services.desk.explain(id_),
        steps=timeline(record, deliveries, attempts),
        portal=portal_names(services).get(record.event.portal, ""),
        **_content(request, record, deliveries, attempts),
    )


async def preview_event(request: Request, form: Form) -> Response:
    """What one target would be sent of an event now."""
    target, event = form.text("target", longest=64), request.path_params["event"]
    return await preview(request, target, event, back=f"/events/{event}")


async def preview(request: Request, target: str, what: str, *, back: str) -> Response:
    """A page with the very request that would be sent; a worker makes it."""
    if target not in services_of(request).settings.targets:
        raise NotFoundError(f"there is no target {target}")
    require_for_target(request, target)
    answer = await ask(request, "preview", f"{target} {what}")
    return rendering.page(request, "preview.html", target=target, what=what, answer=answer, back=back, by=by(request))


def portal_names(services: Services) -> Mapping[int, str]:
    """The name of each configured portal, by its id."""
    return {one.id: name for name, one in services.settings.portals.items()}


def portal_of(services: Services, query: PageQuery) -> int | None:
    """The portal of a filter, by name or id."""
    text = query.text("portal", longest=64)
    if text is None:
        return None
    named = services.settings.portals.get(text)
    if named is not None:
        return named.id
    if text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_PORTAL:
        return int(text)
    raise NotFoundError(f"there is no portal of that name; there are {', '.join(services.settings.portals) or 'none'}")


def _filter(services: Services, query: PageQuery) -> EventFilter:
    portal, employee = portal_of(services, query), query.text("employee", longest=20)
    subject = query.text("subject")
    portals = list(services.settings.portals.values())
    if portal is None and (employee is not None or subject is not None) and len(portals) == 1:
        portal = portals[0].id
    if employee is not None and portal is None:
        raise RefusedError("an employee's id is one only together with a portal: choose the portal too")
    return EventFilter(
        type=query.text("type"),
        portal=portal,
        subject=subject,
        employee=employee,
        state=query.choice("state", EventState),
        target=query.text("target"),
        since=query.moment("since"),
        until=query.moment("until"),
    )


def _content(
    request: Request, record: EventRecord, deliveries: list[Delivery], attempts: Mapping[str, list[Attempt]]
) -> dict[str, Any]:
    """What is in the event, masked for viewers."""
    shown = shapes.event_detail(record, deliveries)
    raw, envelope = shown["raw"], shown["envelope"]
    if not who(request).sees_personal_data:
        raw = masked_raw(raw)
        envelope = None if envelope is None else masked_envelope(envelope)
    data = (envelope or {}).get("data") or {}
    changes: Mapping[str, Any] = data.get("changes") or {}
    before, after = changes.get("before") or {}, changes.get("after") or {}
    names = [] if MASK in (before, after) else list(dict.fromkeys([*before, *after]))
    return {
        "raw": raw,
        "envelope": envelope,
        "changes": [(name, before.get(name), after.get(name)) for name in names],
        "seen": record.event.seen is not None,
        "last": {target: found[-1] for target, found in attempts.items() if found},
    }
